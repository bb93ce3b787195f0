// Everybody can use it: keys alone, screen readers, light and dark, narrow windows; and nobody's text becomes markup.
import { test, assert, open, clean, until, accessible, picture, sleep } from "./kit.mjs";
import { finance, append } from "./places.mjs";

const NAMES = { status: "", documents: "/docs", document: "/doc/budget.json", streams: "/streams", stream: "/stream/chat%2Fanna", search: "/search?q=bicycle",
    runs: "/runs", aside: "/set-aside" };
const SECRET = ["gh", "p_", "z9Y8x7W6v5U4t3S2r1Q0p9O8n7M6l5K4j3I2"].join("");

async function lively() {
    const server = await finance({ docs: 12 });
    await server.put("finance", "budget.json", { month: "2026-11", incomes: [{ from: "salary", amount: 9200.5 }], goal: null });
    await server.put("finance", "keys.json", { token: SECRET });
    await server.ask("POST", "/v1/finance/remotes/usb/run");
    await server.put("finance", "budget.json", {
        month: "2026-11", incomes: [{ from: "salary", amount: 9350 }, { from: "interest", amount: 12.75 }], goal: "a bicycle",
    });
    await server.put("shop", "basket.json", { n: 1 });
    await converse(server);
    return server;
}

/* A customer's talk over some days, and another one of hers. */
async function converse(server) {
    const began = Date.now() - 3 * 86400000, at = minutes => new Date(began + minutes * 60000).toISOString();
    const entries = [], say = (minutes, kind, body, more) => entries.push({ at: at(minutes), kind, body, ...more });
    for (let i = 0; i < 40; i++)
        say(i * 9, "product_view", { product: `bicycle ${i % 7}`, seconds: 5 + i });
    say(400, "user", { text: "Do you have a bicycle with low steps, for a tall woman?" });
    say(400.4, "tool", { call: "find_products", low: true, size: 60, found: ["Amsterdam 60", "Odense 58"] });
    say(400.5, "assistant", { text: "We have two:\n1. Amsterdam 60, in green or black\n2. Odense 58, in red", exchange: "x-17" }, { attach: { prompt: "v12", temperature: 0.2 } });
    say(402, "user", { text: "The green one, please. Could I try it on Saturday?" });
    say(402.3, "assistant", { text: "Gladly: we are open from 10 to 14." });
    say(2900, "user", { text: "I took it home, thank you! The bicycle rides like a dream." });
    say(2900.4, "assistant", { text: "That is good to hear. The first check is free within three months." });
    await append(server, "chat/anna", entries);
    await append(server, "chat/anna-2", [{ kind: "user", body: { text: "My bicycle needs its free check." } }]);
    for (const key of ["chat/anna", "chat/anna-2"])
        await server.ask("PATCH", `/v1/finance/streams/${key}`, { customer: "anna", city: "Łódź" });
    await append(server, "notes/long-name-without-any-blank-in-it-so-that-it-cannot-be-broken-anywhere", [{ body: { n: 1 } }]);
}

async function show(page, server, view) {
    await page.goto(`${server.url}/#/finance${NAMES[view]}`);
    await page.locator("h1").waitFor();
    await page.waitForLoadState("networkidle");
    if (view === "stream") {
        await page.locator(".feed article").nth(46).waitFor();
        await page.locator(".chart rect").first().waitFor();
    }
    if (view === "document") {
        await page.locator(".versions > li").nth(1).getByRole("button", { name: "What changed since" }).click();
        await page.locator(".change").first().waitFor();
    }
}

test("no view has a barrier that a program finds, in light and in dark", async () => {
    const server = await lively();
    for (const colorScheme of ["light", "dark"]) {
        const page = await open(undefined, { colorScheme });
        for (const view of Object.keys(NAMES)) {
            await show(page, server, view);
            await accessible(page, `${view}, ${colorScheme}`);
            await picture(page, `${view}-${colorScheme}`);
        }
        const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        assert.equal(ground, colorScheme === "dark" ? "rgb(17, 23, 28)" : "rgb(244, 246, 247)");
        await clean(page);
    }
});

