/* What would be lost if this machine died now; every remote with what waits for it; the store, its backups, what the
 * doctor finds, and how all spaces are. */
import { ask, getJson, download, Problem } from "./api.js";
import { h, fill, icon, keyed, setText, setHidden } from "./dom.js";
import { t, bytes, number, lasting, list, problemTitle, nextStep, has } from "./i18n.js";
import { fact, setWhen, problemBox, note, Pages, query, progress, itemLink, itemWords } from "./parts.js";

const RUN_TIMEOUT = "30m";

const path = (space, ...rest) => `v1/${[space, ...rest].map(encodeURIComponent).join("/")}`;

/* A schedule as the server writes it: "every: 1h, on_change: 30s". */
function scheduleWords(text) {
    return text.split(/,\s*/).map(part => {
        const [name, value = ""] = part.split(/:\s*/);
        return has(`schedule.${name}`) ? t(`schedule.${name}`, { n: Number(value) || 0, value }) : part;
    }).join(" · ");
}

/* ------------------------------------------------------------------------------------- a remote */

/* How a remote is, in one word and one colour. */
function remoteState(r) {
    if (r.state === "running")
        return ["run", "state.running"];
    if (r.state === "auth" || r.state === "diverged" || r.state === "rolled_back")
        return ["bad", `state.${r.state}`];
    if (r.overdue_since)
        return ["bad", "state.overdue"];
    if (r.state === "retrying" || r.last_error)
        return ["warn", r.state === "retrying" ? "state.retrying" : "state.error"];
    if (!r.hydrated)
        return ["wait", "state.filling"];
    return r.pending.count ? ["wait", "state.waiting"] : ["good", "state.good"];
}

function errorLine(error) {
    const next = nextStep(error.code);
    return h("div", { class: "box bad" }, icon("bad"), h("div", null,
        h("p", { class: "box-title" }, problemTitle(error)),
        h("p", { lang: "en" }, error.detail),
        next && h("p", { class: "next" }, h("strong", null, t("next")), " ", next)));
}

/* Saves to one remote: asks for a run, and tells how far it is from what is still pending. Resolves with whether it
 * went well. */
function saver(app, name, place) {
    const space = app.space;
    let under = null;
    return () => {
        under ||= app.saving(run).finally(() => {
            under = null;
        });
        return under;
    };

    function at() {
        return app.status && app.space === space ? app.status.remotes.find(r => r.name === name) : null;
    }

    /* Why stands with the remote when it knows; here when it does not. */
    async function notSaved(error) {
        if (error.code === "level_unavailable")
            await app.refresh(true);
        const known = error.code === "level_unavailable" && at() && at().last_error;
        fill(place, known ? h("div", { role: "alert" }, note("bad", t("notSaved", { name }))) : problemBox(error));
    }

    async function run() {
        const first = at() ? at().pending.count : 0;
        let most = first;
        const began = Date.now();
        const bar = progress(t("saving", { name }));
        fill(place, bar.el);
        const tell = () => {
            const left = at() ? at().pending.count : 0;
            most = Math.max(most, left);
            const seconds = Math.round((Date.now() - began) / 1000);
            bar.of(most - left, left === most ? 0 : most, most
                ? itemWords(app.status, "savingLeft", { n: left, name, since: lasting(seconds * 1000) }) : t("saving", { name }));
        };
        const ticking = setInterval(tell, 250);
        try {
            await ask("POST", `${path(space, "remotes", name, "run")}?timeout=${RUN_TIMEOUT}`, { timeout: 0 });
            await app.refresh(true);
            const words = t("saved", { name });
            fill(place, note("good", words));
            app.say(words);
            return true;
        } catch (error) {
            await notSaved(error);
            return false;
        } finally {
            clearInterval(ticking);
        }
    }
}

