/* The entries of a stream as they are read, in a box that scrolls: a run of them without a hole is in the document, at most
 * MOST, and the rest comes and goes as one scrolls, so that a long stream costs what a short one does.
 *
 *     older  <--  [ first … last ]  -->  newer        what is not here at an end is asked for by the number there
 *
 * What is read stays where it is, whatever comes or goes around it; only who stands at the newest entry goes with it. New
 * ones are asked for behind the last number that is here, so none is left out that came between two questions. */
import { ask } from "./api.js";
import { h, fill, setHidden, setText } from "./dom.js";
import { t } from "./i18n.js";
import { problemBox, query } from "./parts.js";
import { readEntries, bubble, between, inShort, kindWords } from "./entries.js";

const PAGE = 60, MOST = 300;
const NEAR_PX = 700;   /* of an end: more is fetched */
const STUCK_PX = 40;   /* of the bottom: one stands there */
const LIVE_MS = 2000, PAUSE_MAX_MS = 30000, SAID_MAX = 3;

export class Talk {
    /* path: of the stream; link(e): address of an entry; say(text): to those who listen; onGone(problem): the stream is
     * not there any more. */
    constructor({ path, link, say, onGone }) {
        Object.assign(this, { path, link, say, onGone });
        this.gapMs = 0;
        this.kind = "";
        this.items = [];
        this.turn = this.known = this.seen = this.failures = 0;
        this.older = this.newer = this.busy = this.stopped = this.ready = this.atEnd = false;
        this.top = h("div", { class: "talk-end" });
        this.feed = h("div", { role: "feed", "aria-label": t("talk.label"), class: "feed" });
        this.bottom = h("div", { class: "talk-end" });
        this.box = h("div", { class: "talk", tabindex: 0, role: "region", "aria-label": t("talk.label") }, this.top, this.feed, this.bottom);
        this.pill = h("button", { type: "button", class: "pill primary", hidden: true, onclick: () => this.latest(true) });
        this.note = h("p", { class: "faint talk-note" });
        this.el = h("div", { class: "talk-place" }, this.note, this.box, this.pill);
        this.box.addEventListener("scroll", () => this.look(), { passive: true });
        this.box.addEventListener("keydown", event => this.key(event));
        /* The box itself changes its height: who stood at the bottom still does. */
        this.sized = new ResizeObserver(() => this.atEnd && this.toBottom());
        this.sized.observe(this.box);
        this.woken = () => document.hidden || this.live();
        document.addEventListener("visibilitychange", this.woken);
    }

    /* The stream is not there: nothing is asked or shown until the next jump. */
    rest() {
        this.turn++;
        this.ready = this.busy = this.atEnd = false;
        this.known = this.seen = 0;
        clearTimeout(this.timer);
        if (this.abort)
            this.abort.abort();
        this.items = [];
        this.feed.replaceChildren();
        fill(this.top);
        fill(this.bottom);
    }

    stop() {
        this.rest();
        this.stopped = true;
        this.sized.disconnect();
        document.removeEventListener("visibilitychange", this.woken);
    }

    /* ----------------------------------------------------------------------------- jumping */

    /* Shows it anew: `fetch()` gives { items, older, newer }, `then(items)` says where to look. What was under way is
     * nobody's any more. */
    async jump(fetch, then) {
        const mine = ++this.turn;
        if (this.abort)
            this.abort.abort();
        this.abort = new AbortController();
        this.mark(true);
        if (!this.items.length)
            fill(this.top, h("p", { class: "waiting" }, t("loading")));
        try {
            const got = await fetch();
            if (mine !== this.turn)
                return;
            this.ready = true;
            this.failures = 0;
            this.items = [];
            this.feed.replaceChildren();
            fill(this.bottom);
            fill(this.note);
            this.older = got.older;
            this.newer = got.newer;
            this.put(got.items, "newer");
            this.begins();
            then();
        } catch (error) {
            if (mine !== this.turn)
                return;
            if (error.status === 404 && this.onGone)
                this.onGone(error);
            else
                fill(this.top, problemBox(error, { again: () => this.jump(fetch, then) }));
        } finally {
            if (mine === this.turn)
                this.mark(false);
        }
        if (mine === this.turn) {
            this.look();
            this.live();
        }
    }

    latest(focus) {
        return this.jump(async () => {
            const page = await this.page({ last: PAGE });
            return { items: page.items, older: page.next !== null, newer: false };
        }, () => {
            this.toBottom();
            if (focus)
                this.box.focus({ preventScroll: true });
        });
    }

