// Streams: the conversation, what stands beside it, and how it goes on while somebody reads.
import fs from "node:fs";
import path from "node:path";
import { test, assert, open, clean, until, note, sleep, accessible, picture } from "./kit.mjs";
import { finance, append, numbersOf } from "./places.mjs";

const DAY = 86400000;
const articles = page => page.locator(".feed article");
const entry = (page, n) => page.locator(`.feed article[data-n="${n}"]`);
const top = (page, n) => entry(page, n).locator(".bubble").evaluate(e => e.getBoundingClientRect().top);

/* Numbers that are in the document: a run without a hole. */
async function shown(page) {
    const numbers = await articles(page).evaluateAll(all => all.map(a => Number(a.dataset.n)));
    numbers.forEach((n, i) => assert.equal(n, numbers[0] + i, "a run without a hole"));
    return numbers;
}

test("a conversation is read as it went: kinds, days, pauses, attachments, numbers as they were written", async () => {
    const server = await finance({ docs: 0, remotes: ["usb"], streams: '{ match: "chat/*", conversation_gap: 10m }' });
    const at = (day, minutes) => new Date(Date.parse("2026-03-01T10:00:00Z") + day * DAY + minutes * 60000).toISOString();
    await append(server, "chat/anna", [
        { kind: "user", at: at(0, 0), body: { text: "Hello\nDo you have bicycles?" } },
        { kind: "assistant", at: at(0, 1), id: "m-2", body: { text: "We do.", exchange: "x1" } },
        { kind: "product_view", at: at(0, 2), body: { product: "bike", price: 9007199254740993 } },
        { kind: "user", at: at(0, 12.5), body: "Still there?", attach: { cart: ["bike", 9007199254740993] } },
        { kind: "tool", at: at(1, 0), body: [1, 2] },
        { at: at(1, 1), body: 17 },
    ].map(e => JSON.stringify(e).replaceAll("9007199254740992", "9007199254740993")));
    const page = await open(`${server.url}/#/finance/streams`);
    await page.getByRole("link", { name: "chat/anna" }).click();
    await entry(page, 6).waitFor();
    assert.deepEqual(await articles(page).locator(".who").allTextContents(), ["User", "Assistant", "product_view", "User", "Tool", "Entry"]);
    assert.equal(await entry(page, 1).locator(".said").evaluate(e => e.innerText), "Hello\nDo you have bicycles?");
    assert.equal(await entry(page, 1).locator("time").textContent(), "11:00", "in the time of who reads");
    assert.match(await entry(page, 3).locator(".line").textContent(), /9007199254740993/);
    assert.deepEqual((await page.locator(".day").allTextContents()).map(s => s.replace(",", "")), ["Sunday 1 March 2026", "Monday 2 March 2026"]);
    assert.deepEqual(await page.locator(".gap").allTextContents(), ["New conversation, after 11 minutes", "New conversation, after 1 day"]);
    const more = entry(page, 2).locator("details");
    assert.equal(await more.locator(".json").count(), 0, "what is folded is not made");
    await more.getByText("Everything it holds").click();
    await more.getByText('"x1"').waitFor();
    const attached = entry(page, 4).locator("details");
    assert.equal(await attached.locator(".json").count(), 0);
    await attached.getByText(/^Attached: \d+ bytes$/).click();
    assert.match(await attached.locator(".json").textContent(), /9007199254740993/);
    await page.getByText("The stream begins here.").waitFor();
    const facts = page.locator(".stream > .facts");
    await facts.getByText("6", { exact: true }).waitFor();

    await page.getByLabel("Kind", { exact: true }).first().selectOption("user");
    await until(async () => (await articles(page).count()) === 2, 10, "those of a kind");
    await page.getByText("There are no earlier ones of this kind.").waitFor();
    await page.getByLabel("Kind", { exact: true }).first().selectOption("");
    await until(async () => (await articles(page).count()) === 6);
    await page.getByLabel("Go to day").fill("2026-03-02");
    await until(() => entry(page, 5).evaluate(e => e.classList.contains("found")), 10, "the first of the day");
    await page.getByLabel("Go to day").fill("2026-04-02");
    await page.getByText("There is nothing from that day on.").first().waitFor();
    await clean(page);
});

