// The guard in other people's pages: of another origin, in a frame, with and without a token.
import { test, assert, open, clean, until, otherOrigin, keepfast, sleep, picture, accessible } from "./kit.mjs";
import { finance, filesOf } from "./places.mjs";

const html = (server, attributes = "", more = "") => `<!doctype html><html lang="en"><title>App</title>
<body><main><h1>Somebody's app</h1><button id="b">Work</button></main>${more}
<script src="${server.url}/keepfast-guard.js" data-space="finance" data-every="1s" ${attributes}></script></body></html>`;

/* A click makes the browser believe that somebody is there: without one it warns nobody. */
async function touch(page) {
    await page.click("#b");
}

const known = (page, pending) => page.waitForFunction(n => window.KeepfastGuard.state.known && window.KeepfastGuard.state.pending === n, pending);

/** Tries to close the page; whether the browser asked before. */
async function closing(page) {
    let asked = false;
    page.once("dialog", async dialog => {
        asked = dialog.type() === "beforeunload";
        await dialog.dismiss();
    });
    await page.close({ runBeforeUnload: true });
    await sleep(700);
    assert.equal(page.isClosed(), !asked, "it stays when it was asked, and goes when not");
    return asked;
}

test("closing is warned of while something is pending, and only then", async () => {
    const server = await finance({ docs: 1, remotes: ["usb"] });
    const app = await otherOrigin({ "/": html(server, 'data-save-on-hide="false"') });
    const page = await open(app);
    await touch(page);
    await known(page, 1);
    assert.equal(await closing(page), true, "with something pending");
    await server.ask("POST", "/v1/finance/remotes/usb/run");
    await known(page, 0);
    await clean(page);
    assert.equal(await closing(page), false, "with nothing pending");

    const later = await open(app);
    await touch(later);
    await known(later, 0);
    await server.put("finance", "later.json", { n: 1 });
    await known(later, 1);
    assert.equal(await closing(later), true, "something came while it was open");
    await clean(later);
});

test("a page that goes out of sight asks for a save, also of what it has not heard of", async () => {
    const server = await finance({ docs: 2, remotes: ["usb"] });
    const app = await otherOrigin({ "/": html(server, 'data-warn="false"'), "/slow": html(server, 'data-warn="false" data-every="10m"'), "/away": "away" });
    const page = await open(app);
    await known(page, 2);
    await page.goto(`${app}/away`);
    await until(async () => (await server.status("finance")).pending.count === 0, 10, "what was pending was saved");
    assert.ok(filesOf(server, "usb").length > 2);

    await page.goto(`${app}/slow`);
    await known(page, 0);
    await server.put("finance", "later.json", { n: 1 });
    await page.evaluate(() => {
        Object.defineProperty(document, "visibilityState", { configurable: true, value: "hidden" });
        document.dispatchEvent(new Event("visibilitychange"));
    });
    await until(async () => (await server.status("finance")).pending.count === 0, 10, "what came since was saved, too");
    const runs = (await server.json("/v1/finance/runs")).items;
    assert.equal(runs.length, 2, "and nothing was saved twice");
    await clean(page);
});

test("with nothing pending a page that goes asks for nothing", async () => {
    const server = await finance({ docs: 1, remotes: ["usb"] });
    await server.ask("POST", "/v1/finance/remotes/usb/run");
    const app = await otherOrigin({ "/": html(server), "/away": "away" });
    const page = await open(app);
    const posts = [];
    page.on("request", r => r.method() === "POST" && posts.push(r.url()));
    await known(page, 0);
    await page.goto(`${app}/away`);
    await sleep(500);
    assert.deepEqual(posts, []);
    await clean(page);
});

test("the badge says how it is, in the page's language, and saves when it is clicked", async () => {
    const server = await finance({ docs: 0, remotes: ["usb"] });
    const app = await otherOrigin({
        "/": html(server, 'data-badge="true" data-warn="false"'),
        "/pl": html(server, 'data-badge="#here" data-lang="pl" data-warn="false"', '<aside id="here"></aside>'),
    });
    const page = await open(app);
    const badge = page.locator("keepfast-badge button");
    await badge.getByText("Saved", { exact: true }).waitFor();
    assert.ok(await badge.isDisabled());
    for (let i = 0; i < 5; i++)
        await server.put("finance", `d${i}`, { i });
    await badge.getByText("5 changes not saved yet").waitFor();
    await accessible(page, "the badge");
    await picture(page, "badge");
    await badge.click();
    await badge.getByText("Saved", { exact: true }).waitFor();
    assert.equal((await server.status("finance")).pending.count, 0);
    await page.goto(`${app}/pl`);
    await page.locator("#here keepfast-badge button").getByText("Zapisano").waitFor();
    for (let i = 0; i < 5; i++)
        await server.put("finance", `e${i}`, { i });
    await page.locator("#here keepfast-badge button").getByText("5 zmian jeszcze niezapisanych").waitFor();
    await clean(page);
});