test("what would be a fault is found", async () => {
    const server = await finance({ docs: 0, remotes: [] });
    const page = await open(`${server.url}/`);
    await page.locator("h1").waitFor();
    await clean(page);
    await accessible(page, "as it is");
    await page.evaluate(() => {
        const input = document.createElement("input");
        input.style.color = "#eee";
        document.querySelector("main").append(input);
    });
    await assert.rejects(accessible(page, "a field without a name"), /label/);
    await page.evaluate(() => console.error("planted"));
    await assert.rejects(clean(page), /planted/);
});

test("the appearance can be chosen against the system's, and stays chosen", async () => {
    const server = await finance();
    const page = await open(`${server.url}/`, { colorScheme: "light" });
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.getByLabel("Appearance").selectOption("dark");
    assert.equal(await ground(), "rgb(17, 23, 28)");
    await page.reload();
    assert.equal(await ground(), "rgb(17, 23, 28)", "before anything else ran");
    await page.getByLabel("Appearance").selectOption("");
    assert.equal(await ground(), "rgb(244, 246, 247)");
    await clean(page);
});

test("nothing is wider than a phone, in any view and language", async () => {
    const server = await lively();
    for (const lang of ["en", "pl", "da"]) {
        const page = await open(undefined, { viewport: { width: 340, height: 740 }, locale: lang, deviceScaleFactor: 2 });
        for (const view of Object.keys(NAMES)) {
            await page.goto(`${server.url}/#/finance${NAMES[view]}`);
            await page.locator("h1").waitFor();
            await page.waitForLoadState("networkidle");
            const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
            assert.ok(wide <= 0, `${view}, ${lang}: ${wide} too wide`);
            if (lang !== "da")
                await picture(page, `${view}-phone-${lang}`);
        }
        await accessible(page, `phone, ${lang}`);
        await clean(page);
        await page.context().close();
    }
});

test("everything can be done by keys alone", async () => {
    const server = await finance({ docs: 3, remotes: ["usb"] });
    const page = await open(`${server.url}/#/finance`);
    await page.locator("h1").getByText("3 documents").waitFor();
    const keys = async (...all) => {
        for (const key of all)
            await page.keyboard.press(key);
    };
    const focused = () => page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.id);
    /* Tab until what has the focus says this; each stop must be seen. */
    const to = async (text, back) => {
        for (let i = 0; i < 40; i++) {
            await keys(back ? "Shift+Tab" : "Tab");
            if ((await focused()).includes(text)) {
                const seen = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
                assert.notEqual(seen, "none", `the focus on ${text} is seen`);
                return;
            }
        }
        assert.fail(`no way to ${text}`);
    };
    await keys("Tab");
    assert.equal(await focused(), "Skip to content");
    await keys("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.tagName), "H1");
    await to("Save now");
    await keys("Enter");
    await page.locator(".box").getByText("Saved to usb.").waitFor();
    await to("Documents", true);
    await keys("Enter");
    await page.locator(".docs tbody tr").nth(2).waitFor();
    assert.equal(await focused(), "Documents", "the heading of the new view has the focus");
    await to("prefix");
    await page.keyboard.type("doc-2");
    await until(async () => (await page.locator(".docs tbody tr").count()) === 1);
    await to("doc-2.json");
    await keys("Enter");
    await page.locator("h1", { hasText: "doc-2.json" }).waitFor();
    await server.put("finance", "doc-2.json", { n: "new" });
    await page.reload();
    await page.locator('[data-version="2"]').waitFor();
    await to("Go back to this");
    await keys("Enter");
    await page.getByRole("dialog").waitFor();
    assert.equal(await focused(), "Cancel", "the harmless answer has the focus");
    await keys("Shift+Tab", "Enter");
    await page.locator("#main").getByText("Done: it is version 3 now.").waitFor();
    assert.equal((await server.json("/v1/finance/docs/doc-2.json")).n, 2);
    await clean(page);
});

