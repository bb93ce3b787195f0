// Documents, their versions, differences, and the way back.
import fs from "node:fs";
import path from "node:path";
import { test, assert, open, clean, until, note, picture, asksNow } from "./kit.mjs";
import { finance } from "./places.mjs";

const MANY = 10000;

async function fillMany(server, count) {
    let next = 0;
    const one = async () => {
        while (next < count) {
            const n = next++;
            await server.put("finance", `${n % 2 ? "odd" : "even"}/${String(n).padStart(5, "0")}.json`, { n });
        }
    };
    await Promise.all(Array.from({ length: 32 }, one));
}

test("ten thousand documents are there at once, by scrolling, and by their first letters", async () => {
    const server = await finance({ docs: 0, remotes: ["usb"] });
    await fillMany(server, MANY);
    const page = await open();
    let began = Date.now();
    await page.goto(`${server.url}/#/finance/docs`);
    const rows = page.locator(".docs tbody tr");
    await rows.first().getByText("even/00000.json").waitFor({ timeout: 3000 });
    note(`first documents after ${Date.now() - began} ms`);
    await page.getByText(/^\d+ of 10,000 documents$/).waitFor();
    assert.ok(await rows.count() <= 1200, "not all at once");

    began = Date.now();
    await page.getByLabel("Name begins with").pressSequentially("odd/0999");
    await until(async () => (await rows.count()) === 5 && (await rows.first().textContent()).startsWith("odd/09991"), 3, "the search found five");
    await page.getByText("5 documents", { exact: true }).waitFor();
    note(`found by prefix after ${Date.now() - began} ms`);
    assert.ok(page.url().includes("prefix=odd%2F0999"));
    await page.getByLabel("Name begins with").fill("nothing-like-it");
    await page.getByText("No document's name begins with “nothing-like-it”.").waitFor();
    await page.getByLabel("Name begins with").fill("");
    await rows.first().getByText("even/00000.json").waitFor();

    began = Date.now();
    for (let seen = 0; seen < MANY;) {
        await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
        seen = await rows.count();
        assert.ok(Date.now() - began < 30000, `only ${seen} after 30 s`);
    }
    note(`all of them by scrolling after ${Date.now() - began} ms`);
    await page.getByText("10,000 documents", { exact: true }).waitFor();
    began = Date.now();
    await rows.last().getByRole("link").click();
    await page.locator("h1", { hasText: "odd/09999.json" }).waitFor();
    assert.ok(Date.now() - began < 5000, "the last one opens within seconds");
    await page.goBack();
    await rows.first().waitFor();
    await clean(page);
});

const change = (page, path) => page.locator(".change", { has: page.locator("code", { hasText: path }) });

test("a document shows its content as written, its versions, and what changed between two", async () => {
    const server = await finance({ docs: 0, remotes: ["usb"] });
    const name = "chat/partners & more.json";
    await server.put("finance", name, '{"partner":"Burry","total":9007199254740993,"rate":1.10,"talk":[{"say":"hello"},{"say":"bye"}],"old":true}');
    await server.put("finance", name, '{"partner":"Burry","total":9007199254740995,"rate":1.10,"talk":[{"say":"hello"},{"say":"in between"},{"say":"bye"}],"new":{"a":null}}');
    await server.put("finance", name, '{"partner":"Graham","total":9007199254740995,"rate":1.10,"talk":[{"say":"hello"},{"say":"in between"},{"say":"bye!"}],"new":{"a":null}}');
    const page = await open(`${server.url}/#/finance/docs`);
    await page.getByRole("link", { name }).click();
    await page.locator("h1", { hasText: name }).waitFor();
    const content = page.locator(".json").first();
    await content.getByText("9007199254740995").waitFor();
    assert.match(await content.textContent(), /"rate": 1\.10,/, "numbers as they were written");
    const versions = page.locator(".versions > li");
    await versions.nth(2).waitFor();
    assert.equal(await versions.count(), 3);
    await versions.first().getByText("current").waitFor();

    await versions.nth(2).getByRole("button", { name: "Look" }).click();
    await page.getByRole("heading", { name: "Version 1" }).waitFor();
    await content.getByText("9007199254740993").waitFor();

    await page.getByLabel("From").selectOption({ label: "Version 1" });
    await page.getByLabel("to", { exact: true }).selectOption({ label: "Version 2" });
    await page.getByRole("button", { name: "Compare", exact: true }).click();
    await page.getByText("4 changes").waitFor();
    assert.match(await change(page, "total").textContent(), /9007199254740993.*9007199254740995/);
    await change(page, "talk › [2]").getByText("added").waitFor();
    await change(page, "old").getByText("removed").waitFor();
    await change(page, "new").locator("ins").waitFor();
    await picture(page, "document-difference");
    await page.getByText("As JSON Patch").click();
    await page.locator(".patch .json").getByText('"op"').first().waitFor();

    await versions.nth(1).getByRole("button", { name: "What changed since" }).click();
    await page.getByRole("heading", { name: "Version 2 → now" }).waitFor();
    assert.match(await change(page, "partner").textContent(), /Burry.*Graham/);
    assert.match(await change(page, "talk › [3] › say").textContent(), /"bye".*"bye!"/);
    await clean(page);
});