    first() {
        return this.jump(async () => {
            const page = await this.page({ limit: PAGE });
            return { items: page.items, older: false, newer: page.next !== null };
        }, () => {
            this.box.scrollTop = 0;
            this.box.focus({ preventScroll: true });
        });
    }

    /* The entry with this number in the middle, or where it would stand. */
    at(n) {
        return this.jump(async () => {
            const [before, after] = await Promise.all([this.page({ before: n + 1, limit: PAGE / 2 }), this.page({ after: n, limit: PAGE / 2 })]);
            return { items: [...before.items, ...after.items], older: before.next !== null, newer: after.next !== null };
        }, () => {
            const found = this.items.find(e => e.n >= n) || this.items.at(-1);
            if (!found)
                return;
            found.el.classList.add("found");
            found.el.focus({ preventScroll: true });
            this.box.scrollIntoView({ block: "nearest" });
            const { top, height } = found.bubble.getBoundingClientRect(), box = this.box.getBoundingClientRect();
            this.box.scrollTop += top - box.top - Math.max((box.height - height) / 2, 8);
            if (found.n !== n)
                this.tell(t("talk.notKept", { n }));
        });
    }

    /* The first entry at that time or later. Resolves with whether there is one. */
    async since(time) {
        const page = await this.page({ from: time.toISOString(), limit: 1 });
        if (page.items.length)
            await this.at(page.items[0].n);
        return page.items.length > 0;
    }

    show(kind) {
        this.kind = kind;
        return this.latest();
    }

    /* ----------------------------------------------------------------------------- asking */

    async page(values) {
        const { signal } = this.abort || {};
        const response = await ask("GET", `${this.path}/entries${query({ ...values, kind: this.kind })}`, { signal });
        const text = await response.text();
        return readEntries(text);
    }

    mark(busy) {
        this.busy = busy;
        this.feed.setAttribute("aria-busy", busy);
    }

    /* One page more at an end; `quiet`: nobody waits for it. */
    async load(side, quiet) {
        if (this.busy || this.stopped)
            return;
        const mine = this.turn, place = side === "older" ? this.top : this.bottom;
        this.mark(true);
        try {
            const page = await this.page(side === "older" ? { before: this.items[0].n, limit: PAGE }
                : { after: this.items.length ? this.items.at(-1).n : 0, limit: PAGE });
            if (mine !== this.turn)
                return;
            this[side] = page.next !== null;
            this.failures = 0;
            this.keep(() => {
                fill(place);
                this.put(page.items, side, quiet);
                this.begins();
            });
            if (quiet && page.items.length)
                this.announce(page.items);
        } catch (error) {
            if (mine !== this.turn)
                return;
            this.failures++;
            if (error.status === 404 && this.onGone)
                this.onGone(error);
            else if (!quiet)
                this.keep(() => fill(place, problemBox(error, { again: () => {
                    fill(place);
                    this.load(side);
                } })));
        } finally {
            if (mine === this.turn)
                this.mark(false);
        }
        if (mine === this.turn && !this.failures)
            this.look();
    }

    /* Asks now and then for what is new, while the page is seen and the newest entry is here. */
    live() {
        clearTimeout(this.timer);
        if (this.stopped || !this.ready || document.hidden)
            return;
        this.timer = setTimeout(async () => {
            if (!this.newer)
                await this.load("newer", true);
            this.live();
        }, this.failures ? Math.min(LIVE_MS * 2 ** this.failures, PAUSE_MAX_MS) : LIVE_MS);
    }

    /* Looks at once, for who has just appended something. */
    async look4new() {
        if (this.newer || !this.stuck)
            await this.latest();
        else
            await this.load("newer", true);
    }

    /* ----------------------------------------------------------------------------- showing */

    get stuck() {
        return !this.newer && this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < STUCK_PX;
    }

    /* The newest number that was seen of the stream. */
    get last() {
        return Math.max(this.known, this.items.length ? this.items.at(-1).n : 0);
    }

    toBottom() {
        this.box.scrollTop = this.box.scrollHeight;
    }

