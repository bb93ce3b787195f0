// What stands beside the entries of a stream: attributes, statistics, contexts, an entry by hand, and the end; lists of streams.
import { test, assert, open, clean, until, asksNow, keepfast, accessible, picture } from "./kit.mjs";
import { finance, append, numbersOf } from "./places.mjs";

const articles = page => page.locator(".feed article");
const entry = (page, n) => page.locator(`.feed article[data-n="${n}"]`);

test("attributes are set, changed, unlinked and brought back, and lead to the streams that share them", async () => {
    const server = await finance({ docs: 0, remotes: [] });
    for (const key of ["chat/a", "chat/b", "chat/c"])
        await append(server, key, [{ kind: "user", body: { text: `hello from ${key}` } }]);
    const patch = (key, body) => server.ask("PATCH", `/v1/finance/streams/${key}`, body);
    await patch("chat/b", { customer: "anna & co", tags: { vip: true, old: 1 } });
    const attrs = async key => (await server.json(`/v1/finance/streams/${key}`)).attrs;
    const page = await open(`${server.url}/#/finance/stream/chat%2Fa`);
    const card = page.locator("section", { has: page.getByRole("heading", { name: "Attributes" }) });
    await card.getByText("It has none.").waitFor();
    await card.getByText("Set an attribute").click();
    await card.getByLabel("Name").fill("customer");
    await card.getByLabel("Value").fill("anna & co");
    await card.getByRole("button", { name: "Set", exact: true }).click();
    await card.getByText("customer is set.").waitFor();
    assert.deepEqual(await attrs("chat/a"), { customer: "anna & co" });
    await card.getByLabel("Name").fill("points");
    await card.getByLabel("As").selectOption("json");
    await card.getByLabel("Value").fill("9007199254740993.50");
    await card.getByRole("button", { name: "Set", exact: true }).click();
    await card.getByText("9007199254740993.50").waitFor();
    await card.getByLabel("Name").fill("bad");
    await card.getByLabel("As").selectOption("json");
    await card.getByLabel("Value").fill("{not json");
    await card.getByRole("button", { name: "Set", exact: true }).click();
    await card.getByText("This is no JSON").waitFor();
    await card.getByRole("button", { name: "Change: customer" }).click();
    assert.equal(await card.getByLabel("Value").inputValue(), "anna & co");
    await card.getByLabel("Value").fill("bob");
    await page.keyboard.press("Enter");
    await card.locator('[data-name="customer"]').getByText("bob").waitFor();
    await card.getByRole("button", { name: "Unlink: customer" }).click();
    await card.getByText("customer is unlinked.").waitFor();
    assert.deepEqual(Object.keys(await attrs("chat/a")), ["points"]);
    await card.getByRole("button", { name: "Undo" }).click();
    await card.locator('[data-name="customer"]').getByText("bob").waitFor();

    /* Somebody else changes it: it is shown by itself. */
    await patch("chat/a", { customer: "anna & co" });
    await card.locator('[data-name="customer"]').getByText("anna & co").waitFor({ timeout: 15000 });
    await card.getByRole("link", { name: "Others like this: customer" }).click();
    await until(async () => (await page.locator(".streams tbody a").allTextContents()).join() === "chat/a,chat/b", 10, "those of the customer");
    await page.getByText("2 streams", { exact: true }).waitFor();
    await page.getByRole("link", { name: "chat/b" }).click();

    await card.getByRole("button", { name: "Change: tags" }).click();
    assert.equal(await card.getByLabel("As").inputValue(), "json");
    await card.getByLabel("Value").fill('{"vip": false}');
    await page.keyboard.press("Enter");
    await card.getByText("tags is set.").waitFor();
    assert.deepEqual((await attrs("chat/b")).tags, { vip: false }, "what was taken out is out");

    const context = page.locator("section", { hasText: "What a model would get" }).last();
    await context.getByText("What a model would get").click();
    await context.getByRole("button", { name: "Show" }).click();
    await context.getByText(/^1 entry, \d+ bytes\. There are no earlier ones\.$/).waitFor();
    await context.getByLabel("Of", { exact: true }).selectOption("customer");
    await context.getByRole("button", { name: "Show" }).click();
    await context.getByText("hello from chat/a").waitFor();
    await context.getByRole("link", { name: "chat/b #1" }).waitFor();
    await accessible(page, "panels that are open");
    await context.getByLabel("Bytes at most").fill("30");
    await context.getByRole("button", { name: "Show" }).click();
    await context.getByText(/Earlier ones do not fit\.$/).waitFor();
    await clean(page);
});

