/* Guards another page: warns before it is closed while something is not yet saved at a remote (and at no other time),
 * asks for a save when the page goes out of sight, and shows a small badge.
 *
 *     <script src="http://127.0.0.1:7070/keepfast-guard.js" data-space="finance" data-badge="true" defer></script>
 *
 * docs/page.md has every attribute. For scripts: window.KeepfastGuard, and the event "keepfast" on the document,
 * whose detail is what KeepfastGuard.state is.
 *
 * What is pending is known from asking every few seconds and when somebody has typed or clicked, because a browser lets
 * nobody ask while a page is closing. */
(() => {
    "use strict";

    const own = document.currentScript || document.querySelector('script[src*="keepfast-guard.js"]');
    if (window.KeepfastGuard || !own)
        return;
    const base = new URL(".", own.src);
    const set = own.dataset;
    const flag = (value, otherwise) => (value === undefined ? otherwise : value !== "false");
    const options = {
        space: set.space || "default",
        remote: set.remote || "",          /* this one alone counts; else every one */
        every: duration(set.every, 5000),
        warn: flag(set.warn, true),
        saveOnHide: flag(set.saveOnHide, true),
        badge: set.badge === undefined ? "false" : set.badge || "true",
        position: set.position || "bottom-right",
        lang: set.lang || document.documentElement.lang || navigator.language || "en",
        token: set.token || "",
        tokenFrom: set.tokenFrom || "",
    };

    const words = {
        en: {
            saved: "Saved", saving: "Saving…", unreachable: "Not reachable", refused: "No access", save: "Save now",
            waiting: { one: "{n} change not saved yet", other: "{n} changes not saved yet" },
            failed: "Saving fails",
        },
        pl: {
            saved: "Zapisano", saving: "Zapisywanie…", unreachable: "Brak połączenia", refused: "Brak dostępu", save: "Zapisz teraz",
            waiting: {
                one: "{n} zmiana jeszcze niezapisana", few: "{n} zmiany jeszcze niezapisane",
                many: "{n} zmian jeszcze niezapisanych", other: "{n} zmiany jeszcze niezapisanej",
            },
            failed: "Zapis się nie udaje",
        },
        da: {
            saved: "Gemt", saving: "Gemmer…", unreachable: "Ingen forbindelse", refused: "Ingen adgang", save: "Gem nu",
            waiting: { one: "{n} ændring ikke gemt endnu", other: "{n} ændringer ikke gemt endnu" },
            failed: "Det mislykkes at gemme",
        },
    };
    const short = options.lang.toLowerCase().split("-")[0];
    const lang = Object.hasOwn(words, short) ? short : "en";
    const plural = new Intl.PluralRules(lang);

    function t(key, n) {
        const text = words[lang][key];
        return typeof text === "string" ? text
            : (text[plural.select(n)] || text.other).replace("{n}", new Intl.NumberFormat(lang).format(n));
    }

    function duration(text, otherwise) {
        const found = /^(\d+)(ms|s|m)$/.exec(text || "");
        const ms = found ? Number(found[1]) * { ms: 1, s: 1000, m: 60000 }[found[2]] : otherwise;
        return Math.max(ms, 500);
    }

    /* ------------------------------------------------------------------------------ what is known */

    const state = {
        known: false,     /* whether the server has ever answered */
        reachable: false,
        pending: 0,
        bytes: 0,
        oldest: null,
        failing: false,   /* a remote's last run failed */
        saving: false,
        remotes: [],      /* names of those with something pending */
        refused: 0,       /* the status with which the server says no: 401, 403, 404 */
    };

    let tokenFunction = null, tokenText = options.token, timer = 0, failures = 0, stopped = false;
    let asking = null, again = null;
    const asked = new Map(); /* remote -> when it was asked to save, so that hiding twice is one save */

    async function token(fresh) {
        const from = tokenFunction || (options.tokenFrom && window[options.tokenFrom]);
        if (typeof from === "function" && (fresh || !tokenText))
            tokenText = String(await from() || "");
        return tokenText;
    }

    function request(method, path, secret, keepalive) {
        return fetch(new URL(path, base), {
            method, keepalive, signal: keepalive ? undefined : AbortSignal.timeout(20000), credentials: "omit", cache: "no-store", referrerPolicy: "no-referrer",
            headers: secret ? { Authorization: `Bearer ${secret}` } : {},
        });
    }

    const space = () => `v1/${encodeURIComponent(options.space)}`;

    /* One question at a time. Who asks while one is under way has the next one, for that one may have been answered before
     * something was written. */
    function check() {
        if (asking) {
            again = again || asking.then(() => {
                again = null;
                return check();
            });
            return again;
        }
        asking = ask().finally(() => {
            asking = null;
        });
        return asking;
    }

    /* A token that is refused is asked for anew, once. */

    async function ask() {
        clearTimeout(timer);
        try {
            let response = await request("GET", `${space()}/status`, await token(false));
            if (response.status === 401 && (tokenFunction || options.tokenFrom))
                response = await request("GET", `${space()}/status`, await token(true));
            if (response.ok)
                learn(await response.json());
            else if (response.status < 500)
                refuse(response.status);
            state.reachable = true;
            failures = 0;
        } catch {
            state.reachable = false; /* what was known stays: it may be pending still */
            failures++;
        }
        tell();
        plan();
    }

    /* What was pending stays so, but for where there is no such space or remote. */
    function refuse(status) {
        state.refused = status;
        if (status === 404)
            Object.assign(state, { pending: 0, bytes: 0, oldest: null, failing: false, saving: false, remotes: [] });
    }

    function learn(status) {
        const counted = status.remotes.filter(r => !options.remote || r.name === options.remote);
        if (options.remote && !counted.length) {
            refuse(404);
            return;
        }
        const worst = counted.reduce((a, r) => (r.pending.count > a.count ? r.pending : a), { count: 0, bytes: 0, oldest: null });
        state.known = true;
        state.refused = 0;
        state.pending = worst.count;
        state.bytes = worst.bytes;
        state.oldest = worst.oldest;
        state.failing = counted.some(r => r.last_error);
        state.saving = counted.some(r => r.state === "running");
        state.remotes = counted.filter(r => r.pending.count).map(r => r.name);
    }

    /* Out of sight it looks on as long as something is pending: what has been saved since is no reason to warn. */
    function plan() {
        clearTimeout(timer);
        if (stopped || (document.visibilityState === "hidden" && !state.pending))
            return;
        const pause = failures ? Math.min(options.every * 2 ** Math.min(failures, 4), 60000)
            : state.refused ? 30000 : state.saving ? Math.min(1000, options.every) : options.every;
        timer = setTimeout(check, pause);
    }

    let told = "";
    function tell() {
        const text = JSON.stringify(state);
        if (text === told)
            return;
        told = text;
        arm();
        show();
        document.dispatchEvent(new CustomEvent("keepfast", { detail: { ...state, remotes: [...state.remotes] } }));
    }

    /* ------------------------------------------------------------------------------ saving */

    /* Asks the remotes with something pending to save now; the server does it, whether this page lives on or not. */
    async function save() {
        const secret = tokenText || await token(false);
        await Promise.allSettled(state.remotes.map(name => start(name, secret)));
        return check();
    }

    function start(name, secret) {
        asked.set(name, Date.now());
        return request("POST", `${space()}/remotes/${encodeURIComponent(name)}/run?start=true`, secret, true);
    }

    /* Out of sight: the page may never come back. What is known to wait is asked for at once, as long as there is a page
     * to ask; what came since is looked for behind that. */
    function hidden() {
        if (!options.saveOnHide || document.visibilityState !== "hidden")
            return;
        clearTimeout(timer);
        const begin = () => {
            for (const name of state.remotes)
                if (Date.now() - (asked.get(name) || 0) > 1000)
                    start(name, tokenText).catch(() => { /* nobody is there to be told */ });
        };
        begin();
        check().then(begin, () => { /* the next look finds it */ });
    }

    function visible() {
        if (document.visibilityState === "visible")
            check();
    }

    /* ------------------------------------------------------------------------------ warning */

    /* The listener is there only while something is pending: one that is always there keeps pages out of the cache for
     * going back, too. Browsers show words of their own, and only to who has clicked or typed in the page. */
    let armed = false;

    function warning(event) {
        event.preventDefault();
        event.returnValue = true;
    }

    function arm() {
        const wanted = options.warn && state.pending > 0;
        if (wanted === armed)
            return;
        armed = wanted;
        if (armed)
            window.addEventListener("beforeunload", warning);
        else
            window.removeEventListener("beforeunload", warning);
    }

    /* ------------------------------------------------------------------------------ the badge */

    const style = `
        :host { all: initial; color-scheme: light dark; }
        :host([data-position]) { position: fixed; z-index: 2147483000; }
        :host([data-position^="bottom"]) { bottom: 12px; }
        :host([data-position^="top"]) { top: 12px; }
        :host([data-position$="right"]) { right: 12px; }
        :host([data-position$="left"]) { left: 12px; }
        button {
            display: inline-flex; align-items: center; gap: 8px; min-height: 32px; padding: 4px 12px; cursor: pointer;
            font: 500 13px/1.3 system-ui, -apple-system, "Segoe UI", sans-serif; color: #17212b; background: #fff;
            border: 1px solid #c4ccd3; border-radius: 16px; box-shadow: 0 1px 5px rgb(0 0 0 / 18%);
        }
        button:disabled { cursor: default; color: #17212b; }
        button:focus-visible { outline: 3px solid #0b6b63; outline-offset: 2px; }
        .dot { width: 10px; height: 10px; border-radius: 50%; background: #54616d; flex: none; }
        .saved .dot { background: #16834b; }
        .waiting .dot { background: #b46a00; }
        .failed .dot, .refused .dot, .unreachable .dot { background: #b3261e; }
        .saving .dot { background: #1d62b8; animation: beat 1s ease-in-out infinite alternate; }
        .act { text-decoration: underline; text-underline-offset: 2px; color: #0b6b63; }
        .hear { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
        @keyframes beat { to { opacity: .35; } }
        @media (prefers-reduced-motion: reduce) { .saving .dot { animation: none; } }
        @media (prefers-color-scheme: dark) {
            button, button:disabled { color: #e8edf1; background: #1a2229; border-color: #43505b; }
            .act { color: #5fd3c4; }
        }
        @media print { :host { display: none; } }`;
    let badge = null;

    function makeBadge() {
        const inside = options.badge === "true" || options.badge === "";
        const place = inside ? document.body : document.querySelector(options.badge);
        if (!place)
            return;
        const host = document.createElement("keepfast-badge");
        if (inside && options.position !== "inline")
            host.dataset.position = options.position;
        const root = host.attachShadow({ mode: "open" });
        try { /* a sheet of its own: a page may allow no style elements */
            const sheet = new CSSStyleSheet();
            sheet.replaceSync(style);
            root.adoptedStyleSheets = [sheet];
        } catch {
            const el = document.createElement("style");
            el.textContent = style;
            root.append(el);
        }
        const make = (name, className) => {
            const el = document.createElement(name);
            el.className = className;
            return el;
        };
        const button = make("button", ""), dot = make("span", "dot"), text = make("span", "text"), act = make("span", "act");
        const hear = make("span", "hear");
        hear.setAttribute("role", "status");
        button.type = "button";
        button.append(dot, text, act);
        button.addEventListener("click", save);
        root.append(button, hear);
        place.append(host);
        badge = { button, text, act, hear, was: "" };
    }

    function kindNow() {
        if (state.refused)
            return "refused";
        if (!state.reachable)
            return state.known || failures ? "unreachable" : "";
        if (!state.pending)
            return "saved";
        return state.saving ? "saving" : state.failing ? "failed" : "waiting";
    }

    function show() {
        if (!badge)
            return;
        const kind = kindNow();
        const waits = state.pending > 0 && (kind === "waiting" || kind === "failed");
        const text = kind ? t(kind, state.pending) : "…";
        badge.button.className = kind;
        badge.button.disabled = !waits;
        badge.text.textContent = text;
        badge.act.textContent = waits ? t("save") : "";
        badge.button.title = kind === "failed" ? t("waiting", state.pending) : "";
        if (kind !== badge.was && badge.was) /* a change of kind is said; not each number */
            badge.hear.textContent = text;
        badge.was = kind;
    }

    /* ------------------------------------------------------------------------------ beginning */

    let lastTouch = 0;
    function touched() {
        if (Date.now() - lastTouch < 1000)
            return;
        lastTouch = Date.now();
        clearTimeout(timer);
        timer = setTimeout(check, 300); /* what was clicked has reached the server by then */
    }

    function begin() {
        if (options.badge !== "false")
            makeBadge();
        show();
        check();
        document.addEventListener("visibilitychange", hidden);
        document.addEventListener("visibilitychange", visible);
        window.addEventListener("pagehide", hidden);
        window.addEventListener("online", check);
        for (const kind of ["pointerup", "keyup"])
            document.addEventListener(kind, touched, { capture: true, passive: true });
    }

    window.KeepfastGuard = {
        get state() {
            return { ...state, remotes: [...state.remotes] };
        },
        /* Looks now: to be called by who has just written something. */
        check,
        /* Asks for a save of what is pending. */
        save,
        /* A token, or a function that gives one or a promise of one; asked again when the one before is refused. */
        token(given) {
            tokenFunction = typeof given === "function" ? given : null;
            tokenText = typeof given === "string" ? given : "";
            return check();
        },
        /* Takes the guard off this page: no warning, no asking. */
        stop() {
            clearTimeout(timer);
            options.warn = options.saveOnHide = false;
            arm();
            document.removeEventListener("visibilitychange", visible);
            for (const kind of ["pointerup", "keyup"])
                document.removeEventListener(kind, touched, { capture: true });
            window.removeEventListener("online", check);
            stopped = true;
            if (badge)
                badge.button.getRootNode().host.remove();
            badge = null;
        },
    };

    if (document.body)
        begin();
    else
        document.addEventListener("DOMContentLoaded", begin, { once: true });
})();