test("who works with keys goes on where something was done, and is not thrown back to the top", async () => {
    const server = await lively();
    const page = await open(`${server.url}/#/finance`, { expect: ["422", "503"] });
    const focused = () => page.evaluate(() => {
        const e = document.activeElement;
        return e === document.body ? "" : e.id || e.tagName;
    });
    const press = async button => {
        await button.waitFor(); /* what is hidden takes no focus, and is there before it is shown */
        await button.focus();
        await page.keyboard.press("Enter");
    };
    const agree = async () => {
        await page.getByRole("dialog").waitFor();
        await page.keyboard.press("Shift+Tab");
        await page.keyboard.press("Enter");
    };
    await press(page.locator("#save-all"));
    await page.locator("[data-remote=nas] > [aria-live] .box").waitFor();
    await sleep(300);
    assert.equal(await focused(), "save-all");

    await page.goto(`${server.url}/#/finance/doc/budget.json`);
    await press(page.locator('[data-version="1"]').getByRole("button", { name: "Go back to this" }));
    await agree();
    await page.locator("#main").getByText("Done: it is version 3 now.").waitFor();
    await sleep(300);
    assert.equal(await focused(), "panel-title");

    await page.goto(`${server.url}/#/finance/set-aside`);
    await press(page.getByRole("button", { name: "Forget: keys.json" }).first());
    await agree();
    await page.getByText("Forgotten.").first().waitFor();
    await sleep(300);
    assert.equal(await focused(), "H1", "the title of what is set aside");
    await press(page.getByRole("button", { name: /^Try again: / }).first());
    await page.locator(".asides li").first().waitFor();
    await sleep(1500);
    assert.equal(await focused(), "H1");
    await clean(page);
});

test("what is read stays where it is while the page asks again", async () => {
    const server = await finance({ docs: 3, remotes: ["usb"] });
    const page = await open(`${server.url}/`, {
        init: () => {
            window.shifted = 0;
            new PerformanceObserver(list => {
                for (const entry of list.getEntries())
                    if (!entry.hadRecentInput)
                        window.shifted += entry.value;
            }).observe({ type: "layout-shift", buffered: true });
        },
    });
    await page.locator("h1").getByText("3 documents").waitFor();
    await page.getByText("What is waiting?").click();
    await page.locator(".names li").nth(2).waitFor();
    await page.evaluate(() => {
        window.kept = document.querySelector("[data-remote]");
        getSelection().selectAllChildren(document.querySelector(".url"));
    });
    await page.locator("#save-all").focus();
    const asked = [];
    page.on("request", r => asked.push(r.url()));
    await until(() => asked.filter(u => u.endsWith("/status")).length >= 2, 15, "it asks again");
    assert.ok(asked.length < 12, `gently: ${asked.length} requests`);
    assert.deepEqual(await page.evaluate(() => [window.kept.isConnected, document.activeElement.id,
        getSelection().toString().startsWith("dir:"), document.querySelector(".waiting-list").open]), [true, "save-all", true, true]);
    const shifted = await page.evaluate(() => window.shifted);
    assert.ok(shifted < 0.1, `the layout jumped: ${shifted}`);
    await clean(page);
});