function waitingList(app, name) {
    const rows = h("ul", { class: "names" });
    const space = app.space;
    const pages = new Pages({
        fetchPage: (cursor, signal) =>
            getJson(path(space, "remotes", name, "pending") + query({ limit: 200, cursor }), { signal }),
        show: (items, first) => {
            if (first)
                rows.replaceChildren();
            for (const item of items) {
                const time = h("time");
                setWhen(time, item.since);
                rows.append(h("li", null,
                    h("span", null, itemLink(app, item.name)),
                    h("span", { class: "faint" }, item.deleted ? t("deleted") : bytes(item.size), " · ", time)));
            }
        },
        empty: () => h("p", { class: "faint" }, t("nothingWaits")),
    });
    return { el: h("div", null, rows, pages.el), pages };
}

function remoteCard(app) {
    const badge = h("span"), kind = h("span", { class: "faint" }), url = h("p", { class: "url" });
    const facts = { confirmed: h("time"), waiting: h("span"), next: h("time"), overdue: h("time"), schedule: h("span") };
    const overdue = fact(t("overdueSince"), facts.overdue);
    const aside = h("a", { class: "aside-link", hidden: true });
    const error = h("div"), place = h("div", { "aria-live": "polite" });
    const title = h("h3");
    const save = h("button", { type: "button", class: "primary" }, t("saveNow"));
    const taken = h("button", { type: "button" }, icon("down"), t("downloadWaiting"));
    const summary = h("summary", null, t("whatWaits")), details = h("details", { class: "waiting-list", hidden: true }, summary);
    let waits = null, seen = "", latest = "", run = null, hadState = "", hadError = "";

    details.addEventListener("toggle", () => {
        if (!details.open) {
            if (waits)
                waits.pages.stop();
            fill(details, summary);
            waits = null;
        } else if (!waits) {
            waits = waitingList(app, card.name);
            seen = latest;
            fill(details, summary, waits.el);
            waits.pages.next();
        }
    });
    const el = h("article", { class: "card remote" },
        h("header", null, h("div", null, title, kind), badge), url,
        h("dl", { class: "facts" }, fact(t("lastSave"), facts.confirmed), fact(t("waits"), facts.waiting),
            fact(t("nextRun"), facts.next), overdue, fact(t("schedule"), facts.schedule)),
        error, aside, h("div", { class: "buttons" }, app.may("run") && save, taken), place, details);

    const card = {
        el,
        name: "",
        save: () => run(),
        update(r) {
            if (!run) {
                card.name = r.name;
                run = saver(app, r.name, place);
                el.dataset.remote = r.name;
                el.setAttribute("aria-label", r.name);
                title.textContent = r.name;
                url.textContent = r.url;
                save.addEventListener("click", run);
                save.setAttribute("aria-label", `${t("saveNow")}: ${r.name}`);
                taken.addEventListener("click", () =>
                    fetchBackup(app, place, `${app.space}-${r.name}-waiting.zip`, { pending: r.name }));
            }
            setText(kind, r.encrypted ? `${r.kind} · ${t("encrypted")}` : r.kind);
            const [colour, state] = remoteState(r);
            if (hadState !== state) {
                hadState = state;
                badge.className = `badge ${colour}`;
                fill(badge, icon(colour), t(state));
            }
            setWhen(facts.confirmed, r.confirmed, t("never"));
            setText(facts.waiting, r.pending.count
                ? `${itemWords(app.status, "documents", { n: r.pending.count })}, ${bytes(r.pending.bytes)}, ${t("oldest", { age: lasting(r.pending.age_ms) })}`
                : t("nothing"));
            setWhen(facts.next, r.next_run, t("notPlanned"));
            setHidden(overdue, !r.overdue_since);
            setWhen(facts.overdue, r.overdue_since);
            setText(facts.schedule, scheduleWords(r.schedule));
            const failing = JSON.stringify([r.last_error, r.failures]);
            if (failing !== hadError) {
                hadError = failing;
                fill(error, r.last_error && errorLine(r.last_error),
                    r.failures > 1 && h("p", { class: "faint" }, t("failures", { n: r.failures })));
            }
            setHidden(aside, !r.set_aside);
            setText(aside, t("asideCount", { n: r.set_aside }));
            aside.href = app.link("set-aside");
            setHidden(details, !r.pending.count && !details.open);
            setHidden(taken, !r.pending.count);
            latest = `${r.pending.count} ${r.pending.oldest} ${r.pending.bytes}`;
            if (waits && latest !== seen && !waits.el.contains(document.activeElement)) { /* nobody is in the midst of it */
                waits.pages.restart();
                waits.pages.next();
                seen = latest;
            }
        },
    };
    return card;
}

