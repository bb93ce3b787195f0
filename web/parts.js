/* Parts that several views show: times, sizes, problems, questions, lists that go on. */
import { h, fill, icon, setText, setHidden } from "./dom.js";
import { t, ago, time, fullTime, bytes, problemTitle, nextStep, has } from "./i18n.js";
import { Problem } from "./api.js";

/* A time in words, with the whole of it beside: <time>. `iso` may be null. */
export function when(iso) {
    const el = h("time");
    setWhen(el, iso);
    return el;
}

export function setWhen(el, iso, none = "–") {
    if (!iso) {
        el.removeAttribute("datetime");
        el.removeAttribute("title");
        setText(el, none);
        return;
    }
    if (el.getAttribute("datetime") !== iso) {
        el.setAttribute("datetime", iso);
        el.setAttribute("title", fullTime(iso));
    }
    const days = Math.abs(Date.now() - Date.parse(iso)) / 86400000;
    setText(el, days < 1 ? ago(iso) : time(iso));
}

/* Times in words grow old where nothing else changes. */
export function ageTimes(root) {
    for (const el of root.querySelectorAll("time[datetime]:not(.clock)"))
        setWhen(el, el.getAttribute("datetime"));
}

/* A row of a list of facts. */
export function fact(label, value) {
    return h("div", { class: "fact" }, h("dt", null, label), h("dd", null, value));
}

/* What went wrong: its title, what the server says of this case, and the next step. */
export function problemBox(p, { again } = {}) {
    if (!(p instanceof Problem))
        p = new Problem(0, { code: "page", detail: String(p && p.message || p) });
    const next = nextStep(p.code);
    return h("div", { class: "box bad", role: "alert" }, icon("bad"), h("div", null,
        h("p", { class: "box-title" }, problemTitle(p)),
        p.detail && h("p", { lang: "en" }, p.detail),
        next && h("p", { class: "next" }, h("strong", null, t("next")), " ", next),
        p.retryAfter > 0 && p.status === 429 && h("p", null, t("retryAfter", { n: p.retryAfter })),
        p.requestId && p.status >= 500 && h("p", { class: "faint" }, t("requestId", { id: p.requestId })),
        again && h("button", { type: "button", class: "small", onclick: again }, t("again"))));
}

export function note(kind, title, ...rest) {
    return h("div", { class: `box ${kind}` }, icon(kind === "good" ? "good" : kind === "plain" ? "note" : kind),
        h("div", null, h("p", { class: "box-title" }, title), rest));
}

/* Asks before something that cannot be undone by a click; resolves with whether to do it. */
export function confirm({ title, text, yes, danger }) {
    return new Promise(resolve => {
        const answer = value => () => {
            dialog.close();
            dialog.remove();
            resolve(value);
        };
        const dialog = h("dialog", { "aria-labelledby": "ask-title", "aria-describedby": "ask-text" },
            h("h2", { id: "ask-title" }, title), h("p", { id: "ask-text" }, text),
            h("div", { class: "buttons" },
                h("button", { type: "button", class: danger ? "danger" : "primary", onclick: answer(true) }, yes),
                h("button", { type: "button", autofocus: true, onclick: answer(false) }, t("cancel"))));
        dialog.addEventListener("cancel", event => {
            event.preventDefault();
            answer(false)();
        });
        document.body.append(dialog);
        dialog.showModal();
    });
}

/* A list that is fetched page by page: the next one when its end comes into view, or by the button there, which is
 * also what a keyboard finds. `fetchPage(cursor, signal)` gives { items, next }; `show(items)` appends them; `empty` is
 * shown when there is nothing. */
export class Pages {
    constructor({ fetchPage, show, empty, onCount }) {
        Object.assign(this, { fetchPage, show, empty, onCount });
        this.button = h("button", { type: "button", class: "more", onclick: () => this.next() }, t("more"));
        this.el = h("div", { class: "pages-end" }, this.button);
        this.watch = new IntersectionObserver(seen => {
            if (seen.some(s => s.isIntersecting))
                this.next();
        }, { rootMargin: "600px" });
        this.restart();
    }

    restart() {
        this.stop();
        this.abort = new AbortController();
        this.cursor = null;
        this.count = 0;
        this.begun = this.ended = this.busy = false;
    }

    stop() {
        this.watch.disconnect();
        if (this.abort)
            this.abort.abort();
    }

    async next() {
        if (this.busy || this.ended)
            return;
        const { signal } = this.abort;
        this.busy = true;
        this.watch.disconnect();
        try {
            const page = await this.fetchPage(this.cursor, signal);
            if (signal.aborted)
                return;
            this.count += page.items.length;
            this.cursor = page.next;
            this.ended = page.next === null;
            this.show(page.items, !this.begun);
            this.begun = true;
            fill(this.el, !this.count ? this.empty() : !this.ended && this.button);
            if (this.onCount)
                this.onCount(this.count, this.ended);
        } catch (error) {
            if (signal.aborted)
                return;
            fill(this.el, problemBox(error, { again: () => this.next() }));
            this.busy = false;
            return;
        }
        this.busy = false;
        if (!this.ended && this.el.isConnected)
            this.watch.observe(this.el);
    }
}

/* What is kept elsewhere under this name: a document, or a stream, of which one file or all are meant. */
export function itemLink(app, name) {
    const stream = /^keepfast-streams\/(.+?)(?:\/(?:stream|\d{12})\.ndjson)?$/.exec(name);
    if (!stream)
        return h("a", { href: app.link("doc", name) }, name);
    return [h("a", { href: app.link("stream", stream[1]) }, stream[1]), " ", h("span", { class: "badge" }, t("stream"))];
}

/* Words that speak of documents, as long as the space has nothing else. */
export function itemWords(status, key, values) {
    const any = `${key}.any`;
    return t(status && status.store.streams && has(any) ? any : key, values);
}

export function query(values) {
    const q = new URLSearchParams();
    for (const [name, value] of Object.entries(values))
        if (value !== null && value !== undefined && value !== "")
            q.set(name, value);
    const text = q.toString();
    return text && `?${text}`;
}

/* A line of progress: a bar, how far in words, and a way to end it. */
export function progress(label, onStop) {
    const bar = h("progress", { "aria-label": label });
    const words = h("span", { class: "progress-words" }, label);
    const el = h("div", { class: "progress" }, bar, words,
        onStop && h("button", { type: "button", class: "small", onclick: onStop }, t("cancel")));
    return {
        el,
        of(done, total, text) {
            if (total > 0) {
                bar.max = total;
                bar.value = done;
            } else {
                bar.removeAttribute("value");
            }
            setText(words, text);
        },
    };
}

export { bytes, setHidden };