test("statistics by kind, over time, and rings", async () => {
    const server = await finance({ docs: 0, remotes: [], streams: '{ match: "shop/*", rings: { views: { kind: view, last: 3 } } }' });
    const at = hours => new Date(Date.parse("2026-03-01T00:00:00Z") + hours * 3600000).toISOString();
    await append(server, "shop/1", [...Array.from({ length: 8 }, (_, i) => ({ kind: "view", at: at(i), body: { product: `p${i}` } })),
        ...Array.from({ length: 30 }, () => ({ kind: "user", at: at(47.9), body: "x" })), { at: at(48), body: 1 }]);
    const page = await open(`${server.url}/#/finance/stream/shop%2F1`);
    const stats = page.locator("section", { has: page.getByRole("heading", { name: "Statistics" }) });
    await stats.locator(".chart rect").nth(7).waitFor();
    assert.deepEqual(await stats.locator(".shares li").evaluateAll(all => all.map(li => li.innerText.split("\n").filter(Boolean).join(" "))),
        ["User 30", "view 8", "Entry 1"]);
    assert.match(await stats.getByRole("img").getAttribute("aria-label"), /^Entries over time\. The most at once: 31 entries from /);
    assert.match(await stats.locator("rect title").first().textContent(), /^2 entries from 1 Mar 2026/);
    const rings = page.locator("section", { has: page.getByRole("heading", { name: "Rings" }) });
    await rings.getByText("views (3)").waitFor();
    assert.deepEqual(await rings.locator(".ring a").allTextContents(), ["#6", "#7", "#8"]);
    await rings.getByRole("link", { name: "#7" }).click();
    await until(() => entry(page, 7).evaluate(e => e.classList.contains("found")), 10, "it leads to the entry");
    await clean(page);
});

test("an entry by hand happens once, also when its answer is lost; what a stream does not take is said", async () => {
    const server = await finance({ docs: 0, remotes: [], streams: '{ match: "chat/*", kinds: [user, assistant] }' });
    const page = await open(undefined, { expect: ["ERR_FAILED", "400", "404"] });
    await page.goto(`${server.url}/#/finance/streams`);
    await page.getByText("There are no streams yet.").waitFor();
    await page.getByText("Begin a new stream").click();
    await page.getByLabel("Name", { exact: true }).fill("chat/new");
    await page.keyboard.press("Enter");
    await page.getByText("There is no stream of this name.").waitFor();
    await page.locator("#append-body").fill("the first one");
    await page.locator("#append-kind").fill("user");
    let lose = true;
    await page.route("**/chat/new/entries", async route => {
        if (route.request().method() !== "POST" || !lose)
            return route.continue();
        lose = false;
        await route.fetch();
        return route.abort();
    });
    await page.getByRole("button", { name: "Append" }).click();
    await page.getByText("The server does not answer").first().waitFor();
    await page.locator("#append-body").press("Control+Enter");
    await entry(page, 1).getByText("the first one").waitFor();
    const got = (await server.json("/v1/finance/streams/chat/new/entries")).items;
    assert.deepEqual(got.map(e => [e.n, e.kind, e.body]), [[1, "user", { text: "the first one" }]]);
    await page.locator("#append-body").fill("again");
    await page.locator("#append-kind").fill("shout");
    await page.getByRole("button", { name: "Append" }).click();
    await page.getByText("The stream takes no such kind").waitFor();
    assert.equal(await page.locator("#append-body").inputValue(), "again", "nothing typed is lost");
    await page.locator("#append-kind").fill("");
    await page.locator(".append select").selectOption("json");
    await page.locator("#append-body").fill('{"n": 9007199254740993.10}');
    await page.locator("#append-kind").fill("assistant");
    await page.getByRole("button", { name: "Append" }).click();
    await entry(page, 2).locator(".line").getByText("9007199254740993.10").waitFor();
    await clean(page);
});