/* ------------------------------------------------------------------------------------- backups */

async function fetchBackup(app, place, name, params = {}) {
    const abort = new AbortController();
    const bar = progress(t("downloading"), () => abort.abort());
    fill(place, bar.el);
    try {
        const done = await download(`${path(app.space, "backup")}${query(params)}`, name, {
            signal: abort.signal,
            onBytes: n => bar.of(0, 0, t("downloaded", { size: bytes(n) })),
        });
        fill(place, done && note("good", t("downloadDone", { name })));
    } catch (error) {
        if (abort.signal.aborted)
            fill(place, note("plain", t("downloadStopped")));
        else
            fill(place, problemBox(error instanceof Problem ? error
                : new Problem(0, { code: "broken_off", detail: String(error.message || "") })));
    }
}

function backupsCard(app) {
    const facts = { last: h("time"), size: h("span"), next: h("time"), overdue: h("time"), drill: h("time"), outcome: h("span") };
    const overdue = fact(t("overdueSince"), facts.overdue);
    const error = h("div"), none = h("p", { class: "faint" }, t("backups.none"));
    const place = h("div", { "aria-live": "polite" });
    const known = h("dl", { class: "facts" },
        fact(t("backups.last"), h("span", null, facts.last, " ", facts.size)), fact(t("backups.next"), facts.next), overdue,
        fact(t("backups.drill"), h("span", null, facts.drill, " ", facts.outcome)));
    let hadError = "";
    return {
        el: h("section", { class: "card", "aria-labelledby": "backups-title" }, h("h2", { id: "backups-title" }, t("backups")),
            known, none, error,
            h("div", { class: "buttons" }, h("button", {
                type: "button", id: "download-backup",
                onclick: () => fetchBackup(app, place, `${app.space}-${new Date().toISOString().slice(0, 10)}.zip`),
            }, icon("down"), t("downloadBackup"))), place),
        update(b) {
            setHidden(known, !b);
            setHidden(none, Boolean(b));
            const errors = b ? [b.last_error, b.drill && b.drill.error].filter(Boolean) : [];
            const text = JSON.stringify(errors);
            if (text !== hadError)
                fill(error, errors.map(errorLine));
            hadError = text;
            if (!b)
                return;
            setWhen(facts.last, b.last && b.last.at, t("never"));
            setText(facts.size, b.last ? `(${[t("documents", { n: b.last.docs }),
                b.last.entries > 0 && t("entries", { n: b.last.entries }), bytes(b.last.bytes)].filter(Boolean).join(", ")})` : "");
            setWhen(facts.next, b.next, t("notPlanned"));
            setHidden(overdue, !b.overdue_since);
            setWhen(facts.overdue, b.overdue_since);
            setWhen(facts.drill, b.drill && b.drill.at, t("never"));
            setText(facts.outcome, b.drill ? `– ${t(b.drill.good ? "drill.good" : "drill.bad")}` : "");
        },
    };
}

/* ------------------------------------------------------------------------------------- the store */