test("a hundred thousand entries are there at once, at both ends and between, and few of them in the document", async () => {
    const server = await finance({ docs: 0, remotes: [] });
    const many = 100000, step = 10000;
    for (let from = 1; from <= many; from += step)
        await append(server, "long", Array.from({ length: step }, (_, i) => ({ kind: (from + i) % 2 ? "user" : "assistant", at: new Date(1.75e12 + (from + i) * 20000).toISOString(),
            body: { text: `entry ${from + i}${" and more".repeat((from + i) % 17)}` } })));
    const page = await open();
    const asked = [];
    page.on("request", r => asked.push(r.url()));
    let began = Date.now();
    await page.goto(`${server.url}/#/finance/stream/long`);
    await entry(page, many).waitFor({ timeout: 3000 });
    note(`the newest after ${Date.now() - began} ms`);
    await page.locator(".stream > .facts").getByText("100,000").waitFor();
    await page.locator(".chart rect").nth(40).waitFor();
    const box = page.locator(".talk");
    assert.ok(await box.evaluate(b => b.scrollHeight - b.scrollTop - b.clientHeight) < 2, "it begins at the end");

    /* Up, as far as one gets: what is read stays, the rest goes. */
    let least = many;
    began = Date.now();
    for (let i = 0; i < 40; i++) {
        const first = (await shown(page))[0];
        await box.evaluate(b => b.scrollTo(0, 10));
        await until(async () => (await shown(page))[0] < first, 10, "older ones come");
        const numbers = await shown(page);
        assert.ok(numbers.length <= 360, `${numbers.length} in the document`);
        assert.ok(await box.evaluate(b => b.scrollTop) > 100, "not thrown to the top");
        least = numbers[0];
    }
    note(`${many - least} entries up after ${Date.now() - began} ms`);
    assert.ok(least < many - 2000, `${least}`);

    await page.getByRole("button", { name: "First" }).click();
    await entry(page, 1).waitFor({ timeout: 3000 });
    await page.getByText("The stream begins here.").waitFor();
    await shown(page);
    await box.evaluate(b => b.scrollTo(0, b.scrollHeight));
    await until(async () => (await shown(page)).at(-1) > 60, 10, "newer ones come");
    await page.goto(`${server.url}/#/finance/stream/long?n=54321`);
    await entry(page, 54321).waitFor({ timeout: 3000 });
    await until(() => entry(page, 54321).evaluate(e => e === document.activeElement), 5, "it has the focus");
    const middle = await entry(page, 54321).evaluate(e => {
        const own = e.getBoundingClientRect(), of = e.closest(".talk").getBoundingClientRect();
        return own.top >= of.top && own.bottom <= of.bottom;
    });
    assert.ok(middle, "it is seen");
    await shown(page);
    await page.locator(".talk").focus();
    await page.keyboard.press("End");
    await entry(page, many).waitFor({ timeout: 3000 });
    const heavy = asked.filter(u => !/limit=\d\d?\b|last=60/.test(u) && u.includes("/entries?"));
    assert.deepEqual(heavy, [], "by pages alone");
    assert.ok(asked.filter(u => u.includes("steps=")).length <= 3, "how they lie in time is not counted again and again");
    await clean(page);
});

test("what is read stays where it is when something comes, and nothing that came is left out", async () => {
    const server = await finance({ docs: 0, remotes: [] });
    await append(server, "talk", numbersOf(1, 200));
    const page = await open(`${server.url}/#/finance/stream/talk`);
    await entry(page, 200).waitFor();
    await page.locator(".talk").evaluate(b => b.scrollTo(0, b.scrollHeight / 2));
    await sleep(500);
    const reading = await articles(page).evaluateAll(all => {
        const edge = document.querySelector(".talk").getBoundingClientRect().top;
        return Number(all.find(a => a.getBoundingClientRect().top > edge).dataset.n);
    });
    await sleep(300);
    const before = await top(page, reading);
    await append(server, "talk", numbersOf(201, 5));
    await page.getByRole("button", { name: "5 new entries" }).waitFor();
    assert.ok(Math.abs(await top(page, reading) - before) < 1.5, "it has not moved");
    await append(server, "talk", numbersOf(206, 900));
    await page.getByRole("button", { name: "905 new entries" }).waitFor();
    assert.ok(Math.abs(await top(page, reading) - before) < 1.5, "nor by many");
    assert.ok((await shown(page)).length <= 400);

    /* Down again, by hand: every one of them. */
    const seen = new Set();
    await until(async () => {
        for (const n of await shown(page))
            seen.add(n);
        await page.locator(".talk").evaluate(b => b.scrollBy(0, b.clientHeight * 2));
        return seen.has(1105);
    }, 60, "all the way down");
    for (let n = reading; n <= 1105; n++)
        assert.ok(seen.has(n), `${n} was shown`);
    await page.locator(".pill").waitFor({ state: "hidden" });

    await page.locator(".talk").evaluate(b => b.scrollTo(0, b.scrollHeight));
    await append(server, "talk", [{ kind: "assistant", body: { text: "the newest" } }]);
    await entry(page, 1106).waitFor();
    await until(() => page.locator(".talk").evaluate(b => b.scrollHeight - b.scrollTop - b.clientHeight < 2), 5, "who is at the end goes with it");
    await until(() => page.locator("#live").textContent().then(s => s.includes("Assistant: the newest")), 5, "who listens hears it");
    await page.locator(".talk").evaluate(b => b.scrollTo(0, 0));
    await append(server, "talk", numbersOf(1107, 3));
    await page.getByRole("button", { name: "3 new entries" }).click();
    await entry(page, 1109).waitFor();
    await page.locator(".pill").waitFor({ state: "hidden" });
    await clean(page);
});

