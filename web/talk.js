/* The entries of a stream as they are read, in a box that scrolls: a run of them without a hole is in the document, at most
 * MOST, and the rest comes and goes as one scrolls, so that a long stream costs what a short one does.
 *
 *     older  <--  [ first … last ]  -->  newer        what is not here at an end is asked for by the number there
 *
 * What is read stays where it is, whatever comes or goes around it; only who stands at the newest entry goes with it. New
 * ones are asked for behind the last number that is here, so none is left out that came between two questions; who follows
 * is answered by the server when there is one.
 *
 * An entry that is damaged fails the page that it is on, and the problem names it: shorter pages are asked for, up to it,
 * then it is shown as what it is, and the next page begins behind it.
 *
 * An answer of another life of the key (`born`) is of another stream: it is not put beside what is here. */
import { getText, Problem } from "./api.js";
import { h, fill, setHidden, setText } from "./dom.js";
import { t } from "./i18n.js";
import { problemBox, query } from "./parts.js";
import { readEntries, bubble, between, damagedEntry, inShort, kindWords } from "./entries.js";

const PAGE = 60, MOST = 300;
const NEAR_PX = 700;   /* of an end: more is fetched */
const STUCK_PX = 40;   /* of the bottom: one stands there */
const FOLLOW_S = 20, PAUSE_MS = 500, PAUSE_MAX_MS = 30000, SAID_MAX = 3;

/* The stream is not there any more, or it is another one under the same key. */
function isGone(error) {
    return error.status === 404 || error.code === "another_life";
}

export class Talk {
    /* path: of the stream; link(e): address of an entry; say(text): to those who listen; onGone(problem): isGone. */
    constructor({ path, link, say, onGone }) {
        Object.assign(this, { path, link, say, onGone });
        this.gapMs = 0;
        this.kind = this.born = "";
        this.items = [];
        this.following = null;
        this.turn = this.known = this.seen = this.failures = 0;
        this.older = this.newer = this.busy = this.jumping = this.lacks = this.stopped = this.ready = this.atEnd = false;
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
        this.woken = () => this.live();
        document.addEventListener("visibilitychange", this.woken);
    }

    /* The stream is not there: nothing is asked or shown until the next jump. */
    rest() {
        this.turn++;
        this.ready = this.busy = this.jumping = this.atEnd = false;
        this.known = this.seen = 0;
        this.born = "";
        this.cancel();
        this.items = [];
        this.feed.replaceChildren();
        fill(this.top);
        fill(this.bottom);
    }

    stop() {
        this.stopped = true;
        this.rest();
        this.sized.disconnect();
        document.removeEventListener("visibilitychange", this.woken);
    }

    /* ----------------------------------------------------------------------------- jumping */