test("going back asks first, does it once, and loses nothing", async () => {
    const server = await finance({ docs: 0, remotes: ["usb"] });
    for (const n of [1, 2, 3])
        await server.put("finance", "a.json", { n });
    const page = await open(`${server.url}/#/finance/doc/a.json`, { expect: ["412", "404"] });
    const versions = page.locator(".versions > li"), first = page.locator('[data-version="1"]');
    await first.getByRole("button", { name: "Go back to this" }).click();
    const ask = page.getByRole("dialog");
    await ask.getByText("Go back to Version 1?").waitFor();
    await picture(page, "question");
    await ask.getByRole("button", { name: "Cancel" }).click();
    await ask.waitFor({ state: "detached" });
    assert.equal(await server.json("/v1/finance/docs/a.json").then(d => d.n), 3, "cancelled");
    await first.getByRole("button", { name: "Go back to this" }).click();
    await page.keyboard.press("Escape");
    await ask.waitFor({ state: "detached" });
    assert.equal(await server.json("/v1/finance/docs/a.json").then(d => d.n), 3, "escaped");
    await first.getByRole("button", { name: "Go back to this" }).click();
    await ask.getByRole("button", { name: "Go back to this" }).click();
    await page.locator("#main").getByText("Done: it is version 4 now.").waitFor();
    assert.equal(await server.json("/v1/finance/docs/a.json").then(d => d.n), 1);
    await until(async () => (await versions.count()) === 4);
    await versions.first().getByText("gone back").waitFor();

    /* Somebody else writes between the look and the click. */
    await first.getByRole("button", { name: "Go back to this" }).waitFor();
    await page.locator('[data-version="2"]').getByRole("button", { name: "Go back to this" }).click();
    await server.put("finance", "a.json", { n: 99 });
    await ask.getByRole("button", { name: "Go back to this" }).click();
    await page.getByText("The document has changed meanwhile").waitFor();
    assert.equal(await server.json("/v1/finance/docs/a.json").then(d => d.n), 99, "what somebody else wrote stands");

    await server.ask("DELETE", "/v1/finance/docs/a.json");
    await page.reload();
    await page.getByText("This document is not there now").waitFor();
    await page.locator('[data-version="2"]').getByRole("button", { name: "Go back to this" }).click();
    await ask.getByRole("button", { name: "Go back to this" }).click();
    await page.locator("#main").getByText(/Done: it is version \d+ now/).waitFor();
    assert.equal(await server.json("/v1/finance/docs/a.json").then(d => d.n), 2, "back from a deletion");
    await clean(page);
});

test("a document that changes while it is shown says so and is not replaced under the reader", async () => {
    const server = await finance({ docs: 1, remotes: ["usb"] });
    const page = await open(`${server.url}/#/finance/doc/doc-1.json`);
    await page.locator(".json").getByText("Document 1").waitFor();
    await server.put("finance", "other.json", { n: 1 });
    await server.put("finance", "doc-1.json", { name: "Another" });
    await asksNow(page);
    await page.getByText("It has changed meanwhile.").waitFor({ timeout: 15000 });
    assert.ok((await page.locator(".json").textContent()).includes("Document 1"));
    await page.getByRole("button", { name: "Show the new one" }).click();
    await page.locator(".json").getByText("Another").waitFor();
    await clean(page);
});