test("answers that come late leave no hole and put nothing twice", async () => {
    const server = await finance({ docs: 0, remotes: [] });
    await append(server, "talk", numbersOf(1, 400));
    const page = await open();
    let hold = null, letGo;
    await page.route("**/entries?before=*", async route => {
        if (hold)
            await hold;
        await route.continue().catch(() => {}); /* the page may not wait for it any more */
    });
    await page.goto(`${server.url}/#/finance/stream/talk`);
    await entry(page, 400).waitFor();
    const box = page.locator(".talk");
    await box.evaluate(b => b.scrollTo(0, 300));
    await until(async () => (await shown(page))[0] <= 281, 10, "older ones");
    hold = new Promise(resolve => (letGo = resolve));
    const wanted = page.waitForRequest("**/entries?before=*");
    await box.evaluate(b => b.scrollTo(0, 0));
    await wanted;
    await box.evaluate(b => b.scrollTo(0, b.scrollHeight));
    for (let i = 0; i < 8; i++) {
        await append(server, "talk", numbersOf(401 + i * 40, 40));
        await entry(page, 440 + i * 40).waitFor();
    }
    const before = await shown(page);
    assert.ok(before[0] > 400, "the first of them are not in the document any more");
    letGo();
    hold = null;
    await sleep(500);
    assert.deepEqual(await shown(page), before, "what came late belongs nowhere");
    await box.evaluate(b => b.scrollTo(0, 0));
    await until(async () => (await shown(page))[0] < before[0], 10, "it is asked for again");

    /* A jump while another one is under way: the last one counts. */
    hold = new Promise(resolve => (letGo = resolve));
    await page.evaluate(() => (location.hash = "#/finance/stream/talk?n=100"));
    await page.locator("h1").waitFor();
    await page.getByRole("button", { name: "First" }).click();
    await entry(page, 1).waitFor();
    letGo();
    await sleep(500);
    assert.equal((await shown(page))[0], 1);
    await clean(page);
});

test("it asks gently: small questions while it is seen, none while it is hidden, none when it is left", async () => {
    const server = await finance({ docs: 0, remotes: [] });
    await append(server, "talk", numbersOf(1, 20));
    const page = await open(`${server.url}/#/finance/stream/talk`);
    await entry(page, 20).waitFor();
    await sleep(1000);
    let asked = [];
    page.on("request", r => asked.push(r.url().replace(server.url, "")));
    await sleep(9000);
    const entries = asked.filter(u => u.includes("/entries"));
    assert.ok(entries.length <= 1 && entries.every(u => u.includes("after=20") && u.includes("follow=")), `${entries}`);
    assert.ok(!asked.some(u => u.includes("steps=") || /streams\/talk$/.test(u)), `nothing was written, so nothing else is asked: ${asked}`);
    await page.evaluate(() => {
        Object.defineProperty(document, "hidden", { configurable: true, value: true });
        document.dispatchEvent(new Event("visibilitychange"));
    });
    await sleep(3000);
    asked = [];
    await append(server, "talk", numbersOf(21, 1));
    await sleep(5000);
    assert.deepEqual(asked, [], "hidden");
    await page.evaluate(() => {
        Object.defineProperty(document, "hidden", { configurable: true, value: false });
        document.dispatchEvent(new Event("visibilitychange"));
    });
    await entry(page, 21).waitFor({ timeout: 4000 });
    await page.getByRole("link", { name: "Runs" }).click();
    await page.getByText("No run has done anything yet.").waitFor();
    asked = [];
    await sleep(4500);
    assert.deepEqual(asked.filter(u => u.includes("/streams/")), [], "left");
    await clean(page);
});

test("a stream is read by keys alone", async () => {
    const server = await finance({ docs: 0, remotes: [] });
    await append(server, "talk", numbersOf(1, 200));
    const page = await open(`${server.url}/#/finance/stream/talk?n=100`);
    await until(() => entry(page, 100).evaluate(e => e === document.activeElement), 10, "the entry has the focus");
    const at = () => page.evaluate(() => document.activeElement.dataset.n || document.activeElement.className);
    await page.keyboard.press("PageDown");
    assert.equal(await at(), "101", "from entry to entry");
    const seen = await page.evaluate(() => getComputedStyle(document.activeElement.querySelector(".bubble")).outlineStyle);
    assert.notEqual(seen, "none", "the focus is seen");
    await page.keyboard.press("PageUp");
    await page.keyboard.press("PageUp");
    assert.equal(await at(), "99");
    await page.keyboard.press("Home");
    await entry(page, 1).waitFor();
    await until(async () => (await at()) === "talk", 5, "the box has the focus");
    await page.keyboard.press("End");
    await entry(page, 200).waitFor();
    assert.ok(await page.locator(".talk").evaluate(b => b.scrollHeight - b.scrollTop - b.clientHeight < 2));
    await page.keyboard.press("ArrowUp");
    await until(() => page.locator(".talk").evaluate(b => b.scrollHeight - b.scrollTop - b.clientHeight > 2), 5, "the arrows scroll");
    await page.keyboard.press("Tab");
    assert.ok(await page.evaluate(() => document.activeElement.matches(".talk a")), "and what can be opened comes next");
    await clean(page);
});

