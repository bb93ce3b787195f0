/* Streams: found by the beginning of their keys and by an attribute, page by page as one scrolls; and what was erased. */
import { getJson, getText } from "./api.js";
import { h, fill, setText, setHidden } from "./dom.js";
import { t, bytes, number } from "./i18n.js";
import { setWhen, Pages, query } from "./parts.js";
import { parse } from "./json.js";
import { readStream, inShort } from "./entries.js";
import { searchForm } from "./view-search.js";
import { askErase, erase, receiptCard, receiptFacts } from "./erase.js";

const PAGE = 100, TYPING_MS = 200, ATTRS_SHOWN = 3, RECEIPTS = 20;

/* A list of streams, with attributes as they were written. */
function readStreams(text) {
    const items = parse(text).members.find(([name]) => name === "items")[1].items;
    return { items: items.map(node => readStream(text.slice(node.from, node.to))), next: JSON.parse(text).next };
}

export function streamsView(app, route) {
    const { space } = app, base = `v1/${encodeURIComponent(space)}`;
    const wanted = { prefix: route.query.get("prefix") || "", attr: route.query.get("attr") || "", value: route.query.get("value") || "" };
    let typing = 0, seq = app.status ? app.status.store.seq : null;

    const field = (name, id, more) => h("input", { id, value: wanted[name], autocomplete: "off", spellcheck: "false", autocapitalize: "off", ...more,
        oninput: () => {
            clearTimeout(typing);
            typing = setTimeout(look, TYPING_MS);
        } });
    const prefix = field("prefix", "stream-prefix", { type: "search", placeholder: t("streams.prefix") });
    const attr = field("attr", "stream-attr", { placeholder: t("streams.attrHint"), size: 12 });
    const value = field("value", "stream-value", { size: 12 });
    const count = h("p", { class: "faint", role: "status", "aria-live": "polite" });
    const rows = h("tbody"), place = h("div", { "aria-live": "polite" });
    const table = h("table", { class: "docs streams", "aria-label": t("tab.streams") },
        h("thead", null, h("tr", null, ["docs.name", "stream.count", "stream.size", "stream.last"].map(key => h("th", { scope: "col" }, t(key))))), rows);
    const filtered = () => wanted.attr !== "";
    const pages = new Pages({
        fetchPage: async (cursor, signal) => readStreams(await getText(`${base}/streams${query({ prefix: wanted.prefix, limit: PAGE, cursor })}${
            filtered() ? `&${new URLSearchParams({ [`attr.${wanted.attr}`]: wanted.value })}` : ""}`, { signal })),
        show: (items, first) => {
            if (first)
                rows.replaceChildren();
            rows.append(...items.map(row));
            setHidden(table, false);
        },
        empty: () => {
            setHidden(table, true);
            return h("p", { class: "nothing" }, wanted.prefix || filtered() ? t("streams.noneSuch") : t("streams.none"));
        },
        onCount: (n, ended) => setText(count, t(ended ? "streams.count" : "streams.countMore", { n })),
    });

    function row(info) {
        const time = h("time");
        setWhen(time, info.last_at);
        const { members } = info.attrs;
        return h("tr", null,
            h("th", { scope: "row" }, h("a", { href: app.link("stream", info.key) }, info.key),
                members.length > 0 && h("span", { class: "chips" }, members.slice(0, ATTRS_SHOWN).map(([name, node]) =>
                    h("span", { class: "chip", dir: "auto" }, `${name}: ${inShort(node, 40)}`)),
                members.length > ATTRS_SHOWN && h("span", { class: "chip" }, `+${members.length - ATTRS_SHOWN}`))),
            h("td", { "data-label": t("stream.count") }, number(info.count)), h("td", null, bytes(info.bytes)), h("td", null, time));
    }

    function look() {
        const now = { prefix: prefix.value, attr: attr.value.trim(), value: value.value };
        if (JSON.stringify(now) === JSON.stringify(wanted))
            return;
        Object.assign(wanted, now);
        history.replaceState(null, "", app.link("streams", "", query(filtered() ? wanted : { prefix: wanted.prefix })));
        anew();
    }

    function anew() {
        setHidden(person, !wanted.attr || !wanted.value || !app.may("write"));
        pages.restart();
        return pages.next();
    }

    /* ----------------------------------------------------------------------------- erasing one person */

    const person = h("button", { type: "button", class: "danger small", hidden: true, onclick: erasePerson }, t("erase.all"));

    async function erasePerson() {
        const { attr: name, value: of } = wanted;
        const goes = [t("erase.every", { name, value: of }), t("erase.allEntries"), t("erase.attached"), wanted.prefix ? t("erase.allPrefixes") : null].filter(Boolean);
        if (!await askErase(app, { title: t("erase.allTitle", { name, value: of }), goes, name: of, label: t("erase.value") }))
            return;
        const receipt = await erase(`${base}/people/${encodeURIComponent(name)}/${encodeURIComponent(of)}`, place);
        if (!receipt)
            return;
        const { el: card, heading } = receiptCard(app, receipt, t("receipt.done", { name: `${name} = ${of}` }));
        fill(place, card);
        heading.focus();
        await anew();
        app.refresh(true);
    }

    /* ----------------------------------------------------------------------------- what was erased */

    const receipts = h("ol", { class: "receipts" });
    const erased = new Pages({
        fetchPage: (cursor, signal) => getJson(`${base}/receipts${query({ limit: RECEIPTS, cursor })}`, { signal }),
        show: (items, first) => {
            if (first)
                receipts.replaceChildren();
            receipts.append(...items.map(one => {
                const time = h("time");
                setWhen(time, one.at);
                return h("li", null, h("details", null, h("summary", null, t("receipt.line", { id: one.id, n: one.entries }), " · ", time), receiptFacts(one)));
            }));
        },
        empty: () => h("p", { class: "nothing" }, t("receipts.none")),
    });
    const past = h("details", { class: "past" }, h("summary", null, t("receipts")), h("p", { class: "faint" }, t("receipts.text")), receipts, erased.el);
    past.addEventListener("toggle", () => past.open && !erased.begun && erased.next());

    /* ----------------------------------------------------------------------------- a new one */

    const fresh = h("input", { id: "stream-new", autocomplete: "off", spellcheck: "false", autocapitalize: "off", placeholder: "chat/hello", required: true });
    const begin = h("details", null, h("summary", null, t("streams.begin")), h("form", { class: "search", onsubmit: event => {
        event.preventDefault();
        app.go(app.link("stream", fresh.value));
    } }, h("label", { for: "stream-new" }, t("docs.name")), fresh, h("button", { type: "submit" }, t("streams.beginIt"))));

    const el = h("div", { class: "streams-view" }, h("h1", null, t("tab.streams")), searchForm(app, { label: t("search.all") }),
        h("form", { class: "search", onsubmit: event => {
            event.preventDefault();
            look();
        } }, h("label", { for: "stream-prefix" }, t("docs.search")), prefix,
        h("span", { class: "pair" }, h("label", { for: "stream-attr" }, t("streams.attr")), attr, h("label", { for: "stream-value" }, "="), value), person),
        place, count, table, pages.el, app.has("write") && begin, app.may("read") && past);

    /* Something was written: the list is read anew, unless somebody is in the midst of it. */
    function update() {
        const now = app.status ? app.status.store.seq : seq;
        if (seq !== null && now !== seq && pages.begun && pages.count <= PAGE && !rows.contains(document.activeElement))
            anew();
        seq = now;
    }
    return { el, title: t("tab.streams"), update, opened: anew, close: () => {
        clearTimeout(typing);
        pages.stop();
        erased.stop();
    } };
}
