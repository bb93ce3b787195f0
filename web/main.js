/* The page: what is saved, what is waiting, documents and their past, streams. This file holds the frame: which space and view
 * the address names, who is signed in, and when the server is asked. The address behind `#`:
 *
 *     #/SPACE   #/SPACE/docs?prefix=P   #/SPACE/doc/NAME   #/SPACE/runs   #/SPACE/set-aside
 *     #/SPACE/streams?prefix=P&attr=A&value=V   #/SPACE/stream/KEY?n=N   #/SPACE/search?q=WORDS&prefix=P
 *
 * The server is asked every few seconds while the page is seen, at once when it is seen again, and with growing pauses
 * while it does not answer. */
import { ask, getJson, token } from "./api.js";
import { h, fill, setText, setHidden, choice, keyed, icon } from "./dom.js";
import * as i18n from "./i18n.js";
import { t } from "./i18n.js";
import { problemBox, note, ageTimes } from "./parts.js";
import { signIn } from "./view-signin.js";
import { statusView } from "./view-status.js";
import { docsView } from "./view-docs.js";
import { docView } from "./view-doc.js";
import { streamsView } from "./view-streams.js";
import { streamView } from "./view-stream.js";
import { searchView } from "./view-search.js";
import { runsView } from "./view-runs.js";
import { asideView } from "./view-aside.js";

const POLL_MS = 5000, BUSY_MS = 1000, SLOW_MS = 30000, PAUSE_MAX_MS = 30000;

const views = { "": statusView, docs: docsView, doc: docView, streams: streamsView, stream: streamView, search: searchView, runs: runsView,
    "set-aside": asideView };
const tabs = [["", "tab.status"], ["docs", "tab.docs"], ["streams", "tab.streams"], ["runs", "tab.runs"], ["set-aside", "tab.aside"]];
const within = { doc: "docs", stream: "streams", search: "streams" }; /* the tab of a view that has none */

/* What is known of the server. A view is given it whole and told when it has changed. */
const app = {
    space: "",
    spaces: null,   /* [{ name, open, rights, prefixes }…] */
    status: null,   /* of the space, the last that came */
    refused: null,  /* why there is none */
    durable: [],    /* of every space: { space, durable, state, reason } */
    doctor: null,   /* findings; null where the server has no doctor */
    busy: 0,        /* saves under way: it is asked more often */
    say, go, link, refresh, saving, signOut, has, may,
};

let frame, view, route = { view: "", rest: "", query: new URLSearchParams() };
let signedOut = null; /* the problem that asks for a token */
let timer = 0, failures = 0, slowAt = 0, doctorAt = 0, agedAt = 0, asking = null;

/* ------------------------------------------------------------------------------------- the frame */

function makeFrame() {
    const live = h("p", { class: "visually-hidden", role: "status", "aria-live": "polite", id: "live" });
    const banner = h("div", { class: "banner", role: "status", hidden: true });
    const main = h("main", { id: "main" });
    const nav = h("nav", { "aria-label": t("nav") }, h("ul"));
    const spaces = choice("space", t("space"), [], "", name => go(`#/${encodeURIComponent(name)}`));
    const lang = choice("lang", t("language"), i18n.languages, i18n.language(), code => {
        i18n.remember(code);
        i18n.use(code);
        rebuild();
        document.getElementById("lang").focus();
    });
    const themes = [["", t("theme.system")], ["light", t("theme.light")], ["dark", t("theme.dark")]];
    const theme = choice("theme", t("theme"), themes, document.documentElement.dataset.theme || "", setTheme);
    const out = h("button", { type: "button", class: "small", hidden: true, onclick: signOut }, t("signOut"));
    const skip = h("a", { class: "skip", href: "#main", onclick: event => {
        event.preventDefault();
        focusMain();
    } }, t("skip"));
    const header = h("header", { class: "bar" },
        h("a", { class: "brand", href: "#/" }, brandMark(), h("span", null, "Keepfast")),
        spaces.el, h("div", { class: "settings" }, lang.el, theme.el, out));
    document.body.replaceChildren(skip, header, nav, banner, main, live);
    return { live, banner, main, nav, spaces, out };
}

function brandMark() {
    return h("img", { src: "page/icon.svg", alt: "", width: 28, height: 28 });
}

function setTheme(value) {
    if (value)
        document.documentElement.dataset.theme = value;
    else
        delete document.documentElement.dataset.theme;
    try {
        localStorage.setItem("keepfast.theme", value);
    } catch {
        /* it stays as long as the page does */
    }
}

function rebuild() {
    frame = makeFrame();
    view = null;
    show(false);
}

/* Says a sentence to those who listen instead of looking. */
function say(text) {
    setText(frame.live, "");
    setTimeout(() => setText(frame.live, text), 50);
}

function focusMain() {
    const title = frame.main.querySelector("h1") || frame.main;
    title.tabIndex = -1;
    title.focus();
}

/* ------------------------------------------------------------------------------------- addresses */

