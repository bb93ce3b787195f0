/* What stands beside the entries of a stream: attributes, statistics, rings, and what a model would be given. Each panel
 * is { el, update(info) }; info is readStream's. */
import { ask, getText } from "./api.js";
import { h, fill, setHidden, setText } from "./dom.js";
import { t, bytes, number } from "./i18n.js";
import { query, problemBox, note } from "./parts.js";
import { parse, prettyText, lineText } from "./json.js";
import { readEntries, readStream, entryLine, inShort, kindWords } from "./entries.js";
import { activityChart, shares } from "./chart.js";

const VALUE_MAX = 2000, STEPS = 48, CHART_MS = 30000;

/* The text by which streams can be found that have the same value; null where they cannot. */
function findable(node) {
    if (node.kind === "string")
        return JSON.parse(node.raw);
    return node.kind === "number" || node.raw === "true" || node.raw === "false" ? node.raw : null;
}

function shown(node) {
    return node.kind === "string" ? JSON.parse(node.raw) : prettyText(node, VALUE_MAX);
}

/* A patch that makes `now` of what is there: of an object the members that are there no more are named, too. */
function patchText(old, now) {
    if (!old || old.kind !== "object" || now.kind !== "object")
        return prettyText(now);
    const had = new Map(old.members), has = new Map(now.members);
    const parts = [...has].map(([name, node]) => `${JSON.stringify(name)}:${patchText(had.get(name), node)}`);
    for (const name of had.keys())
        if (!has.has(name))
            parts.push(`${JSON.stringify(name)}:null`);
    return `{${parts.join()}}`;
}

function panel(id, title, ...rest) {
    return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id, tabindex: -1 }, title), rest);
}

/* ---------------------------------------------------------------------------------- attributes */

/* `patched(info)`: they are others now. */
export function attributesPanel({ app, key, path, patched }) {
    const writes = app.may("write", key);
    const rows = h("dl", { class: "attrs" }), trouble = h("div", { "aria-live": "polite" });
    const name = h("input", { id: "attr-name", autocomplete: "off", spellcheck: "false", autocapitalize: "off", required: true });
    const form = h("select", { id: "attr-form" }, h("option", { value: "text" }, t("attr.text")), h("option", { value: "json" }, "JSON"));
    const value = h("input", { id: "attr-value", autocomplete: "off", spellcheck: "false" });
    let last = null, attrs = new Map();

    async function patch(member, raw, words, undo) {
        try {
            const response = await ask("PATCH", path, { text: `{${JSON.stringify(member)}:${raw}}` });
            patched(readStream(await response.text()));
            fill(trouble, note("good", words, undo && h("button", { type: "button", class: "small", onclick: () =>
                patch(member, undo, t("attr.set", { name: member })) }, t("attr.undo"))));
            app.say(words);
            return true;
        } catch (error) {
            fill(trouble, problemBox(error));
            return false;
        }
    }

    async function submit(event) {
        event.preventDefault();
        let raw = form.value === "json" ? value.value : JSON.stringify(value.value);
        try {
            raw = patchText(attrs.get(name.value), parse(raw));
        } catch {
            fill(trouble, note("plain", t("attr.noJson")));
            value.focus();
            return;
        }
        if (await patch(name.value, raw, t("attr.set", { name: name.value }))) {
            name.value = value.value = "";
            form.value = "text";
        }
    }

    function change(member, node) {
        name.value = member;
        form.value = node.kind === "string" ? "text" : "json";
        value.value = node.kind === "string" ? JSON.parse(node.raw) : lineText(node);
        details.open = true;
        value.focus();
        value.select();
    }

    function row([member, node], raw) {
        const others = findable(node);
        const named = (words, onclick) => h("button", { type: "button", class: "small", "aria-label": `${words}: ${member}`, onclick }, words);
        return h("div", { class: "attr", "data-name": member }, h("dt", null, member),
            h("dd", { dir: "auto" }, h("span", { class: node.members || node.items ? "attr-value json-value" : "attr-value" }, shown(node)),
                h("span", { class: "buttons" },
                    others !== null && others.length <= 255 && h("a", { class: "small", "aria-label": `${t("attr.others")}: ${member}`,
                        href: app.link("streams", "", query({ attr: member, value: others })) }, t("attr.others")),
                    writes && named(t("attr.change"), () => change(member, node)),
                    writes && named(t("attr.unlink"), () => patch(member, "null", t("attr.unlinked", { name: member }), raw)))));
    }

    const details = h("details", null, h("summary", null, t("attr.add")),
        h("form", { class: "stack", onsubmit: submit }, h("label", { for: "attr-name" }, t("attr.name")), name,
            h("label", { for: "attr-form" }, t("attr.form")), form, h("label", { for: "attr-value" }, t("attr.value")), value,
            h("button", { type: "submit" }, t("attr.save"))));
    return {
        el: panel("attrs-title", t("attrs"), h("p", { class: "faint" }, t("attrs.text")), rows, trouble, writes && details),
        update(info) {
            const text = prettyText(info.attrs);
            if (text === last)
                return;
            const inside = rows.contains(document.activeElement);
            last = text;
            attrs = new Map(info.attrs.members);
            fill(rows, info.attrs.members.length ? info.attrs.members.map(member => row(member, prettyText(member[1])))
                : h("div", null, h("dt", { class: "faint" }, t("attrs.none")), h("dd")));
            if (inside)
                document.getElementById("attrs-title").focus();
        },
    };
}

