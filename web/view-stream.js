/* One stream: its entries as a conversation, what stands beside them, an entry by hand, and the end of it all. */
import { getText, streamPath } from "./api.js";
import { h, fill, setText, setHidden } from "./dom.js";
import { t, bytes, number, lasting } from "./i18n.js";
import { fact, setWhen, query, problemBox, note } from "./parts.js";
import { readStream, kindWords } from "./entries.js";
import { Talk } from "./talk.js";
import { attributesPanel, statisticsPanel, ringsPanel, contextPanel } from "./stream-panels.js";
import { appendForm } from "./stream-append.js";
import { searchForm } from "./view-search.js";
import { askErase, erase, receiptCard } from "./erase.js";

const ASK_MS = 10000; /* where the status does not say whether anything has changed */

export function streamView(app, route) {
    const key = route.rest, { space } = app, path = streamPath(space, key);
    const link = e => app.link("stream", key, query({ n: e.n }));
    let info = null, seq = null, answeredAt = "", askedAt = 0, loads = 0, erased = false, begun = false, absent = false;

    const talk = new Talk({ path, link, say: app.say, onGone: () => (absent ? null : load()) });
    const kind = h("select", { id: "talk-kind", onchange: () => talk.show(kind.value) }, h("option", { value: "" }, t("talk.kinds")));
    const day = h("input", { id: "talk-day", type: "date", onchange: toDay });
    const bar = h("div", { class: "talk-bar" },
        h("div", { class: "choice" }, h("label", { for: "talk-kind", class: "visually-hidden" }, t("talk.kind")), kind),
        h("form", { class: "choice", onsubmit: toDay }, h("label", { for: "talk-day" }, t("talk.day")), day),
        h("div", { class: "buttons" }, h("button", { type: "button", class: "small", onclick: () => talk.first() }, t("talk.first")),
            h("button", { type: "button", class: "small", onclick: () => talk.latest(true) }, t("talk.latest"))));

    const facts = { count: h("span"), size: h("span"), first: h("time"), last: h("time"), kept: h("span") };
    const keptFact = fact(t("stream.kept"), facts.kept);
    const factList = h("dl", { class: "facts", hidden: true }, fact(t("stream.count"), facts.count), fact(t("stream.size"), facts.size),
        fact(t("stream.first"), facts.first), fact(t("stream.last"), facts.last), keptFact);
    const trouble = h("div", { class: "stream-trouble", "aria-live": "polite" }), eraseTrouble = h("div", { "aria-live": "polite" });
    const context = { app, key, path, link, patched: take };
    const panels = [attributesPanel(context), statisticsPanel(context), ringsPanel(context), contextPanel(context)];
    const writes = app.may("write", key);
    const append = writes ? appendForm({ app, path, done: async () => {
        if (absent)
            await load();
        else
            await talk.look4new();
        app.refresh(true);
    } }) : { el: h("p", { class: "faint" }, t("rights.readOnly")), update() { /* it says the same of any stream */ } };
    const last = h("section", { class: "card", "aria-labelledby": "erase-head" }, h("h2", { id: "erase-head" }, t("erase")), h("p", { class: "faint" }, t("erase.text")),
        eraseTrouble, h("button", { type: "button", class: "danger", onclick: eraseIt }, t("erase.this")));
    const search = searchForm(app, { prefix: key, label: t("search.here") });
    const beside = h("div", { class: "beside", hidden: true }, panels.map(p => p.el), writes && last);
    const card = h("div", { class: "card talk-card" }, bar, talk.el);
    const body = h("div", { class: "columns" }, h("div", { class: "talk-column" }, card, append.el), beside);
    const el = h("div", { class: "stream" },
        h("p", { class: "back" }, h("a", { href: app.link("streams") }, `‹ ${t("tab.streams")}`)), h("h1", { class: "name" }, key),
        factList, search, trouble, body);

    async function toDay(event) {
        event.preventDefault();
        if (!day.value)
            return;
        fill(trouble);
        try {
            if (!await talk.since(new Date(`${day.value}T00:00`)))
                talk.tell(t("talk.nothingSince"));
        } catch (error) {
            fill(trouble, problemBox(error));
        }
    }

    /* What is known of the stream is this now. Another one under the same key is shown from its own newest entry. */
    function take(now) {
        const another = info !== null && info.born !== now.born;
        if (another)
            talk.rest();
        info = now;
        for (const part of [factList, search, beside, card])
            setHidden(part, false);
        setText(facts.count, number(info.count));
        setText(facts.size, bytes(info.bytes));
        setWhen(facts.first, info.first_at);
        setWhen(facts.last, info.last_at);
        const { keep_last: keepLast, keep_age_ms: keepAge } = info.rules;
        setHidden(keptFact, !keepLast && !keepAge);
        setText(facts.kept, [keepLast && t("stream.keptLast", { n: keepLast }), keepAge && lasting(keepAge)].filter(Boolean).join(" · "));
        talk.gapMs = info.rules.conversation_gap_ms;
        talk.setKnown(info.last_n);
        const kinds = Object.keys(info.kinds).sort();
        if ([...kind.options].slice(1).map(o => o.value).join() !== kinds.filter(Boolean).join()) {
            fill(kind, h("option", { value: "" }, t("talk.kinds")), kinds.filter(Boolean).map(name => h("option", { value: name }, kindWords(name))));
            kind.value = kinds.includes(talk.kind) ? talk.kind : "";
        }
        for (const one of [...panels, append])
            one.update(info);
        if (another)
            begin().then(() => talk.tell(t("stream.anew")));
    }

    /* What the stream is; an answer that is late is nobody's. */
    async function ask() {
        const mine = ++loads;
        askedAt = Date.now();
        const text = await getText(path);
        if (mine === loads && !erased)
            take(readStream(text));
    }

    /* From the start: a stream that is not there may come into being here. */
    async function load() {
        try {
            seq = app.status ? app.status.store.seq : null;
            await ask();
        } catch (error) {
            if (error.status === 404)
                none();
            else if (!erased)
                fill(trouble, problemBox(error, { again: load }));
            return;
        }
        if (!begun || absent)
            begin();
    }

    function none() {
        if (erased || absent)
            return;
        absent = true;
        info = null;
        talk.rest();
        for (const part of [factList, search, beside, card])
            setHidden(part, true);
        fill(trouble, note("plain", t(begun ? "stream.goneNow" : "stream.absent"), h("p", null, t("stream.begin"))));
        append.update(null);
    }

    function begin() {
        const n = begun ? 0 : Number(route.query.get("n"));
        begun = true;
        absent = false;
        fill(trouble);
        return Number.isSafeInteger(n) && n > 0 ? talk.at(n) : talk.latest();
    }

    async function eraseIt() {
        const goes = [t("erase.entries", { n: info.count, size: bytes(info.bytes) }), t("erase.attrs"), t("erase.attached")];
        if (!await askErase(app, { title: t("erase.title", { name: key }), goes, name: key, label: t("erase.name") }))
            return;
        const receipt = await erase(path, eraseTrouble);
        if (!receipt)
            return;
        erased = true;
        talk.stop();
        const { el: receiptEl, heading } = receiptCard(app, receipt, t("receipt.done", { name: key }));
        setHidden(factList, true);
        search.remove();
        body.replaceWith(receiptEl);
        heading.focus();
        app.say(t("receipt.done", { name: key }));
        app.refresh(true);
    }

    /* The status has come: whether anything was written since. */
    async function update() {
        if (app.status && app.status.at !== answeredAt) {
            answeredAt = app.status.at;
            talk.answers();
        }
        const now = app.status ? app.status.store.seq : null;
        if (erased || (!begun && !absent) || (now !== null ? now === seq : Date.now() - askedAt < ASK_MS))
            return;
        seq = now;
        try {
            await ask();
        } catch (error) {
            if (error.status === 404)
                none();
            else if (error.status !== 0) /* the frame tells of a server that does not answer */
                fill(trouble, problemBox(error, { again: load }));
            return;
        }
        if (absent)
            begin();
    }
    return { el, title: key, update, opened: load, close: () => talk.stop() };
}
