/* Search in what entries say: words, phrases, beginnings; the best first. A hit leads to its entry in its stream. */
import { getJson } from "./api.js";
import { h, fill, setText } from "./dom.js";
import { t } from "./i18n.js";
import { setWhen, Pages, query } from "./parts.js";
import { kindWords } from "./entries.js";

const PAGE = 30;

/* The field that leads here, from any view. */
export function searchForm(app, { q = "", prefix = "", label }) {
    const input = h("input", { id: "search-words", type: "search", value: q, autocomplete: "off", spellcheck: "false", "aria-describedby": "search-hint" });
    return h("form", { class: "search search-words", role: "search", onsubmit: event => {
        event.preventDefault();
        if (input.value.trim())
            app.go(app.link("search", "", query({ q: input.value.trim(), prefix })));
    } }, h("label", { for: "search-words" }, label), input, h("button", { type: "submit" }, t("search")),
    h("p", { id: "search-hint", class: "faint hint" }, t("search.hint")));
}

/* Marks are counted in characters. */
function snippet({ snippet: text, marks, cut_before: before, cut_after: after }) {
    const chars = [...text], out = [before ? "… " : ""];
    let at = 0;
    for (const { from, to } of marks) {
        out.push(chars.slice(at, from).join(""), h("mark", null, chars.slice(from, to).join("")));
        at = to;
    }
    out.push(chars.slice(at).join(""), after ? " …" : "");
    return h("p", { class: "said", dir: "auto" }, out);
}

export function searchView(app, route) {
    const { space } = app, q = route.query.get("q") || "", prefix = route.query.get("prefix") || "";
    const list = h("ol", { class: "hits", onkeydown: move });
    const count = h("p", { class: "faint", role: "status" });
    const pages = new Pages({
        fetchPage: (cursor, signal) => getJson(`v1/${encodeURIComponent(space)}/search${query({ q, prefix, limit: PAGE, cursor })}`, { signal }),
        show: (items, first) => {
            if (first)
                list.replaceChildren();
            list.append(...items.map(hit));
        },
        empty: () => h("p", { class: "nothing" }, t("search.none")),
        onCount: (n, ended) => setText(count, n ? t(ended ? "search.count" : "search.countMore", { n }) : ""),
    });

    function hit(found) {
        const time = h("time");
        setWhen(time, found.at);
        return h("li", { class: "hit" }, h("p", null, h("a", { href: app.link("stream", found.stream, query({ n: found.n })) }, `${found.stream} #${found.n}`),
            " ", h("span", { class: "badge" }, kindWords(found.kind || "")), " ", h("span", { class: "faint" }, time)), snippet(found));
    }

    /* From hit to hit, and back to the field. */
    function move(event) {
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (!step || event.altKey || event.ctrlKey || event.metaKey)
            return;
        const links = [...list.querySelectorAll(".hit > p > a")], at = links.indexOf(document.activeElement) + step;
        event.preventDefault();
        if (at < 0)
            input().focus();
        else if (links[at])
            links[at].focus();
    }

    const form = searchForm(app, { q, prefix, label: t(prefix ? "search.here" : "search.all") });
    const input = () => form.querySelector("input");
    form.addEventListener("keydown", event => {
        const link = list.querySelector(".hit a");
        if (event.key === "ArrowDown" && event.target === input() && link) {
            event.preventDefault();
            link.focus();
        }
    });
    const where = prefix && h("p", null, t("search.within", { prefix }), " ", h("a", { href: app.link("search", "", query({ q })) }, t("search.everywhere")));
    const el = h("div", { class: "search-view" }, h("p", { class: "back" }, h("a", { href: app.link("streams") }, `‹ ${t("tab.streams")}`)),
        h("h1", null, t("search.title")), form, where, count, list, pages.el);
    if (!q)
        fill(pages.el);
    return { el, title: q || t("search.title"), opened: () => q && pages.next(), close: () => pages.stop() };
}