function link(viewName = "", rest = "", params = "", space = app.space) {
    const parts = [encodeURIComponent(space), viewName, rest && encodeURIComponent(rest)].filter(Boolean);
    return `#/${parts.join("/")}${params}`;
}

function go(hash) {
    location.hash = hash;
}

function decode(text) {
    try {
        return decodeURIComponent(text);
    } catch {
        return text;
    }
}

/* As the server has it; what the browser would take for a way upwards is no name either. */
function isName(text) {
    return text.split("/").every(part => part && part !== "." && part !== "..");
}

function readAddress() {
    const [path, q = ""] = location.hash.replace(/^#\/?/, "").split("?");
    const [space = "", name = "", ...rest] = path.split("/");
    route = {
        view: Object.hasOwn(views, name) ? name : "",
        rest: decode(rest.join("/")),
        query: new URLSearchParams(q),
    };
    if ((route.view === "doc" || route.view === "stream") && !isName(route.rest))
        route.view = within[route.view];
    return decode(space);
}

function remembered() {
    try {
        return localStorage.getItem("keepfast.space") || "";
    } catch {
        return "";
    }
}

/* The space of the address, else the one that was shown last, else the first. */
function chooseSpace(named) {
    const names = (app.spaces || []).map(s => s.name);
    const wanted = named || (names.includes(remembered()) ? remembered() : names[0] || "");
    if (wanted === app.space)
        return;
    app.space = wanted;
    app.status = app.refused = app.doctor = null;
    slowAt = doctorAt = 0;
    try {
        if (wanted)
            localStorage.setItem("keepfast.space", wanted);
    } catch {
        /* then it is the first again next time */
    }
}

/* ------------------------------------------------------------------------------------- showing */

function show(moved) {
    chooseSpace(readAddress());
    if (view && view.close)
        view.close();
    view = null;
    frameUpdate();
    if (signedOut) {
        view = signIn(app, signedOut, signedIn);
    } else if (app.spaces === null) {
        fill(frame.main, h("p", { class: "waiting" }, t("loading")));
        return;
    } else if (!app.space) {
        fill(frame.main, h("h1", null, t("noSpaces")), note("plain", t("noSpacesText"),
            h("pre", null, "curl -X PUT " + new URL("v1/default/docs/hello.json", document.baseURI) + " -d '{}'")));
        document.title = "Keepfast";
        return;
    } else {
        view = views[route.view](app, route);
    }
    fill(frame.main, view.el);
    showTab();
    document.title = [view.title, app.space, "Keepfast"].filter(Boolean).join(" · ");
    if (moved)
        focusMain();
    if (view.opened)
        view.opened();
}

/* On a phone not all tabs fit. */
function showTab() {
    const list = frame.nav.firstChild, here = list.querySelector("[aria-current]");
    if (!here)
        return;
    const { left, width } = here.getBoundingClientRect(), of = list.getBoundingClientRect();
    list.scrollLeft += left - of.left - (of.width - width) / 2;
}

function frameUpdate() {
    const names = (app.spaces || []).map(s => s.name);
    if (app.space && !names.includes(app.space))
        names.unshift(app.space);
    const { select, el } = frame.spaces;
    if ([...select.options].map(o => o.value).join("\n") !== names.join("\n"))
        fill(select, names.map(name => h("option", { value: name }, name)));
    if (select.value !== app.space)
        select.value = app.space;
    setHidden(el, Boolean(signedOut) || !names.length);
    setHidden(frame.out, !token.get());
    setHidden(frame.nav, Boolean(signedOut) || !app.space);
    /* The status of all is where one lands: it says that it may not be seen. */
    const open = tabs.filter(([name]) => (name !== "runs" && name !== "set-aside") || may("read"));
    keyed(frame.nav.firstChild, open, tab => tab[0], ([name, label]) => {
        const count = h("span", { class: "count", hidden: true });
        const a = h("a", null, t(label), count);
        return {
            el: h("li", null, a),
            update() {
                a.href = link(name);
                const here = name === (within[route.view] || route.view);
                if (here)
                    a.setAttribute("aria-current", "page");
                else
                    a.removeAttribute("aria-current");
                if (name !== "set-aside")
                    return;
                const asides = app.status ? app.status.remotes.reduce((n, r) => n + r.set_aside, 0) : 0;
                setHidden(count, !asides);
                setText(count, i18n.number(asides));
            },
        };
    });
}

function banner(text) {
    setHidden(frame.banner, !text);
    if (text && frame.banner.dataset.text !== text)
        fill(frame.banner, icon("wait"), h("span", null, text));
    frame.banner.dataset.text = text;
}

/* ------------------------------------------------------------------------------------- rights
 *
 * What the server would refuse is not offered. It says itself what whoever asks may do; of a space that it does not name
 * nothing is known, and it refuses what must not be. */

function has(right) {
    const own = (app.spaces || []).find(s => s.name === app.space);
    return !own || own.rights.includes(right);
}

/* With this name; without one, in all of the space. */
function may(right, name) {
    const own = (app.spaces || []).find(s => s.name === app.space);
    if (!own || !own.prefixes)
        return has(right);
    const fits = p => (p.endsWith("*") ? name.startsWith(p.slice(0, -1)) : name === p);
    return has(right) && name !== undefined && own.prefixes.some(fits);
}

/* ------------------------------------------------------------------------------------- asking */

function later(ms) {
    clearTimeout(timer);
    timer = document.hidden ? 0 : setTimeout(() => refresh(), ms);
}

/* Asks for everything that is shown; one round at a time. `anew`: a round that begins now, for who has just changed
 * something. */
function refresh(anew) {
    if (asking)
        return anew ? asking.then(() => refresh()) : asking;
    clearTimeout(timer);
    asking = round().catch(failed).finally(() => {
        asking = null;
        if (!signedOut)
            later(pause());
    });
    return asking;
}

function pause() {
    if (failures)
        return Math.min(1000 * 2 ** failures, PAUSE_MAX_MS);
    if (app.busy)
        return BUSY_MS;
    return app.refused && app.refused.status === 403 ? SLOW_MS : POLL_MS;
}

async function round() {
    const slow = Date.now() >= slowAt;
    if (app.spaces === null || slow)
        await askSpaces();
    const space = app.space;
    if (space)
        await askStatus(space);
    if (slow) {
        await askDurable();
        slowAt = Date.now() + SLOW_MS;
    }
    if (space && route.view === "" && Date.now() >= doctorAt) {
        await askDoctor(space);
        doctorAt = Date.now() + SLOW_MS;
    }
    if (failures) {
        failures = 0;
        banner("");
        say(t("back"));
    }
    changed();
}

function failed(error) {
    if (error.status === 401)
        return;
    failures++;
    banner(error.code === "unreachable" ? t("unreachable") : i18n.problemTitle(error));
    if (failures === 1 && app.spaces === null)
        fill(frame.main, problemBox(error, { again: () => refresh() }));
    changed();
}

function changed() {
    frameUpdate();
    if (view && view.update)
        view.update();
    if (Date.now() - agedAt < SLOW_MS)
        return;
    agedAt = Date.now();
    ageTimes(frame.main);
}

async function askSpaces() {
    const items = [];
    let next = null;
    do {
        const page = await getJson(`v1?limit=1000${next ? `&cursor=${encodeURIComponent(next)}` : ""}`);
        items.push(...page.items);
        ({ next } = page);
    } while (next);
    const first = app.spaces === null, had = app.space;
    app.spaces = items;
    chooseSpace(readAddress());
    if (first || had !== app.space)
        show(false);
}

/* A problem of the space is shown in its place; no answer at all is the business of the whole page. */
async function askStatus(space) {
    try {
        const status = await getJson(`v1/${encodeURIComponent(space)}/status`);
        if (space !== app.space)
            return;
        i18n.setServerNow(status.at);
        app.status = status;
        app.refused = null;
    } catch (error) {
        if (error.status === 0 || error.status === 401)
            throw error;
        if (space === app.space) {
            app.status = null;
            app.refused = error;
        }
    }
}

async function askDurable() {
    const response = await ask("GET", "durablez", { also: 503 });
    const body = await response.json().catch(() => ({}));
    app.durable = body.items || [];
}

async function askDoctor(space) {
    try {
        const found = await getJson(`v1/${encodeURIComponent(space)}/doctor`);
        if (space === app.space)
            app.doctor = found.items;
    } catch (error) {
        if (error.status === 0 || error.status === 401)
            throw error;
        if (space === app.space)
            app.doctor = null;
    }
}

/* Around a save: the server is asked more often meanwhile. */
async function saving(work) {
    app.busy++;
    later(BUSY_MS / 2);
    try {
        return await work();
    } finally {
        app.busy--;
        slowAt = doctorAt = Math.min(slowAt, Date.now() + POLL_MS);
        refresh(true);
    }
}

/* ------------------------------------------------------------------------------------- who asks */

ask.onAuth = problem => {
    if (signedOut)
        return;
    token.set("");
    signedOut = problem;
    clearTimeout(timer);
    show(true);
};

/* The token that was given is right. */
function signedIn() {
    signedOut = null;
    app.spaces = app.status = app.refused = app.doctor = null;
    app.space = "";
    show(false);
    refresh(true).then(() => focusMain());
}

function signOut() {
    token.set("");
    app.spaces = app.status = app.refused = app.doctor = null;
    app.durable = [];
    app.space = "";
    slowAt = doctorAt = 0;
    show(false);
    refresh(true);
}

/* ------------------------------------------------------------------------------------- beginning */

addEventListener("hashchange", () => {
    const before = app.space;
    show(true);
    if (app.space !== before && !signedOut)
        refresh();
});
document.addEventListener("visibilitychange", () => {
    if (document.hidden)
        clearTimeout(timer);
    else if (!signedOut)
        refresh();
});
addEventListener("online", () => signedOut || refresh());

i18n.use(i18n.preferred());
rebuild();
refresh();