function storeCard() {
    const facts = { state: h("span"), docs: h("span"), streams: h("span"), disk: h("span"), free: h("span"), quota: h("span") };
    const streams = fact(t("tab.streams"), facts.streams), quota = fact(t("store.quota"), facts.quota), free = fact(t("store.free"), facts.free);
    return {
        el: h("section", { class: "card", "aria-labelledby": "store-title" }, h("h2", { id: "store-title" }, t("store")),
            h("dl", { class: "facts" }, fact(t("store.state"), facts.state), fact(t("store.docs"), facts.docs), streams,
                fact(t("store.disk"), facts.disk), free, quota)),
        update(s) {
            const state = has(`store.${s.state}`) ? t(`store.${s.state}`) : s.state;
            setText(facts.state, s.reason ? `${state}: ${s.reason}` : state);
            setText(facts.docs, `${number(s.docs)} (${bytes(s.doc_bytes)})`);
            setHidden(streams, !s.streams);
            if (s.streams)
                setText(facts.streams, `${number(s.streams)} (${t("entries", { n: s.entries })}, ${bytes(s.entry_bytes)})`);
            setText(facts.disk, bytes(s.disk_bytes));
            setHidden(free, s.level === "shared"); // a database does not say
            setText(facts.free, bytes(s.disk_free));
            setHidden(quota, !s.quota_bytes);
            setText(facts.quota, `${bytes(s.used_bytes)} / ${bytes(s.quota_bytes)}`);
        },
    };
}

/* Every space that the server speaks of, when there are several. */
function spacesCard(app) {
    const rows = h("tbody");
    const el = h("section", { class: "card", "aria-labelledby": "spaces-title", hidden: true },
        h("h2", { id: "spaces-title" }, t("spaces")),
        h("table", { class: "plain-table" },
            h("thead", null, h("tr", null, h("th", { scope: "col" }, t("space")), h("th", { scope: "col" }, t("store.state")))), rows));
    return {
        el,
        update(items) {
            setHidden(el, items.length < 2);
            keyed(rows, items, i => i.space, item => {
                const state = h("td");
                let had = "";
                return {
                    el: h("tr", null, h("th", { scope: "row" }, h("a", { href: app.link("", "", "", item.space) }, item.space)), state),
                    update(i) {
                        const now = JSON.stringify(i);
                        if (now === had)
                            return;
                        had = now;
                        fill(state, h("span", { class: `badge ${i.durable ? "good" : "bad"}` }, icon(i.durable ? "good" : "bad"),
                            t(i.durable ? "durable.good" : "durable.bad")), i.reason && h("p", { lang: "en" }, i.reason));
                    },
                };
            });
        },
    };
}

function doctorCard() {
    const items = h("ul", { class: "findings" });
    const none = h("p", { class: "faint" }, t("doctor.none"));
    const el = h("section", { class: "card", "aria-labelledby": "doctor-title", hidden: true },
        h("h2", { id: "doctor-title" }, t("doctor")), items, none);
    const icons = { error: "bad", warning: "warn", note: "note" };
    return {
        el,
        update(found) {
            setHidden(el, !found);
            setHidden(none, !found || found.length > 0);
            keyed(items, found || [], f => JSON.stringify(f), f => ({
                el: h("li", { class: `finding ${f.level}`, "data-code": f.code }, icon(icons[f.level] || "note"), h("div", null,
                    h("p", { class: "box-title" }, h("span", { class: "visually-hidden" }, `${t(`level.${f.level}`)}: `),
                        h("span", { lang: "en" }, f.title), f.remote && h("span", { class: "faint" }, ` (${f.remote})`)),
                    h("p", { lang: "en" }, f.detail),
                    f.next && h("p", { class: "next" }, h("strong", null, t("next")), " ", h("span", { lang: "en" }, f.next)))),
                update() { /* a finding that has changed is another one */ },
            }));
        },
    };
}

/* ------------------------------------------------------------------------------------- the whole */