test("a stream is erased when its name is written, with a receipt, and the question says what others still hold", async () => {
    const server = await finance({ docs: 0, remotes: ["usb"] });
    for (const key of ["chat/a", "chat/b", "chat/c"])
        await append(server, key, [{ body: { text: "a secret" }, attach: { of: key } }, { body: 2 }]);
    await server.ask("POST", "/v1/finance/remotes/usb/run");
    const page = await open(`${server.url}/#/finance/stream/chat%2Fa`, { expect: ["404"] });
    await entry(page, 2).waitFor();
    const ask = () => page.getByRole("button", { name: "Erase this stream…" }).click();
    const dialog = page.getByRole("dialog");
    await ask();
    await dialog.getByText(/^2 entries, .*, here and in memory/).waitFor();
    await dialog.getByText("usb: until the next run").waitFor();
    await dialog.getByText("backups that were made or downloaded before").waitFor();
    await accessible(page, "the question before erasing");
    await picture(page, "erase");
    const yes = dialog.getByRole("button", { name: "Erase for good" });
    assert.ok(await yes.isDisabled());
    await dialog.getByRole("textbox").fill("chat/b");
    assert.ok(await yes.isDisabled(), "another name is no answer");
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    assert.equal((await server.json("/v1/finance/streams/chat/a")).count, 2, "not yet");
    await ask();
    await dialog.getByRole("textbox").fill("chat/a");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "chat/a is erased" }).waitFor();
    const receipt = page.locator(".receipt");
    await accessible(page, "a receipt");
    await picture(page, "receipt");
    assert.match(await receipt.locator(".facts").innerText(), /Entries\n2\nAttachments\n1/);
    await receipt.getByText("usb: has not confirmed yet").waitFor();
    assert.equal((await server.ask("GET", "/v1/finance/streams/chat/a")).status, 404);
    await receipt.getByRole("link", { name: "Streams" }).click();
    await until(async () => (await page.locator(".streams tbody a").allTextContents()).join() === "chat/b,chat/c", 10, "the others are there");
    await page.getByText("What was erased").click();
    await page.locator(".receipts li").getByText(/Receipt [\d,]+: 2 entries/).click();

    /* One person, by an attribute. */
    for (const key of ["chat/b", "chat/c"])
        await server.ask("PATCH", `/v1/finance/streams/${key}`, { customer: "anna/1" });
    await append(server, "other", [{ body: 1 }]);
    await page.getByLabel("Attribute").fill("customer");
    await page.getByLabel("=", { exact: true }).fill("anna/1");
    await until(async () => (await page.locator(".streams tbody a").allTextContents()).join() === "chat/b,chat/c", 10, "those of the person");
    await page.getByRole("button", { name: "Erase all of these…" }).click();
    await dialog.getByText("every stream with customer = anna/1, whatever its name").waitFor();
    await dialog.getByRole("textbox").fill("anna/1");
    await dialog.getByRole("button", { name: "Erase for good" }).click();
    await page.getByRole("heading", { name: "customer = anna/1 is erased" }).waitFor();
    assert.match(await page.locator(".receipt .facts").innerText(), /Streams\n2\nEntries\n4/);
    assert.deepEqual((await server.json("/v1/finance/streams")).items.map(s => s.key), ["other"]);
    await clean(page);
});

