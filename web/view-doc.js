/* One document: what it says, its versions here and at remotes, what changed between two of them, and the way back. */
import { ask, getJson, docPath, Problem } from "./api.js";
import { h, fill, setText, setHidden } from "./dom.js";
import { t, bytes, number, has } from "./i18n.js";
import { fact, when, setWhen, Pages, query, confirm, problemBox, note } from "./parts.js";
import { parse, prettyText, diff } from "./json.js";
import { showContent } from "./content.js";

const VALUE_MAX = 4000, CHANGES_MAX = 500, PAGE = 50;

/* ------------------------------------------------------------------------------------- differences */

function valueLines(node, op) {
    const text = prettyText(node, VALUE_MAX);
    const label = t(op === "del" ? "diff.old" : "diff.new");
    return h(op, null, h("span", { class: "visually-hidden" }, `${label}: `),
        h("span", { "aria-hidden": "true", class: "sign" }, op === "del" ? "−" : "+"), h("span", { class: "text" }, text));
}

/* Where a change is: a › b › 3. A place in a list is told from 1 on, as people count. */
function placeOf(path) {
    if (!path.length)
        return t("diff.whole");
    return path.map(p => (typeof p === "number" ? `[${number(p + 1)}]` : p)).join(" › ");
}

function changeItem(c) {
    return h("li", { class: `change ${c.op}` },
        h("p", { class: "where" }, h("span", { class: `badge ${c.op}` }, t(`diff.${c.op}`)), " ", h("code", null, placeOf(c.path))),
        h("div", { class: "values" }, c.old && valueLines(c.old, "del"), c.now && valueLines(c.now, "ins")));
}

function showChanges(place, before, after) {
    const changes = before === null && after === null ? []
        : before === null ? [{ op: "added", path: [], now: parse(after) }]
            : after === null ? [{ op: "removed", path: [], old: parse(before) }]
                : diff(parse(before), parse(after));
    fill(place, h("p", { class: "faint", role: "status" }, changes.length ? t("diff.count", { n: changes.length }) : t("diff.none")),
        h("ul", { class: "changes" }, changes.slice(0, CHANGES_MAX).map(changeItem)),
        changes.length > CHANGES_MAX && h("p", null, t("diff.cut", { n: changes.length - CHANGES_MAX })));
}

/* ------------------------------------------------------------------------------------- the view */