test("a page that is not seen does not ask, and asks at once when it is seen again", async () => {
    const server = await finance({ docs: 1, remotes: ["usb"] });
    const page = await open(`${server.url}/`);
    await page.locator("h1").getByText("1 document").waitFor();
    const turn = hidden => page.evaluate(h => {
        Object.defineProperty(document, "hidden", { configurable: true, value: h });
        Object.defineProperty(document, "visibilityState", { configurable: true, value: h ? "hidden" : "visible" });
        document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
    await turn(true);
    await sleep(500);
    let asked = 0;
    page.on("request", () => asked++);
    await sleep(6500);
    assert.equal(asked, 0, "nothing is asked while it is hidden");
    await server.put("finance", "new.json", { n: 1 });
    await turn(false);
    await page.locator("h1").getByText("2 documents").waitFor({ timeout: 2000 });
    await clean(page);
});

const EVIL = ['<img src=x onerror="window.hacked=1">', '"><script>window.hacked=2</script>', "javascript:window.hacked=3",
    "{{7*7}}${7*7}", "</pre><svg onload=window.hacked=4>", "a\u202Egnp.exe", "%3Cb%3E", "__proto__", "constructor"];

test("names, contents and errors of others stay text", async () => {
    const server = await finance({ docs: 0, remotes: ["usb"] });
    for (const evil of EVIL) {
        await server.put("finance", evil, { [evil]: evil, list: [evil] });
        await server.put("finance", evil, { [evil]: `${evil} again`, list: [evil, evil] });
    }
    await server.put("finance", `${EVIL[0]}-key`, { token: SECRET });
    await server.ask("POST", "/v1/finance/remotes/usb/run");
    const page = await open(`${server.url}/#/finance/docs`, { expect: ["404", "400"] });
    page.on("dialog", () => page.faults.push("a dialog"));
    await page.locator(".docs tbody tr").nth(EVIL.length).waitFor();
    const shown = await page.locator(".docs tbody a").allTextContents();
    for (const evil of EVIL)
        assert.ok(shown.includes(evil), evil);
    for (const evil of EVIL) {
        await page.goto(`${server.url}/#/finance/docs`);
        await page.locator(".docs tbody tr").nth(EVIL.length).waitFor();
        await page.getByRole("link", { name: evil, exact: true }).click();
        await page.locator('[data-version="2"]').waitFor();
        assert.equal(await page.locator("h1").textContent(), evil);
        assert.ok((await page.locator(".json").textContent()).includes(JSON.stringify(evil)), evil);
        await page.locator('[data-version="1"]').getByRole("button", { name: "What changed since" }).click();
        await page.locator(".change").first().waitFor();
    }
    for (const evil of EVIL) {
        await append(server, evil, [{ kind: "user", id: evil, body: { text: evil } }, { body: { [evil]: evil }, attach: evil }, { body: `find ${evil} me` }]);
        await server.ask("PATCH", `/v1/finance/streams/${encodeURIComponent(evil)}`, { [evil]: evil });
    }
    for (const evil of EVIL) {
        await page.goto(`${server.url}/#/finance/streams`);
        await page.locator(".streams tbody tr").nth(EVIL.length - 1).waitFor();
        await page.getByRole("link", { name: evil, exact: true }).click();
        await page.locator(".feed article").nth(2).waitFor();
        assert.equal(await page.locator("h1").textContent(), evil);
        assert.equal(await page.locator(".feed .said").first().textContent(), evil);
        assert.ok((await page.locator(".feed .line").textContent()).includes(JSON.stringify(evil)));
        await page.locator(".feed").getByText("Attached:").click();
        await until(async () => (await page.locator(".feed .json").count()) === 1);
        await page.locator(".attr-value").getByText(evil, { exact: true }).waitFor();
    }
    await page.goto(`${server.url}/#/finance/search?q=find+me`);
    await page.locator(".hit").nth(EVIL.length - 1).waitFor();
    await page.goto(`${server.url}/#/finance/set-aside`);
    await page.locator(".asides li").waitFor();
    await page.route("**/status", route => route.fulfill({ status: 500, contentType: "application/problem+json",
        body: JSON.stringify({ code: EVIL[0], title: EVIL[1], detail: EVIL[4], request_id: EVIL[0], status: 500 }) }));
    page.faults.length = 0;
    await page.goto(`${server.url}/#/${encodeURIComponent(EVIL[0])}`);
    await page.getByText(EVIL[4]).waitFor();
    await page.goto(`${server.url}/#/%E0%A4%A/doc/%E0%A4%A`);
    await page.locator("h1").waitFor();
    assert.equal(await page.evaluate(() => window.hacked), undefined);
    assert.equal(await page.locator("main img, main svg[onload], main script").count(), 0);
    assert.deepEqual(page.faults.filter(f => !f.includes("500")), []);
    assert.deepEqual(await page.evaluate(() => window.violations), []);
});

test("the policy stops what is not the page's own, should it ever get in", async () => {
    const server = await finance({ docs: 0, remotes: [] });
    const page = await open(`${server.url}/`);
    await page.locator("h1").waitFor();
    const stopped = await page.evaluate(async () => {
        const out = [];
        try {
            document.body.innerHTML = "<b>x</b>";
        } catch {
            out.push("markup");
        }
        const script = document.createElement("script");
        try {
            script.text = "window.hacked = 1";
            document.body.append(script);
        } catch {
            out.push("script");
        }
        await fetch("http://127.0.0.1:9/").catch(() => out.push("elsewhere"));
        await new Promise(resolve => setTimeout(resolve, 100));
        return [...out, window.hacked === undefined ? "nothing ran" : "ran", window.violations.length > 0 ? "seen" : "unseen"];
    });
    assert.deepEqual(stopped, ["markup", "script", "elsewhere", "nothing ran", "seen"]);
});