test("a server that goes and comes back: what was read stays, and the conversation goes on", async () => {
    const server = await finance({ docs: 0, remotes: [] });
    await append(server, "talk", numbersOf(1, 100));
    const page = await open(`${server.url}/#/finance/stream/talk`, { expect: ["ERR_"] });
    await entry(page, 100).waitFor();
    await server.kill();
    await page.getByText("The server does not answer.").first().waitFor({ timeout: 20000 });
    assert.deepEqual(await shown(page), Array.from({ length: 60 }, (_, i) => 41 + i), "as it was");
    await page.locator(".talk").evaluate(b => b.scrollTo(0, 0));
    await page.locator(".talk").getByText("The server does not answer").waitFor();
    await server.run();
    await append(server, "talk", numbersOf(101, 5));
    await page.locator(".banner").waitFor({ state: "hidden", timeout: 40000 });
    await entry(page, 105).waitFor();
    await until(async () => (await shown(page))[0] === 1, 10, "and what could not be fetched is fetched");
    assert.equal(await page.locator(".talk").getByText("The server does not answer").count(), 0);
    await clean(page);
});

test("an entry that is damaged is shown as that, and what stands around it is read", async () => {
    const server = await finance({ docs: 0, remotes: [], streams: '{ match: "none", window: 0 }' });
    const many = 150, hurt = [1, 50, 51, 100, 149];
    await append(server, "talk", Array.from({ length: many }, (_, i) => ({ kind: i % 2 ? "assistant" : "user", at: `2026-03-0${1 + Math.floor(i / 50)}T10:00:00Z`,
        body: { text: `the entry ${i + 1} of them` } })));
    await server.kill("SIGTERM");
    const file = path.join(server.data, "finance.db"), bytes = fs.readFileSync(file);
    for (const n of hurt) {
        const body = `{"text":"the entry ${n} of them"}`;
        assert.ok(bytes.includes(body), "its bytes are in the file");
        for (let spot; (spot = bytes.indexOf(body)) > 0;) /* also where a page has left some */
            bytes[spot + 10] ^= 1;
    }
    fs.writeFileSync(file, bytes);
    await server.run();
    const page = await open(`${server.url}/#/finance/stream/talk`, { expect: ["500"] });
    await entry(page, many).waitFor();
    await entry(page, 149).getByText("Damaged", { exact: true }).waitFor();
    await entry(page, 149).getByText(/keepfast verify/).waitFor();
    await accessible(page, "a damaged entry");
    await picture(page, "stream-damaged");
    await until(async () => {
        await page.locator(".talk").evaluate(b => b.scrollTo(0, 0));
        return (await shown(page))[0] === 1;
    }, 30, "all of them, by scrolling");
    assert.deepEqual(await shown(page), Array.from({ length: many }, (_, i) => i + 1));
    assert.deepEqual(await page.locator(".bubble.damaged").evaluateAll(all => all.map(b => Number(b.closest("article").dataset.n))), hurt);
    assert.equal(await page.locator(".day").count(), 3, "days are those of the others");
    await append(server, "talk", [{ kind: "user", body: { text: "and on" } }]);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Latest" }).click();
    await entry(page, many + 1).getByText("and on").waitFor();
    await page.getByRole("button", { name: "First" }).click();
    await entry(page, 2).waitFor();
    assert.equal((await shown(page))[0], 1);
    await page.goto(`${server.url}/#/finance/stream/talk?n=51`);
    await until(() => entry(page, 51).evaluate(e => e === document.activeElement), 10, "it can be gone to");
    await page.getByLabel("Kind", { exact: true }).first().selectOption("user");
    await until(async () => (await articles(page).evaluateAll(all => all.map(a => Number(a.dataset.n)))).join().endsWith("145,147,149,151"), 10, "those of a kind");
    await page.getByLabel("Kind", { exact: true }).first().selectOption("");
    await page.getByLabel("Go to day").fill("2026-03-03");
    await until(() => entry(page, 101).evaluate(e => e.classList.contains("found")), 10, "a day");
    await clean(page);
});