    /* Does something to the entries, and has what is read where it was; who is at the bottom stays there. */
    keep(change) {
        const stuck = this.stuck && this.items.length > 0, edge = this.box.getBoundingClientRect().top;
        const anchor = this.items.find(e => e.bubble.getBoundingClientRect().bottom > edge);
        const before = anchor && anchor.bubble.getBoundingClientRect().top;
        change();
        if (stuck)
            this.toBottom();
        else if (anchor && anchor.el.isConnected)
            this.box.scrollTop += anchor.bubble.getBoundingClientRect().top - before;
    }

    article(e) {
        e.bubble = bubble(e, this.link);
        e.marks = h("div", { class: "between" });
        e.el = h("article", { tabindex: -1, "aria-labelledby": `entry-${e.n}`, "aria-posinset": e.n, "aria-setsize": -1, "data-n": e.n },
            e.marks, e.bubble);
        return e.el;
    }

    separate(at) {
        const e = this.items[at];
        if (e)
            fill(e.marks, between(this.items[at - 1] || null, e, this.gapMs));
    }

    put(items, side, quiet) {
        if (side === "older") {
            this.items.unshift(...items);
            this.feed.prepend(...items.map(e => this.article(e)));
            for (let i = 0; i <= items.length; i++)
                this.separate(i);
            this.cut(this.items.length - MOST, "newer");
            return;
        }
        const from = this.items.length, stuck = this.stuck;
        this.items.push(...items);
        this.feed.append(...items.map(e => this.article(e)));
        for (let i = from; i < this.items.length; i++)
            this.separate(i);
        if (items.length)
            this.known = Math.max(this.known, items.at(-1).n);
        /* What comes while somebody reads further up pushes nothing out that may be read: it is fetched when it is wanted. */
        if (quiet && !stuck)
            this.cut(this.items.length - MOST - PAGE, "newer");
        else
            this.cut(this.items.length - MOST, "older");
    }

    /* So many go at an end. */
    cut(count, side) {
        if (count <= 0)
            return;
        const gone = side === "newer" ? this.items.splice(-count) : this.items.splice(0, count);
        if (gone.some(e => e.el.contains(document.activeElement)))
            this.box.focus({ preventScroll: true });
        for (const e of gone)
            e.el.remove();
        this[side] = true;
        this.separate(0);
    }

    /* What stands above the first one. */
    begins() {
        if (this.older)
            fill(this.top);
        else
            fill(this.top, h("p", { class: "faint begins" }, this.items.length ? t(this.kind ? "talk.beginsKind" : "talk.begins")
                : t(this.kind ? "talk.noneKind" : "talk.none")));
    }

    /* Where one is: what to fetch, and what is not seen yet. */
    look() {
        const { box } = this;
        this.atEnd = this.stuck;
        if (this.atEnd && this.items.length)
            this.seen = Math.max(this.seen, this.known, this.items.at(-1).n);
        this.count();
        if (this.busy || this.stopped || !this.items.length)
            return;
        if (this.older && box.scrollTop < NEAR_PX && !this.top.firstChild)
            this.load("older");
        else if (this.newer && box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX && !this.bottom.firstChild)
            this.load("newer");
    }

    /* The newest number that the server has told. */
    setKnown(n) {
        if (!this.known)
            this.seen = n;
        if (!this.kind)
            this.known = Math.max(this.known, n);
        this.count();
        if (this.ready && this.stuck && this.items.length && this.known > this.items.at(-1).n)
            this.load("newer", true);
    }

    count() {
        const n = this.known - this.seen;
        setHidden(this.pill, n <= 0 || this.stuck);
        if (n > 0)
            setText(this.pill, this.kind ? t("talk.newSome") : t("talk.new", { n }));
    }

    /* To those who listen: what came; how much, while they read further up. */
    announce(items) {
        if (items.length > SAID_MAX || !this.stuck)
            this.say(t("talk.came", { n: items.length }));
        else
            this.say(items.map(e => `${kindWords(e.kind)}: ${inShort(e.body, 200)}`).join(". "));
    }

    tell(text) {
        this.say(text);
        setText(this.note, text);
    }

    /* Home and End are those of the stream, not of what happens to be here; from entry to entry as in any feed. */
    key(event) {
        if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select, textarea, pre"))
            return;
        const article = event.target.closest("article");
        const step = { PageDown: 1, PageUp: -1 }[event.key];
        if (event.key === "Home")
            this.first();
        else if (event.key === "End")
            this.latest(true);
        else if (step && article === event.target) {
            const next = step > 0 ? article.nextElementSibling : article.previousElementSibling;
            if (next)
                next.focus();
        } else
            return;
        event.preventDefault();
    }
}