test("a page with a strict policy of its own, and one inside a frame, are guarded as well", async () => {
    const server = await finance({ docs: 1, remotes: ["usb"] });
    const policy = `default-src 'none'; script-src ${server.url}; connect-src ${server.url}`;
    const inner = html(server, 'data-badge="true" data-position="inline"').replaceAll('"', "&quot;");
    const app = await otherOrigin({
        "/strict": { html: html(server, 'data-badge="true"'), headers: { "Content-Security-Policy": policy } },
        "/frame": `<!doctype html><title>App</title><button id="b">Work</button>
            <iframe srcdoc="${inner}" sandbox="allow-scripts allow-same-origin allow-modals"></iframe>`,
    });
    const strict = await open(`${app}/strict`);
    await strict.locator("keepfast-badge button").getByText("1 change not saved yet").waitFor();
    assert.equal(await strict.evaluate(() => getComputedStyle(document.querySelector("keepfast-badge").shadowRoot.querySelector("button")).display), "inline-flex");
    await clean(strict);

    const framed = await open(`${app}/frame`);
    await framed.frameLocator("iframe").locator("keepfast-badge button").getByText("1 change not saved yet").waitFor();
    await touch(framed);
    assert.equal(await closing(framed), true, "the frame's guard warns for the whole page");
    await clean(framed);
});

test("a token comes from an attribute or a function, and is asked for again when it is refused", async () => {
    const server = await finance({ docs: 1, remotes: ["usb"] });
    const make = name => keepfast("token", "create", name, "--rights", "read,run", "--at", `${server.data}#finance`).trim();
    const first = make("first"), second = make("second");
    const app = await otherOrigin({
        "/attribute": html(server, `data-badge="true" data-token="${first}" data-warn="false"`),
        "/function": html(server, 'data-badge="true" data-token-from="giveToken" data-warn="false"',
            `<script>window.given = []; window.giveToken = async () => { const t = window.given.length ? "${second}" : "${first}"; window.given.push(t); return t; };</script>`),
        "/none": html(server, 'data-badge="true"'),
        "/away": "away",
    });
    const none = await open(`${app}/none`, { expect: ["401"] });
    await none.locator("keepfast-badge button").getByText("No access").waitFor();
    assert.equal(await none.evaluate(() => window.KeepfastGuard.state.pending), 0);
    await none.evaluate(t => window.KeepfastGuard.token(t), first);
    await none.locator("keepfast-badge button").getByText("1 change not saved yet").waitFor();
    await clean(none);

    const page = await open(`${app}/attribute`);
    await page.locator("keepfast-badge button").getByText("1 change not saved yet").waitFor();
    await page.goto(`${app}/away`);
    await until(async () => {
        const status = await server.json("/v1/finance/status", { Authorization: `Bearer ${first}` });
        return status.pending.count === 0;
    }, 10, "saved when it went, with the token");
    await clean(page);

    const asked = await open(`${app}/function`, { expect: ["401"] });
    await asked.locator("keepfast-badge button").getByText("Saved", { exact: true }).waitFor();
    const tokens = JSON.parse(keepfast("token", "ls", "--json", "--at", `${server.data}#finance`)).items;
    keepfast("token", "revoke", tokens.find(t => t.name === "first").id, "--at", `${server.data}#finance`);
    await asked.waitForFunction(() => window.given.length > 1);
    await asked.waitForFunction(() => window.KeepfastGuard.state.refused === 0);
    await clean(asked);
});

test("a server that is away is no reason to warn, and what was pending is remembered", async () => {
    const server = await finance({ docs: 0, remotes: ["usb"] });
    const app = await otherOrigin({ "/": html(server, 'data-badge="true" data-save-on-hide="false"') });
    const page = await open(app, { expect: ["ERR_"] });
    await touch(page);
    await known(page, 0);
    await server.put("finance", "a.json", { n: 1 });
    await known(page, 1);
    await server.kill();
    await page.locator("keepfast-badge button").getByText("Not reachable").waitFor();
    assert.equal(await closing(page), true, "it may be lost still");
    await page.evaluate(() => window.KeepfastGuard.stop());
    assert.equal(await page.locator("keepfast-badge").count(), 0);
    assert.equal(await closing(page), false, "taken off");

    const fresh = await open();
    await fresh.goto(app).catch(() => {});
    await touch(fresh);
    assert.equal(await closing(fresh), false, "nothing is known to be pending");
});