export function docView(app, route) {
    const name = route.rest, space = app.space, path = docPath(space, name);
    let current = null;   /* { etag, version, text } of what is shown; null: there is none now */
    let damaged = false;  /* there is one, and it cannot be read */
    let from = "";        /* the remote whose versions are listed; "" = those that are kept here */
    let versions = [], seq = null;
    let turn = 0, loads = 0; /* the last that asked for the panel, and for the document: an answer that is late is nobody's */

    const facts = { version: h("span"), size: h("span"), at: h("time") };
    const factList = h("dl", { class: "facts" }, fact(t("docs.version"), facts.version), fact(t("docs.size"), facts.size),
        fact(t("docs.changed"), facts.at));
    const changed = h("div", { role: "status" }), trouble = h("div", { "aria-live": "polite" });
    const panelTitle = h("h2", { tabindex: -1, id: "panel-title" }, t("doc.content")), panel = h("div");
    const source = h("select", { id: "doc-source", onchange: () => {
        from = source.value;
        restart();
    } });
    const sourceRow = h("div", { class: "search", hidden: true }, h("label", { for: "doc-source" }, t("doc.source")), source);
    const older = h("select", { id: "diff-from" }), newer = h("select", { id: "diff-to" });
    const compareRow = h("form", { class: "compare", hidden: true, onsubmit: event => {
        event.preventDefault();
        compare(versions[older.value], versions[newer.value]);
    } }, h("label", { for: "diff-from" }, t("diff.from")), older, h("label", { for: "diff-to" }, t("diff.to")), newer,
    h("button", { type: "submit" }, t("diff.show")));
    const rows = h("ol", { class: "versions" });
    const pages = new Pages({
        fetchPage: (cursor, signal) =>
            getJson(`${path}/versions${query({ limit: PAGE, cursor, remote: from })}`, { signal, timeout: from ? 90000 : 20000 }),
        show: (items, first) => {
            if (first) {
                rows.replaceChildren();
                versions = [];
            }
            items.forEach(addVersion);
            fillCompare();
        },
        empty: () => h("p", { class: "nothing" }, t("doc.noVersions")),
    });

    const idOf = v => (from ? v.id : String(v.version));
    const labelOf = v => (v.version ? t("version", { version: v.version }) : v.id.slice(0, 10));

    function addVersion(v) {
        const at = versions.push({ ...v, from }) - 1;
        const readable = !v.deleted && !v.error;
        const what = v.by_hand ? "byHand" : v.deleted ? "delete" : v.kind;
        const actions = h("div", { class: "buttons" },
            readable && h("button", { type: "button", class: "small", onclick: () => look(versions[at]) }, t("doc.look")),
            readable && !(v.current && !from) && h("button", { type: "button", class: "small",
                onclick: () => compare(versions[at], null) }, t("doc.compare")),
            readable && !(v.current && !from) && app.may("write", name) &&
                h("button", { type: "button", class: "small", onclick: () => revert(versions[at]) }, t("doc.revert")));
        for (const button of actions.children)
            button.setAttribute("aria-label", `${button.textContent}: ${labelOf(v)}`);
        rows.append(h("li", { class: v.current ? "current" : null, "data-version": idOf(v) },
            h("div", null, h("p", { class: "box-title" }, labelOf(v), v.current && h("span", { class: "badge good" }, t("doc.current"))),
                h("p", { class: "faint" }, [what && has(`kind.${what}`) && t(`kind.${what}`), when(v.at), !v.deleted && bytes(v.size), v.author]
                    .filter(Boolean).flatMap((part, i) => (i ? [" · ", part] : [part]))),
                v.error && h("p", { lang: "en", class: "error" }, v.error.detail)),
            actions));
    }

    function fillCompare() {
        for (const [select, otherwise] of [[older, 1], [newer, 0]]) {
            const kept = select.value;
            fill(select, versions.map((v, i) => !v.error && h("option", { value: i }, labelOf(v))));
            select.value = kept;
            if (select.selectedIndex < 0)
                select.selectedIndex = Math.min(otherwise, select.options.length - 1);
        }
        setHidden(compareRow, older.options.length < 2);
    }

    /* The text of a version; null where it is that there is none. */
    async function textOf(v) {
        if (!v)
            return current ? current.text : null;
        if (v.deleted)
            return null;
        const id = v.from ? v.id : v.version;
        const response = await ask("GET", `${path}${query({ version: id, remote: v.from })}`, { timeout: v.from ? 90000 : 20000 });
        return response.text();
    }

    /* The panel is another's from now on; `work` gives what to do with it when its answer has come. */
    async function open(words, work) {
        const mine = ++turn;
        setText(panelTitle, words);
        fill(panel, h("p", { class: "waiting" }, t("loading")));
        panelTitle.focus({ preventScroll: true });
        panelTitle.scrollIntoView({ block: "nearest" });
        let show;
        try {
            show = await work();
        } catch (error) {
            show = () => fill(panel, problemBox(error));
        }
        if (mine === turn)
            show();
    }

    function look(v) {
        return open(labelOf(v), async () => {
            const text = await textOf(v);
            return () => showContent(panel, text);
        });
    }

    /* From `a` to `b`; to what is there now without `b`. */
    function compare(a, b) {
        const words = b ? t("diff.title", { from: labelOf(a), to: labelOf(b) }) : t("diff.titleNow", { from: labelOf(a) });
        return open(words, async () => {
            const [before, after] = await Promise.all([textOf(a), textOf(b)]);
            const list = h("div"), patch = patchOf(a, b);
            showChanges(list, before, after);
            return () => fill(panel, list, patch);
        });
    }

    /* The same for machines, as the server tells it; of versions that are kept here. */
    function patchOf(a, b) {
        const to = b ? b.version : current && current.version;
        if (a.from || (b && b.from) || !to || a.deleted || (b && b.deleted))
            return null;
        const place = h("div"), details = h("details", { class: "patch" }, h("summary", null, t("diff.patch")), place);
        details.addEventListener("toggle", async () => {
            if (!details.open || place.firstChild)
                return;
            try {
                const response = await ask("GET", `${path}/diff${query({ from: a.version, to })}`);
                showContent(place, await response.text());
            } catch (error) {
                fill(place, problemBox(error));
            }
        });
        return details;
    }

    async function revert(v) {
        const go = await confirm({ title: t("doc.revertTitle", { version: labelOf(v) }), text: t("doc.revertText", { name }), yes: t("doc.revert") });
        if (!go)
            return;
        const body = v.from ? { remote: v.from, version: v.id } : { version: v.version };
        /* Only over what was looked at: somebody else may have written since. What cannot be looked at has no tag. */
        const headers = current ? { "If-Match": current.etag } : damaged ? { "If-Match": "*" } : { "If-None-Match": "*" };
        try {
            const response = await ask("POST", `${path}/revert`, { body, headers, timeout: 90000 });
            const written = await response.json();
            const words = written.unchanged ? t("doc.revertSame") : t("doc.reverted", { version: written.version });
            await load();
            fill(trouble, note("good", words));
            panelTitle.focus({ preventScroll: true }); /* the button is gone with its list */
            app.say(words);
            app.refresh(true);
        } catch (error) {
            fill(trouble, problemBox(error, { again: error.code === "version_mismatch" ? load : null }));
        }
    }

    function restart() {
        rows.replaceChildren();
        fill(older);
        fill(newer);
        versions = [];
        setHidden(compareRow, true);
        pages.restart();
        return pages.next();
    }

    async function load() {
        const asked = ++loads, mine = ++turn;
        let show, there = true;
        fill(trouble);
        seq = app.status ? app.status.store.seq : null;
        try {
            const response = await ask("GET", path);
            const text = await response.text();
            if (asked !== loads)
                return;
            const etag = response.headers.get("ETag");
            damaged = false;
            current = etag ? { etag, version: Number(response.headers.get("Keepfast-Version")), text } : null;
            setText(facts.version, current ? number(current.version) : t("doc.default"));
            setText(facts.size, bytes(new TextEncoder().encode(text).length));
            show = () => showContent(panel, text);
        } catch (error) {
            if (asked !== loads)
                return;
            current = null;
            damaged = error.code === "damaged";
            there = false;
            show = () => fill(panel, error instanceof Problem && error.code === "not_found" ? note("plain", t("doc.absent")) : problemBox(error));
        }
        fill(changed);
        setHidden(factList, !there);
        if (mine === turn) {
            setText(panelTitle, t("doc.content"));
            show();
        }
        await restart();
        const now = versions.find(v => v.current);
        setWhen(facts.at, now && !from ? now.at : null);
    }

    /* Somebody wrote something: whether it was this one. */
    async function lookForChanges() {
        const asked = loads;
        let etag = null;
        try {
            const response = await ask("HEAD", path);
            etag = response.headers.get("ETag");
        } catch (error) {
            if (error.status !== 404)
                return;
        }
        if (asked === loads && etag !== (current ? current.etag : null))
            fill(changed, note("plain", t("doc.changed"), h("button", { type: "button", class: "small", onclick: load }, t("doc.showNew"))));
    }

    const el = h("div", { class: "doc" },
        h("p", { class: "back" }, h("a", { href: app.link("docs") }, `‹ ${t("tab.docs")}`)), h("h1", { class: "name" }, name),
        factList, changed, trouble,
        h("div", { class: "columns" },
            h("section", { "aria-labelledby": "panel-title", class: "card" }, panelTitle, panel),
            h("section", { "aria-labelledby": "versions-title", class: "card" }, h("h2", { id: "versions-title" }, t("doc.versions")),
                sourceRow, compareRow, rows, pages.el)));
    let names = null;

    function update() {
        const known = app.status ? app.status.remotes.map(r => r.name) : [];
        if (known.join("\n") !== names) {
            names = known.join("\n");
            fill(source, h("option", { value: "" }, t("doc.here")), known.map(n => h("option", { value: n }, n)));
            source.value = from;
            setHidden(sourceRow, !known.length);
        }
        if (!app.status || app.status.store.seq === seq)
            return;
        const before = seq;
        ({ seq } = app.status.store);
        if (before !== null)
            lookForChanges();
    }
    update();
    return { el, title: name, update, opened: load, close: () => pages.stop() };
}