/* ---------------------------------------------------------------------------------- statistics */

export function statisticsPanel({ path }) {
    const kinds = h("div"), picture = h("div"), trouble = h("div");
    let count = -1, at = 0, asking = false;

    /* Counting is the store's work: not more often than anybody looks. */
    async function draw() {
        if (asking || Date.now() - at < CHART_MS)
            return;
        asking = true;
        at = Date.now();
        try {
            const { activity } = JSON.parse(await getText(`${path}${query({ steps: STEPS })}`));
            fill(picture, activity && activityChart(activity));
            fill(trouble);
        } catch (error) {
            if (error.status !== 0 && error.status !== 404)
                fill(trouble, problemBox(error));
        } finally {
            asking = false;
        }
    }
    return {
        el: panel("stats-title", t("stats"), kinds, picture, trouble),
        update(info) {
            if (info.count === count)
                return;
            ({ count } = info);
            const rows = Object.entries(info.kinds).sort((a, b) => b[1] - a[1]);
            fill(kinds, count ? shares(rows.map(([kind, n]) => [kindWords(kind), n]), count, t("stats.kinds")) : h("p", { class: "faint" }, t("talk.none")));
            if (count)
                draw();
            else
                fill(picture);
        },
    };
}

/* ---------------------------------------------------------------------------------- rings */

export function ringsPanel({ link }) {
    const place = h("div");
    let last = "";
    const el = panel("rings-title", t("rings"), h("p", { class: "faint" }, t("rings.text")), place);
    const of = (item, name) => item.members.find(([n]) => n === name)[1];

    function item(one) {
        const n = Number(of(one, "n").raw);
        return h("li", null, h("a", { href: link({ n }) }, `#${n}`), " ", h("span", { dir: "auto" }, inShort(of(one, "body"), 120)));
    }
    return {
        el,
        update(info) {
            const text = prettyText(info.rings);
            if (text === last)
                return;
            last = text;
            setHidden(el, !info.rings.members.length);
            fill(place, info.rings.members.map(([name, items]) => h("details", { open: true }, h("summary", null, `${name} (${number(items.items.length)})`),
                h("ol", { class: "ring" }, items.items.map(item)))));
        },
    };
}

/* ---------------------------------------------------------------------------------- context */

export function contextPanel({ app, key, path }) {
    const entries = h("input", { id: "context-entries", type: "number", min: 1, max: 1000, value: 20, required: true });
    const size = h("input", { id: "context-bytes", type: "number", min: 1, placeholder: t("context.noBound") });
    const across = h("select", { id: "context-across" });
    const sum = h("p", { role: "status", class: "faint" }), rows = h("ol", { class: "context" }), trouble = h("div");
    let names = null, turn = 0;

    async function show(event) {
        event.preventDefault();
        const mine = ++turn;
        fill(trouble);
        setText(sum, t("loading"));
        try {
            const page = readEntries(await getText(`${path}/context${query({ entries: entries.value, bytes: size.value, across: across.value })}`));
            if (mine !== turn)
                return;
            const total = page.items.reduce((n, e) => n + e.size + e.attached, 0);
            setText(sum, `${t("context.sum", { n: page.items.length, size: bytes(total) })} ${t(page.more ? "context.more" : "context.all")}`);
            const link = e => app.link("stream", e.stream || key, query({ n: e.n }));
            fill(rows, page.items.map(e => entryLine(e, link, Boolean(across.value))));
        } catch (error) {
            if (mine !== turn)
                return;
            setText(sum, "");
            fill(rows);
            fill(trouble, problemBox(error));
        }
    }
    const el = h("section", { class: "card" }, h("details", null, h("summary", null, h("h2", null, t("context"))),
        h("p", { class: "faint" }, t("context.text")),
        h("form", { class: "stack", onsubmit: show }, h("label", { for: "context-entries" }, t("context.entries")), entries,
            h("label", { for: "context-bytes" }, t("context.bytes")), size,
            h("label", { for: "context-across" }, t("context.across")), across, h("button", { type: "submit" }, t("context.show"))),
        trouble, sum, rows));
    return {
        el,
        update(info) {
            const known = info.attrs.members.filter(([, node]) => findable(node) !== null).map(([name]) => name);
            if (known.join("\n") === names)
                return;
            names = known.join("\n");
            const kept = across.value;
            fill(across, h("option", { value: "" }, t("context.alone")), known.map(name => h("option", { value: name }, t("context.same", { name }))));
            across.value = known.includes(kept) ? kept : "";
        },
    };
}