test("versions that a remote has are listed, shown, compared and gone back to", async () => {
    const server = await finance({ docs: 0, remotes: ["usb"] });
    for (const n of [1, 2]) {
        await server.put("finance", "a.json", { n });
        assert.equal((await server.ask("POST", "/v1/finance/remotes/usb/run")).status, 200);
    }
    await server.put("finance", "a.json", { n: 3 });
    const page = await open(`${server.url}/#/finance/doc/a.json`);
    await page.locator('[data-version="3"]').waitFor();
    await page.getByLabel("Versions kept").selectOption("usb");
    const versions = page.locator(".versions > li");
    await until(async () => (await versions.count()) === 2, 10, "the remote has two");
    await versions.nth(1).getByRole("button", { name: "Look" }).click();
    await page.locator(".json").getByText("1", { exact: true }).waitFor();
    await versions.nth(1).getByRole("button", { name: "What changed since" }).click();
    await page.getByText("1 change", { exact: true }).waitFor();
    await versions.nth(1).getByRole("button", { name: "Go back to this" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Go back to this" }).click();
    await page.locator("#main").getByText("Done: it is version 4 now.").waitFor();
    assert.equal(await server.json("/v1/finance/docs/a.json").then(d => d.n), 1);
    await clean(page);
});

test("a list of documents that is looked at learns of new ones", async () => {
    const server = await finance({ docs: 1, remotes: ["usb"] });
    const page = await open(`${server.url}/#/finance/docs`);
    await page.getByText("1 document", { exact: true }).waitFor();
    await asksNow(page);
    await server.put("finance", "later.json", { n: 1 });
    await asksNow(page);
    await page.getByRole("link", { name: "later.json" }).waitFor();
    await page.getByText("2 documents", { exact: true }).waitFor();
    await clean(page);
});

test("a document of megabytes is cut, and shown whole when asked", async () => {
    const server = await finance({ docs: 0, remotes: ["usb"] });
    await server.put("finance", "large.json", { text: Array.from({ length: 40000 }, (_, i) => `line ${i} of many`) });
    const page = await open(`${server.url}/#/finance/doc/large.json`);
    await page.getByText(/^Only the first 200 ?kB are shown/).waitFor();
    assert.ok(!(await page.locator(".json").textContent()).includes("line 39999"));
    await page.getByRole("button", { name: "Show all of it" }).click();
    await until(async () => (await page.locator(".json").textContent()).includes("line 39999 of many"), 10, "all of it");
    await clean(page);
});

test("reading JSON as it is written agrees with the browser's own, and finds the differences that there are", async () => {
    const server = await finance({ docs: 0, remotes: [] });
    const page = await open(`${server.url}/`);
    const failed = await page.evaluate(async () => {
        const { parse, prettyText, diff } = await import("/page/json.js");
        const out = [];
        const texts = ["{}", "[]", '"a\\\\"', '"\\"\\\\\\""', "-0.5e+10", " [ 1 , {\"a\" : [ ] } ] ", '{"":{"\\u0041":"\\u00e9"}}', "null", '"\u2028"'];
        for (const text of texts)
            if (JSON.stringify(JSON.parse(prettyText(parse(text)))) !== JSON.stringify(JSON.parse(text)))
                out.push(text);
        for (const bad of ["", "{", "[1,]", '{"a"}', "01", "tru", '"a', "1 2", "{\"a\":1,}", "\"\\\""])
            try {
                parse(bad);
                out.push(`taken: ${bad}`);
            } catch { /* as it should */ }
        /* Random documents: what diff tells, done to the first, gives the second. */
        let seed = 7;
        const random = n => (seed = (seed * 48271) % 2147483647) % n;
        const value = depth => {
            const kind = random(depth > 2 ? 3 : 5);
            if (kind === 3)
                return Array.from({ length: random(5) }, () => value(depth + 1));
            if (kind === 4)
                return Object.fromEntries(Array.from({ length: random(4) }, () => ["abcdef"[random(6)], value(depth + 1)]));
            return [random(4), "xyz"[random(3)], null][kind];
        };
        const plain = node => JSON.parse(prettyText(node));
        const at = (root, path) => path.reduce((v, p) => v[p], root);
        for (let i = 0; i < 500; i++) {
            const a = value(0), b = value(0);
            const changes = diff(parse(JSON.stringify(a)), parse(JSON.stringify(b)));
            let done = structuredClone(a);
            for (const c of changes) {
                const last = c.path.at(-1);
                if (last === undefined) {
                    done = plain(c.now);
                    continue;
                }
                const place = at(done, c.path.slice(0, -1));
                if (c.op === "removed") {
                    if (Array.isArray(place))
                        place.splice(c.spot, 1);
                    else
                        delete place[last];
                } else if (c.op === "added" && Array.isArray(place))
                    place.splice(last, 0, plain(c.now));
                else
                    place[last] = plain(c.now);
            }
            const sorted = v => (Array.isArray(v) ? v.map(sorted) : v && typeof v === "object"
                ? Object.fromEntries(Object.keys(v).sort().map(k => [k, sorted(v[k])])) : v);
            if (JSON.stringify(sorted(done)) !== JSON.stringify(sorted(b)))
                out.push(`${JSON.stringify(a)} -> ${JSON.stringify(b)}: ${JSON.stringify(changes.map(c => [c.op, c.path]))} gave ${JSON.stringify(done)}`);
        }
        return out;
    });
    assert.deepEqual(failed, []);
    await clean(page);
});

test("what was asked for last is shown, however late the answers come", async () => {
    const server = await finance({ docs: 0, remotes: ["usb"] });
    for (const n of [1, 2, 3])
        await server.put("finance", "a.json", { n: `the ${n}.` });
    const page = await open();
    let letGo;
    const held = new Promise(resolve => (letGo = resolve));
    await page.route("**/a.json?version=1", async route => {
        await held;
        await route.continue();
    });
    await page.goto(`${server.url}/#/finance/doc/a.json`);
    const look = n => page.locator(`[data-version="${n}"]`).getByRole("button", { name: "Look" }).click();
    await look(1);
    await page.getByRole("heading", { name: "Version 1" }).waitFor();
    await look(2);
    await page.locator(".json").getByText("the 2.").waitFor();
    const late = page.waitForResponse("**/a.json?version=1");
    letGo();
    await (await late).finished();
    await page.evaluate(() => new Promise(resolve => setTimeout(resolve, 100)));
    await page.getByRole("heading", { name: "Version 2" }).waitFor();
    assert.match(await page.locator(".json").textContent(), /the 2\./, "not replaced by the one before it");
    await clean(page);
});

test("versions that are chosen to be compared are there, also after another place was chosen", async () => {
    const server = await finance({ docs: 0, remotes: ["usb"] });
    for (const n of [1, 2, 3, 4]) {
        await server.put("finance", "a.json", { n });
        if (n < 3)
            await server.ask("POST", "/v1/finance/remotes/usb/run");
    }
    const page = await open(`${server.url}/#/finance/doc/a.json`);
    await page.getByLabel("From").selectOption({ label: "Version 1" });
    await page.getByLabel("Versions kept").selectOption("usb");
    await until(async () => (await page.locator(".versions > li").count()) === 2, 10, "the remote has two");
    await page.getByRole("button", { name: "Compare", exact: true }).click();
    await page.getByText("1 change", { exact: true }).waitFor();
    await clean(page);
});

test("the first document of a space that was empty is told, too", async () => {
    const server = await finance({ docs: 0, remotes: ["usb"] });
    const list = await open(`${server.url}/#/finance/docs`), page = await open(`${server.url}/#/finance/doc/first.json`, { expect: ["404"] });
    await list.getByText("There are no documents yet.").waitFor();
    await page.getByText("This document is not there now").waitFor();
    for (const one of [list, page])
        await one.locator("option", { hasText: "finance" }).waitFor({ state: "attached" });
    await asksNow(list);
    await asksNow(page);
    await server.put("finance", "first.json", { n: 1 });
    await list.getByRole("link", { name: "first.json" }).waitFor();
    await page.getByText("It has changed meanwhile.").waitFor();
    await clean(list);
    await clean(page);
});

test("times in words grow older while nothing else changes, and with the server away", async () => {
    const server = await finance({ docs: 1, remotes: ["usb"] });
    const page = await open(undefined, { expect: ["ERR_"] });
    await page.clock.install();
    await page.goto(`${server.url}/#/finance/docs`);
    await page.locator("tbody time").getByText("just now").waitFor();
    await server.kill();
    await page.clock.fastForward("10:00");
    await page.locator("tbody time").getByText("10 minutes ago").waitFor();
    await clean(page);
});

test("an address with a name that cannot be one asks for nothing above the documents", async () => {
    const server = await finance({ docs: 1, remotes: ["usb"] });
    const page = await open();
    const asked = [];
    page.on("request", r => asked.push(new URL(r.url()).pathname));
    for (const name of ["..%2F..%2F..%2Fmetrics", "a%2F.%2Fb", "..", "a%2F%2Fb"]) {
        await page.goto(`${server.url}/#/finance/doc/${name}`);
        await page.getByRole("link", { name: "doc-1.json" }).waitFor();
        await page.goto("about:blank");
    }
    assert.ok(!asked.includes("/metrics"), `${asked}`);
    await clean(page);
});

test("a document that is damaged goes back to a version that is whole", async () => {
    const server = await finance({ docs: 0, remotes: ["usb"] });
    for (const text of ["whole", "findme".repeat(20)])
        await server.put("finance", "a.json", { text });
    await server.kill("SIGTERM");
    const file = path.join(server.data, "finance.db"), bytes = fs.readFileSync(file);
    const spot = bytes.indexOf("findmefindme");
    assert.ok(spot > 0, "its bytes are in the file");
    bytes[spot] ^= 1;
    fs.writeFileSync(file, bytes);
    await server.run();
    const page = await open(`${server.url}/#/finance/doc/a.json`, { expect: ["500"] });
    await page.getByText("Damage was found").waitFor();
    await page.locator('[data-version="1"]').getByRole("button", { name: "Go back to this" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Go back to this" }).click();
    await page.locator("#main").getByText("Done: it is version 3 now.").waitFor();
    await page.locator(".json").getByText("whole").waitFor();
    await clean(page);
});
