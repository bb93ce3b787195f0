/* Documents: found by the beginning of their names, page by page as one scrolls. */
import { getJson } from "./api.js";
import { h, setText } from "./dom.js";
import { t, bytes, number } from "./i18n.js";
import { setWhen, Pages, query } from "./parts.js";

const PAGE = 200, TYPING_MS = 150;

export function docsView(app, route) {
    let prefix = route.query.get("prefix") || "", typing = 0;
    const space = app.space;
    const input = h("input", {
        id: "prefix", type: "search", value: prefix, placeholder: t("docs.prefix"), autocomplete: "off", spellcheck: "false",
        autocapitalize: "off", oninput: () => {
            clearTimeout(typing);
            typing = setTimeout(search, TYPING_MS);
        },
    });
    const count = h("p", { class: "faint", role: "status", "aria-live": "polite" });
    const rows = h("tbody");
    const table = h("table", { class: "docs", "aria-label": t("tab.docs") },
        h("thead", null, h("tr", null, ["docs.name", "docs.size", "docs.version", "docs.changed"].map(key =>
            h("th", { scope: "col" }, t(key))))), rows);
    const pages = new Pages({
        fetchPage: (cursor, signal) =>
            getJson(`v1/${encodeURIComponent(space)}/docs${query({ prefix, limit: PAGE, cursor })}`, { signal }),
        show: (items, first) => {
            if (first)
                rows.replaceChildren();
            rows.append(...items.map(row));
        },
        empty: () => h("p", { class: "nothing" }, prefix ? t("docs.noneSuch", { prefix }) : t("docs.none")),
        onCount: tellCount,
    });

    function row(doc) {
        const time = h("time");
        setWhen(time, doc.at);
        return h("tr", null,
            h("th", { scope: "row" }, h("a", { href: app.link("doc", doc.name) }, doc.name)),
            h("td", null, bytes(doc.size)), h("td", { "data-label": t("docs.version") }, number(doc.version)), h("td", null, time));
    }

    function tellCount(n = pages.count, ended = pages.ended) {
        if (!pages.begun)
            return;
        const all = app.status ? app.status.store.docs : 0;
        if (ended || prefix || !all)
            setText(count, t(ended ? "docs.count" : "docs.countMore", { n }));
        else
            setText(count, t("docs.countOf", { n: all, shown: n }));
    }

    function search() {
        const wanted = input.value;
        if (wanted === prefix)
            return;
        prefix = wanted;
        history.replaceState(null, "", app.link("docs", "", query({ prefix })));
        pages.restart();
        pages.next();
    }
    const el = h("div", null, h("h1", null, t("tab.docs")),
        h("div", { class: "search" }, h("label", { for: "prefix" }, t("docs.search")), input), count, table, pages.el);
    let seq = app.status ? app.status.store.seq : null;

    /* Something was written: the list is read anew, unless somebody is in the midst of it. */
    function update() {
        tellCount();
        const now = app.status ? app.status.store.seq : seq;
        if (seq !== null && now !== seq && pages.begun && pages.count <= PAGE && !rows.contains(document.activeElement)) {
            pages.restart();
            pages.next();
        }
        seq = now;
    }
    return { el, title: t("tab.docs"), update, opened: () => pages.next(), close: () => pages.stop() };
}