    /* Shows it anew: `fetch()` gives { items, older, newer }, `then(items)` says where to look. What was under way is
     * nobody's any more. */
    async jump(fetch, then) {
        const mine = ++this.turn;
        this.cancel();
        this.abort = new AbortController();
        this.mark(true);
        this.jumping = true;
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
            if (isGone(error))
                this.onGone(error);
            else
                fill(this.top, problemBox(error, { again: () => this.jump(fetch, then) }));
        } finally {
            if (mine === this.turn)
                this.mark(this.jumping = false);
        }
        if (mine === this.turn) {
            this.look();
            this.live();
        }
    }

    latest(focus) {
        return this.jump(async () => {
            const page = await this.run("older", 0, PAGE);
            return { items: page.items, older: page.next !== null, newer: false };
        }, () => {
            this.toBottom();
            if (focus)
                this.box.focus({ preventScroll: true });
        });
    }

    first() {
        return this.jump(async () => {
            const page = await this.run("newer", 0, PAGE);
            return { items: page.items, older: false, newer: page.next !== null };
        }, () => {
            this.box.scrollTop = 0;
            this.box.focus({ preventScroll: true });
        });
    }

    /* The entry with this number in the middle, or where it would stand. */
    at(n) {
        return this.jump(async () => {
            const [before, after] = await Promise.all([this.run("older", n + 1, PAGE / 2), this.run("newer", n, PAGE / 2)]);
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
        const n = await this.firstSince(time);
        if (n)
            await this.at(n);
        return n > 0;
    }

    show(kind) {
        this.kind = kind;
        return this.latest();
    }

    /* ----------------------------------------------------------------------------- asking */

    /* Nobody waits any more for what was asked. */
    cancel() {
        clearTimeout(this.timer);
        if (this.abort)
            this.abort.abort();
        if (this.following)
            this.following.abort();
    }

    async page(values, options = { signal: this.abort && this.abort.signal }) {
        const page = readEntries(await getText(`${this.path}/entries${query({ ...values, kind: this.kind })}`, options));
        this.born ||= page.born;
        if (page.born !== this.born)
            throw new Problem(410, { code: "another_life" });
        return page;
    }

    /* At most `limit` beside the number `from`, on its newer or its older side; the newest or the first of all for 0. */
    async run(side, from, limit) {
        const newer = side === "newer";
        for (let most = limit; ; ) {
            try {
                return await this.page(newer ? { after: from, limit: most } : from ? { before: from, limit: most } : { last: most });
            } catch (error) {
                const n = error.entry;
                if (!n)
                    throw error;
                if (!newer)
                    from ||= Number.MAX_SAFE_INTEGER;
                const beside = newer ? n - from - 1 : from - n - 1; /* entries between, where no number is missing */
                if (most === 1 || beside === 0)
                    return { items: [damagedEntry(n)], next: "" };
                most = Math.min(beside, Math.floor(most / 2)) || 1;
            }
        }
    }

    /* 0: there is none. */
    async firstSince(time) {
        try {
            const page = await this.page({ from: time.toISOString(), limit: 1 });
            return page.items.length ? page.items[0].n : 0;
        } catch (error) {
            if (error.entry)
                return error.entry;
            throw error;
        }
    }

    mark(busy) {
        this.busy = busy;
        this.feed.setAttribute("aria-busy", busy);
    }

    /* The number at an end, where more is asked for. */
    end(side) {
        const e = side === "older" ? this.items[0] : this.items.at(-1);
        return e ? e.n : 0;
    }

    /* Puts what was asked for at an end. That end may be another one meanwhile: what is here already is passed over, and
     * what would leave a hole is dropped. Gives what was added. */
    take(side, asked, page, quiet) {
        const end = this.end(side);
        if (side === "older" ? end !== asked : end < asked)
            return [];
        const items = side === "older" ? page.items : page.items.filter(e => e.n > end);
        if (items.length || end === asked)
            this[side] = page.next !== null;
        this.keep(() => {
            fill(side === "older" ? this.top : this.bottom);
            this.put(items, side, quiet);
            this.begins();
        });
        return items;
    }

    /* One page more at an end. */
    async load(side) {
        if (this.busy || this.stopped)
            return;
        const mine = this.turn, asked = this.end(side), place = side === "older" ? this.top : this.bottom;
        let failed = false;
        this.mark(true);
        try {
            const page = await this.run(side, asked, PAGE);
            if (mine === this.turn)
                this.take(side, asked, page, false);
        } catch (error) {
            failed = true;
            if (mine !== this.turn)
                return;
            this.lacks = error.status === 0 || error.status === 503; /* which may pass; damage does not */
            if (isGone(error))
                this.onGone(error);
            else
                this.keep(() => fill(place, problemBox(error, { again: () => {
                    fill(place);
                    this.load(side);
                } })));
        } finally {
            if (mine === this.turn)
                this.mark(false);
        }
        if (mine !== this.turn)
            return;
        if (!failed)
            this.look();
        this.live();
    }

    /* A question for what comes behind the newest entry stands at the server as long as the page is seen and that entry is
     * here; it is answered as soon as there is something. The next one waits a moment, so that many come together. */
    live() {
        clearTimeout(this.timer);
        if (document.hidden || this.stopped || !this.ready || this.newer) {
            if (this.following)
                this.following.abort();
            return;
        }
        if (!this.following && !this.jumping)
            this.timer = setTimeout(() => this.follow(), Math.min(PAUSE_MS * 2 ** this.failures, PAUSE_MAX_MS));
    }

    async follow() {
        const mine = this.turn, asked = this.end("newer"), abort = new AbortController();
        this.following = abort;
        try {
            const page = await this.page({ after: asked, limit: PAGE, follow: `${FOLLOW_S}s` }, { signal: abort.signal, timeout: FOLLOW_S * 2000 });
            this.failures = 0;
            if (mine === this.turn) {
                const items = this.take("newer", asked, page, true);
                if (items.length)
                    this.announce(items);
                this.look();
            }
        } catch (error) {
            if (!abort.signal.aborted) {
                this.failures++; /* the frame tells of a server that does not answer */
                if (mine === this.turn && isGone(error))
                    this.onGone(error);
                else if (mine === this.turn && error.entry) {
                    this.newer = true; /* what is behind it is fetched as any other */
                    this.look();
                }
            }
        } finally {
            this.following = null;
        }
        this.live();
    }

    /* The server answers (again): what could not be fetched can be now. */
    answers() {
        if (this.ready && this.lacks) {
            this.lacks = false;
            this.keep(() => {
                fill(this.bottom);
                this.begins();
            });
            this.look();
        }
        if (this.failures) {
            this.failures = 0;
            this.live();
        }
    }

    /* Looks at once, for who has just appended something. */
    async look4new() {
        if (this.newer || !this.stuck)
            await this.latest();
        else
            await this.load("newer");
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
        let before = at - 1;
        while (before >= 0 && this.items[before].damaged)
            before--;
        if (e)
            fill(e.marks, between(this.items[before] || null, e, this.gapMs));
        if (e && e.damaged)
            this.separate(at + 1);
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
            this.load("newer");
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
            this.say(items.map(e => (e.damaged ? t("entry.damaged") : `${kindWords(e.kind)}: ${inShort(e.body, 200)}`)).join(". "));
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
