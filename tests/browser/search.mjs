// Search across streams: what is found, how it is shown, and the way to it by keys.
import { test, assert, open, clean, until } from "./kit.mjs";
import { finance, append, numbersOf } from "./places.mjs";

test("words, phrases and beginnings are found in all streams and marked, and a hit opens its stream there", async () => {
    const server = await finance({ docs: 0, remotes: [] });
    await append(server, "chat/a", [...numbersOf(1, 300), { kind: "user", body: { text: "Zażółć gęślą jaźń 😀 and a red bicycle, please" } }, ...numbersOf(302, 300)]);
    await append(server, "chat/b", [{ kind: "assistant", body: { text: "A bicycle that is red; the red one." } }, { body: "nothing" }]);
    await append(server, "notes", [{ body: { text: "red bicycles: <mark>no</mark>" } }]);
    const page = await open(`${server.url}/#/finance/streams`, { expect: ["400"] });
    const field = page.getByRole("search").getByRole("searchbox");
    const asked = [];
    page.on("request", r => r.url().includes("/search") && asked.push(r.url()));
    await field.pressSequentially("red bicycle");
    assert.deepEqual(asked, [], "not with every letter");
    await page.keyboard.press("Enter");
    const hits = page.locator(".hit");
    await hits.nth(1).waitFor();
    assert.deepEqual(await page.locator(".hit > p > a").allTextContents(), ["chat/b #1", "chat/a #301"], "the best first");
    assert.deepEqual(await hits.first().locator("mark").allTextContents(), ["bicycle", "red", "red"]);
    assert.deepEqual(await hits.nth(1).locator("mark").allTextContents(), ["red", "bicycle"], "marked by characters, not bytes");
    assert.ok(page.url().includes("q=red+bicycle"));
    const search = async (words, count) => {
        await field.fill(words);
        await page.keyboard.press("Enter");
        await until(async () => decodeURIComponent(page.url().replaceAll("+", " ")).includes(`q=${words}`) && (await hits.count()) === count, 10, words);
    };
    await search('"red bicycle"', 1);
    await search("bicyc*", 3);
    assert.ok((await hits.allTextContents()).some(s => s.includes("<mark>no</mark>")), "markup of others is text");
    await search("gesla JAZN", 1);
    assert.deepEqual(await hits.first().locator("mark").allTextContents(), ["gęślą", "jaźń"]);
    await search("nowhere", 0);
    await page.getByText("Nothing says that.").waitFor();
    await search('"no end', 0);
    await page.getByText("This cannot be asked for like that").waitFor();

    /* By keys alone. */
    await search("bicycle", 2);
    await field.focus();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("ArrowUp");
    assert.equal(await page.evaluate(() => document.activeElement.id), "search-words", "back in the field");
    await page.keyboard.press("ArrowDown");
    const wanted = await page.evaluate(() => document.activeElement.textContent);
    if (wanted !== "chat/a #301")
        await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    const found = page.locator('.feed article[data-n="301"]');
    await found.waitFor();
    await until(() => found.evaluate(e => e === document.activeElement && e.classList.contains("found")), 5, "it has the focus");
    await page.locator('.feed article[data-n="331"]').waitFor();
    assert.equal(await page.locator("h1").textContent(), "chat/a");

    await page.getByLabel("Search in this stream").fill("bicycle");
    await page.keyboard.press("Enter");
    await until(async () => (await hits.count()) === 1, 10, "in this stream alone");
    await page.getByText("In streams whose names begin with chat/a.").waitFor();
    await page.getByRole("link", { name: "Search in all" }).click();
    await until(async () => (await hits.count()) === 2, 10, "in all again");
    await clean(page);
});

test("many hits come page by page", async () => {
    const server = await finance({ docs: 0, remotes: [] });
    await append(server, "chat/a", numbersOf(1, 75));
    const page = await open(`${server.url}/#/finance/search?q=entry`, { viewport: { width: 1000, height: 400 } });
    await page.locator(".hit").nth(29).waitFor();
    await page.getByText("30 entries, and more").waitFor();
    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
    await until(async () => {
        await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
        return (await page.locator(".hit").count()) === 75;
    }, 10, "all of them");
    await page.getByText("75 entries", { exact: true }).waitFor();
    await clean(page);
});