test("a stream that is erased while somebody reads it says so, and one that is born again is another", async () => {
    const server = await finance({ docs: 0, remotes: [] });
    await append(server, "talk", numbersOf(1, 20));
    const page = await open(`${server.url}/#/finance/stream/talk`, { expect: ["404"] });
    await entry(page, 20).waitFor();
    await server.ask("DELETE", "/v1/finance/streams/talk");
    await page.getByText("This stream has been erased meanwhile.").waitFor();
    assert.equal(await page.locator(".talk:visible").count(), 0, "nothing of it is shown any more");
    await append(server, "talk", [{ body: { text: "another" } }]);
    await page.reload();
    await entry(page, 1).getByText("another").waitFor();
    await append(server, "talk", numbersOf(2, 5));
    await entry(page, 6).waitFor();
    await server.ask("DELETE", "/v1/finance/streams/talk");
    await append(server, "talk", [{ body: { text: "a third" } }]);
    await until(async () => (await page.getByText("a third").count()) + (await page.getByText("erased meanwhile").count()) > 0, 15, "it is not shown as it was");
    await clean(page);
});

test("a key that is erased and born again between two looks is another stream, however long it is", async () => {
    const server = await finance({ docs: 0, remotes: [] });
    await append(server, "talk", numbersOf(1, 20));
    const page = await open(`${server.url}/#/finance/stream/talk`, { expect: ["ERR_FAILED"] });
    await entry(page, 20).waitFor();
    await page.route("**/v1/**", route => route.abort());
    await page.locator(".banner:visible").waitFor({ timeout: 20000 });
    await server.ask("DELETE", "/v1/finance/streams/talk");
    await append(server, "talk", Array.from({ length: 30 }, (_, i) => ({ kind: "user", body: { text: `another ${i + 1}` } })));
    await page.unroute("**/v1/**");
    await asksNow(page);
    await entry(page, 30).waitFor({ timeout: 30000 });
    assert.deepEqual(await articles(page).locator(".said").allTextContents(), Array.from({ length: 30 }, (_, i) => `another ${i + 1}`), "nothing of the one before");
    await page.getByText("The stream was erased or restored meanwhile").first().waitFor();
    await clean(page);
});

test("a token is offered what it may do, and one for some names is shown those", async () => {
    const server = await finance({ docs: 0, remotes: [] });
    await append(server, "chat/a", [{ body: { text: "mine" } }]);
    await append(server, "other/b", [{ body: { text: "not mine" } }]);
    await server.ask("PATCH", "/v1/finance/streams/chat/a", { customer: 7 });
    const token = (name, ...words) => keepfast("token", "create", name, ...words, "--at", `${server.data}#finance`).trim();
    const reader = token("reader", "--rights", "read"), some = token("some", "--rights", "read", "--prefix", "chat/*");
    const writer = token("writer", "--rights", "read,write", "--prefix", "chat/*");
    const page = await open(`${server.url}/#/finance/stream/chat%2Fa`, { expect: ["401", "403"] });
    const sign = async text => {
        await page.getByLabel("Token", { exact: true }).fill(text);
        await page.keyboard.press("Enter");
    };
    const offered = async () => ({
        append: await page.locator("#append-body").count(), set: await page.getByText("Set an attribute").count(),
        change: await page.getByRole("button", { name: /^(Change|Unlink): / }).count(), erase: await page.getByRole("button", { name: /^Erase/ }).count(),
    });
    await sign(reader);
    await entry(page, 1).waitFor();
    await page.locator(".attr-value").getByText("7").waitFor();
    await page.getByText("Your token may read this stream, not change it.").waitFor();
    assert.deepEqual(await offered(), { append: 0, set: 0, change: 0, erase: 0 });
    await page.getByRole("link", { name: "Others like this: customer" }).click();
    await page.locator(".streams tbody tr").first().waitFor();
    await page.getByText("What was erased").waitFor();
    assert.equal(await page.getByRole("button", { name: "Erase all of these…" }).count(), 0);
    assert.equal(await page.getByText("Begin a new stream").count(), 0);

    await page.getByRole("button", { name: "Sign out" }).click();
    await sign(writer);
    await page.goto(`${server.url}/#/finance/stream/chat%2Fa`);
    await entry(page, 1).waitFor();
    await page.locator(".attr-value").getByText("7").waitFor();
    assert.deepEqual(await offered(), { append: 1, set: 1, change: 2, erase: 1 });
    await page.locator("#append-body").fill("from the page");
    await page.getByRole("button", { name: "Append" }).click();
    await entry(page, 2).getByText("from the page").waitFor();
    assert.deepEqual(await page.locator("nav a").allTextContents(), ["Status", "Documents", "Streams"], "what tells of the whole space is not for it");
    await page.getByRole("link", { name: "Others like this: customer" }).click();
    await page.locator(".streams tbody tr").first().waitFor();
    assert.equal(await page.getByRole("button", { name: "Erase all of these…" }).count(), 0, "nor is the person's other streams");
    assert.equal(await page.getByText("What was erased").count(), 0);
    await page.getByText("Begin a new stream").waitFor();

    await page.getByRole("button", { name: "Sign out" }).click();
    await sign(some);
    await page.getByRole("link", { name: "Streams" }).first().click();
    await until(async () => (await page.locator(".streams tbody a").allTextContents()).join() === "chat/a", 10, "its own alone");
    await page.getByRole("link", { name: "chat/a" }).click();
    await entry(page, 1).getByText("mine").waitFor();
    await page.goto(`${server.url}/#/finance/search?q=mine`);
    await page.locator(".hit").first().waitFor();
    assert.deepEqual(await page.locator(".hit a").allTextContents(), ["chat/a #1"]);
    await clean(page);
});