/* The sentence of the page: what would be lost if this machine died now. */
function verdict(status) {
    const { remotes, pending, store } = status;
    if (store.state !== "open" && store.state !== "hydrating")
        return ["bad", t("verdict.noWrites"), store.reason];
    if (!remotes.length)
        return ["warn", t("verdict.alone"), t("verdict.aloneText")];
    if (store.state === "hydrating")
        return ["wait", t("verdict.filling"), t("verdict.fillingText", { names: list(remotes.filter(r => !r.hydrated).map(r => r.name)) })];
    /* Not as it was left: what is still there cannot be told. */
    const doubtful = remotes.filter(r => r.state === "diverged" || r.state === "rolled_back");
    const trusted = remotes.filter(r => !doubtful.includes(r));
    const whole = trusted.filter(r => !r.pending.count && r.hydrated && !r.docs).map(r => r.name);
    const partial = trusted.filter(r => r.docs);
    if (!pending.count && !whole.length && !doubtful.length && partial.length)
        return ["wait", t("verdict.partial", { names: list(partial.map(r => r.name)) }),
            t("verdict.partialText", { patterns: list([...new Set(partial.flatMap(r => r.docs))]) })];
    const safe = whole.length ? whole : trusted.map(r => r.name);
    if (!pending.count && (whole.length || !doubtful.length))
        return ["good", t("verdict.safe", { n: safe.length, names: list(safe) }), t("verdict.safeText")];
    if (whole.length)
        return ["wait", itemWords(status, "verdict.onTheWay", { n: pending.count }), t("verdict.onTheWayText", { names: list(whole) })];
    const behind = trusted.filter(r => r.pending.count);
    if (!behind.length && doubtful.length)
        return ["bad", t("verdict.unsure"), t("verdict.unsureText", { names: list(doubtful.map(r => r.name)) })];
    const least = behind.reduce((a, b) => (b.pending.count < a.pending.count ? b : a)).pending;
    return [remotes.some(r => r.overdue_since) ? "bad" : "warn", itemWords(status, "verdict.waiting", { n: least.count }),
        t("verdict.waitingText", { size: bytes(least.bytes), age: lasting(least.age_ms) })];
}

export function statusView(app) {
    const title = h("h1"), text = h("p"), sign = h("div", { class: "sign" });
    const all = h("button", { type: "button", class: "primary big", id: "save-all", onclick: saveAll }, t("saveNow"));
    const hero = h("section", { class: "hero", "aria-labelledby": "verdict" }, sign, h("div", null, title, text), all);
    title.id = "verdict";
    const remotes = h("div", { class: "cards" });
    const store = storeCard(), backups = backupsCard(app), spaces = spacesCard(app), doctor = doctorCard();
    const remoteTitle = h("h2", null, t("remotes"));
    const body = h("div", null, remoteTitle, remotes, h("div", { class: "cards" }, backups.el, store.el), spaces.el);
    const trouble = h("div");
    const el = h("div", { class: "status" }, hero, trouble, doctor.el, body);
    let cards = [], had = "", hadTrouble = null;

    /* Once more while it saves is the same save. */
    function saveAll() {
        cards.forEach(card => card.save());
    }

    function update() {
        const { status, refused } = app;
        doctor.update(app.doctor); /* also of a space that cannot be opened */
        setHidden(body, !status);
        setHidden(all, !status || !status.remotes.length || !app.may("run"));
        if (!status) {
            if (refused && refused !== hadTrouble) {
                const colour = refused.status === 403 || refused.status === 404 ? "warn" : "bad";
                setText(title, problemTitle(refused));
                setText(text, app.space);
                hero.className = `hero ${colour}`;
                fill(sign, icon(colour));
                fill(trouble, problemBox(refused));
                had = "";
            } else if (!refused) {
                setText(title, app.space);
                setText(text, t("loading"));
            }
            hadTrouble = refused;
            return;
        }
        hadTrouble = null;
        fill(trouble);
        const [colour, line, more] = verdict(status);
        if (had !== colour) {
            hero.className = `hero ${colour}`;
            fill(sign, icon(colour));
            had = colour;
        }
        setText(title, line);
        setText(text, more);
        setHidden(remoteTitle, !status.remotes.length);
        keyed(remotes, status.remotes, r => r.name, () => remoteCard(app));
        cards = [...(remotes.keyedParts || new Map()).values()];
        store.update(status.store);
        backups.update(status.backups);
        spaces.update(app.durable);
    }
    update();
    return { el, title: t("tab.status"), update };
}
