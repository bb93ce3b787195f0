/* Entries of streams: what an answer says of them, with bodies as they were written, and how one is shown. */
import { h, icon } from "./dom.js";
import { t, has, date, clock, fullTime, lasting, bytes, number } from "./i18n.js";
import { parse, prettyText, lineText } from "./json.js";
import { showContent } from "./content.js";

const TEXT_MAX = 4000, JSON_MAX = 1500, LINE_MAX = 120;

/* ------------------------------------------------------------------------------------- reading */

const sizes = new TextEncoder();

function size(text, node) {
    return sizes.encode(text.slice(node.from, node.to)).length;
}

/* In the place of one whose stored bytes are not what was appended. */
export function damagedEntry(n) {
    return { n, damaged: true, stream: "", kind: "", at: "", body: null, attach: null };
}

function entryOf(text, node) {
    const e = { stream: "", n: 0, id: "", kind: "", at: "", body: null, attach: null, size: 0, attached: 0 };
    for (const [name, value] of node.members) {
        if (name === "body" || name === "attach")
            e[name] = value;
        else if (Object.hasOwn(e, name))
            e[name] = JSON.parse(value.raw);
    }
    e.size = size(text, e.body);
    e.attached = e.attach ? size(text, e.attach) : 0;
    return e;
}

/* An answer that lists entries: bodies and attachments as nodes of json.js. */
export function readEntries(text) {
    const page = { items: [], next: null, more: false, born: "" };
    for (const [name, node] of parse(text).members) {
        if (name === "items")
            page.items = node.items.map(item => entryOf(text, item));
        else if (name in page)
            page[name] = JSON.parse(node.raw);
    }
    return page;
}

/* A stream: its attributes and rings are nodes. */
export function readStream(text) {
    const info = JSON.parse(text);
    for (const [name, node] of parse(text).members)
        if (name === "attrs" || name === "rings")
            info[name] = node;
    return info;
}

/* What a body says in words: its member `text`, or the whole of it when it is a text; null where it has none. `more`: it
 * holds other things, too. */
export function saidIn(body) {
    if (body.kind === "string")
        return { text: JSON.parse(body.raw), more: false };
    const said = body.kind === "object" && body.members.find(([name]) => name === "text");
    return said && said[1].kind === "string" ? { text: JSON.parse(said[1].raw), more: body.members.length > 1 } : null;
}

/* In one line, for lists and for who listens. */
export function inShort(body, max) {
    const said = saidIn(body);
    const text = (said ? said.text : prettyText(body, max * 2)).replace(/\s+/g, " ").trim();
    return text.length > max ? `${text.slice(0, max)}…` : text;
}

export function kindWords(kind) {
    if (!kind)
        return t("entry.plain");
    return has(`entry.kind.${kind}`) ? t(`entry.kind.${kind}`) : kind;
}

/* ------------------------------------------------------------------------------------- showing */

const known = new Set(["user", "assistant", "system", "tool"]);

/* A class for what is not told by its name: one of four looks, the same for the same kind. */
function look(kind) {
    if (known.has(kind))
        return kind;
    let sum = 0;
    for (const c of kind)
        sum = (sum * 31 + c.codePointAt(0)) % 997;
    return kind ? `other-${sum % 4}` : "plain";
}

function longText(text) {
    const p = h("p", { class: "said", dir: "auto" }, text.slice(0, TEXT_MAX));
    if (text.length <= TEXT_MAX)
        return p;
    const button = h("button", { type: "button", class: "small", onclick: () => {
        p.textContent = text;
        button.remove();
    } }, t("entry.whole", { n: text.length }));
    return [p, button];
}

/* Opened, it shows a node; what nobody opens is never made. */
function folded(label, node) {
    const place = h("div");
    const details = h("details", { class: "folded" }, h("summary", null, label), place);
    details.addEventListener("toggle", () => {
        if (details.open && !place.firstChild)
            showContent(place, node, undefined, label);
    });
    return details;
}

function bodyOf(e) {
    const said = saidIn(e.body);
    if (said)
        return [longText(said.text), said.more && folded(t("entry.more"), e.body)];
    if (prettyText(e.body, LINE_MAX).length <= LINE_MAX)
        return h("p", null, h("code", { class: "line", dir: "auto" }, lineText(e.body)));
    const place = h("div");
    showContent(place, e.body, JSON_MAX, t("entry.body"));
    return place;
}

function damagedBubble(e, link, id) {
    return h("div", { class: "bubble damaged" },
        h("p", { class: "bubble-head", id }, icon("bad"), " ", h("span", { class: "who" }, t("entry.damaged")),
            " ", h("a", { href: link(e), title: t("entry.link") }, `#${e.n}`)),
        h("p", null, t("entry.damagedText")), h("p", { class: "next" }, h("strong", null, t("next")), " ", t("entry.damagedNext")));
}

/* `link(e)`: the address of the entry. `named`: with the stream that it is of. */
export function bubble(e, link, named) {
    const id = `entry-${named ? `${e.stream}-` : ""}${e.n}`;
    if (e.damaged)
        return damagedBubble(e, link, id);
    return h("div", { class: `bubble ${look(e.kind)}` },
        h("p", { class: "bubble-head", id }, h("span", { class: "who" }, kindWords(e.kind)),
            " ", h("time", { class: "clock", datetime: e.at, title: fullTime(e.at) }, clock(e.at)),
            " ", h("a", { href: link(e), title: t("entry.link") }, named ? `${e.stream} ` : "", `#${e.n}`)),
        bodyOf(e),
        e.attach && folded(t("entry.attached", { size: bytes(e.attached) }), e.attach),
        e.id && h("p", { class: "faint bubble-id" }, h("span", { class: "visually-hidden" }, `${t("entry.id")}: `), e.id));
}

/* What stands between two entries: another day, or the pause that makes another conversation. `before`: null when none is
 * shown above whose time is known. */
export function between(before, e, gapMs) {
    const out = [];
    if (e.damaged)
        return out;
    const pause = before ? Date.parse(e.at) - Date.parse(before.at) : 0;
    if (!before || date(before.at) !== date(e.at))
        out.push(h("p", { class: "day" }, h("span", null, date(e.at))));
    if (gapMs && pause > gapMs)
        out.push(h("p", { class: "gap" }, h("span", null, t("entry.gap", { time: lasting(pause) }))));
    return out;
}

/* Lines for a list that is looked over, as a context. */
export function entryLine(e, link, named) {
    return h("li", null, h("p", null, h("strong", null, kindWords(e.kind)), " ",
        h("a", { href: link(e) }, named ? `${e.stream} ` : "", `#${number(e.n)}`), " ",
        h("time", { class: "clock faint", datetime: e.at, title: fullTime(e.at) }, `${clock(e.at)}`)),
    h("p", { class: "said", dir: "auto" }, inShort(e.body, 300)),
    e.attach && h("p", { class: "faint" }, t("entry.attached", { size: bytes(e.attached) })));
}