test("the list goes by prefix and attribute, page by page, and follows what is written", async () => {
    const server = await finance({ docs: 0, remotes: [] });
    const page = await open(`${server.url}/#/finance/streams`);
    await page.getByText("There are no streams yet.").waitFor();
    await page.locator("option", { hasText: "finance" }).waitFor({ state: "attached" });
    await asksNow(page);
    for (let i = 0; i < 250; i++)
        await append(server, `${i % 2 ? "odd" : "even"}/${String(i).padStart(3, "0")}`, [{ kind: "user", body: i }]);
    const rows = page.locator(".streams tbody tr");
    await asksNow(page);
    await rows.nth(99).waitFor({ timeout: 15000 });
    await until(async () => {
        await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
        return (await rows.count()) === 250;
    }, 10, "all of them");
    await page.getByText("250 streams", { exact: true }).waitFor();
    await page.getByLabel("Name begins with").pressSequentially("odd/24");
    await until(async () => (await rows.count()) === 5, 5, "found");
    assert.ok(page.url().includes("prefix=odd%2F24"));
    await server.ask("PATCH", "/v1/finance/streams/odd/241", { customer: 7, city: "Łódź", a: 1, b: 2 });
    await rows.first().getByText("customer: 7").waitFor({ timeout: 15000 });
    await rows.first().getByText("+1").waitFor();
    await page.getByLabel("Attribute").fill("city");
    await page.getByLabel("=", { exact: true }).fill("Łódź");
    await until(async () => (await rows.count()) === 1, 5, "by attribute");
    await page.reload();
    await rows.first().getByRole("link", { name: "odd/241" }).waitFor();
    assert.equal(await rows.count(), 1, "the address keeps it");
    await page.getByLabel("=", { exact: true }).fill("nowhere");
    await page.getByText("No stream is like that.").waitFor();
    await clean(page);
});

test("what waits of streams is told as such, and leads there", async () => {
    const server = await finance({ docs: 1, remotes: ["usb"] });
    await append(server, "chat/anna", numbersOf(1, 3));
    const page = await open(`${server.url}/`);
    await page.locator("h1").getByText(/^[45] changes are on this machine alone$/).waitFor();
    const usb = page.locator('[data-remote="usb"]');
    await usb.getByText(/^[45] changes, /).waitFor();
    await usb.getByText("What is waiting?").click();
    await until(async () => (await usb.locator(".names a").allTextContents()).join() === "doc-1.json,chat/anna", 10, "names");
    await page.locator("dl", { hasText: "On disk" }).getByText(/^1 \(3 entries, \d+ bytes\)$/).waitFor();
    await usb.getByRole("link", { name: "chat/anna" }).click();
    await entry(page, 3).waitFor();
    await clean(page);
});