test("a page can look at the state, be told of changes, and ask for a save", async () => {
    const server = await finance({ docs: 2, remotes: ["usb", "nas"] });
    const app = await otherOrigin({ "/": html(server, 'data-remote="nas" data-warn="false" data-save-on-hide="false"',
        '<script>window.heard = []; document.addEventListener("keepfast", e => window.heard.push(e.detail.pending));</script>') });
    const page = await open(app);
    await known(page, 2);
    assert.deepEqual(await page.evaluate(() => window.KeepfastGuard.state.remotes), ["nas"]);
    await page.evaluate(() => window.KeepfastGuard.save());
    await known(page, 0);
    assert.equal((await server.status("finance")).remotes.find(r => r.name === "usb").pending.count, 2, "the other one was left alone");
    assert.deepEqual(await page.evaluate(() => [window.heard[0], window.heard.at(-1)]), [2, 0]);
    await clean(page);
});

test("to look now is to see what was written before, also while an older look is under way", async () => {
    const server = await finance({ docs: 0, remotes: ["usb"] });
    const app = await otherOrigin({ "/": html(server, 'data-every="10m" data-warn="false" data-save-on-hide="false"') });
    const page = await open();
    let letGo, asked = 0;
    const held = new Promise(resolve => (letGo = resolve));
    await page.route("**/finance/status", async route => {
        if (++asked !== 2)
            return route.continue();
        const response = await route.fetch();
        await held;
        return route.fulfill({ response });
    });
    await page.goto(app);
    await known(page, 0);
    await page.evaluate(() => void window.KeepfastGuard.check());
    await until(() => asked === 2);
    await sleep(100);
    await server.put("finance", "a.json", { n: 1 });
    const seen = page.evaluate(async () => {
        await window.KeepfastGuard.check();
        return window.KeepfastGuard.state.pending;
    });
    await sleep(100);
    letGo();
    assert.equal(await seen, 1);
    await clean(page);
});

test("a server that answers nothing does not keep the guard from asking again", async () => {
    const server = await finance({ docs: 1, remotes: ["usb"] });
    const app = await otherOrigin({ "/": html(server, 'data-badge="true" data-warn="false" data-save-on-hide="false"') });
    const page = await open(undefined, { init: () => {
        const timeout = AbortSignal.timeout.bind(AbortSignal);
        AbortSignal.timeout = ms => timeout(ms / 20);
    } });
    await page.route("**/finance/status", () => { /* for ever */ });
    await page.goto(app);
    await page.locator("keepfast-badge button").getByText("Not reachable").waitFor();
    await page.unroute("**/finance/status");
    await page.locator("keepfast-badge button").getByText("1 change not saved yet").waitFor();
    await clean(page);
});

test("a remote or a space that is not there is not called saved", async () => {
    const server = await finance({ docs: 1, remotes: ["usb"] });
    const app = await otherOrigin({ "/": html(server, 'data-badge="true" data-remote="ubs"'), "/gone": html(server, 'data-badge="true"') });
    const page = await open(app, { expect: ["404"] });
    await page.locator("keepfast-badge button").getByText("No access").waitFor();
    await touch(page);
    assert.equal(await closing(page), false, "nothing can be saved there");
    const gone = await open(`${app}/gone`, { expect: ["404"] });
    await known(gone, 1);
    await gone.route("**/finance/status", route => route.fulfill({ status: 404, contentType: "application/problem+json",
        headers: { "Access-Control-Allow-Origin": "*" }, body: '{"code":"unknown_space","status":404}' }));
    await touch(gone);
    await gone.locator("keepfast-badge button").getByText("No access").waitFor();
    await clean(gone);
    assert.equal(await closing(gone), false, "and nothing is pending any more");
});

test("a page out of sight learns that what was pending is saved, and then warns of nothing", async () => {
    const server = await finance({ docs: 1, remotes: ["usb"] });
    const app = await otherOrigin({ "/": html(server, 'data-save-on-hide="false"') });
    const page = await open(app);
    await touch(page);
    await known(page, 1);
    await page.evaluate(() => {
        Object.defineProperty(document, "visibilityState", { configurable: true, value: "hidden" });
        document.dispatchEvent(new Event("visibilitychange"));
    });
    await sleep(1500);
    await server.ask("POST", "/v1/finance/remotes/usb/run");
    await known(page, 0);
    const asked = [];
    page.on("request", r => asked.push(r.url()));
    await sleep(2500);
    assert.ok(asked.length <= 1, `and it asks no more: ${asked.length}`);
    assert.equal(await closing(page), false);
});
