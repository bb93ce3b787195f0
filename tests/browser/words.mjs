// The three languages say the same things, with every form of a number that they have.
import path from "node:path";
import fs from "node:fs";
import { test, assert, open, clean, until, asksNow } from "./kit.mjs";
import { finance } from "./places.mjs";

const WEB = path.join(process.env.KF_TOP || ".", "web");
const of = {};
for (const code of ["en", "pl", "da"]) {
    /* As a module, whatever the nearest package.json says of files that end in .js. */
    const text = fs.readFileSync(path.join(WEB, `words-${code}.js`), "utf8");
    of[code] = (await import(`data:text/javascript,${encodeURIComponent(text)}`)).words;
}

const holes = text => [...JSON.stringify(text).matchAll(/\{(\w+)\}/g)].map(m => m[1]);

test("every sentence is there in English, Polish and Danish, in all its forms", () => {
    for (const [code, words] of Object.entries(of)) {
        assert.deepEqual(Object.keys(words).sort(), Object.keys(of.en).sort(), `${code}: keys`);
        const forms = new Intl.PluralRules(code).resolvedOptions().pluralCategories.sort();
        for (const [key, text] of Object.entries(words)) {
            const where = `${code} ${key}`;
            assert.equal(typeof text, typeof of.en[key], where);
            assert.deepEqual([...new Set(holes(text))].sort(), [...new Set(holes(of.en[key]))].sort(), `${where}: what is put in`);
            if (typeof text === "object")
                assert.deepEqual(Object.keys(text).sort(), forms, `${where}: forms`);
            if (code !== "en" && JSON.stringify(text).length > 25)
                assert.notDeepEqual(text, of.en[key], `${where}: translated`);
        }
    }
});

test("every word that the page asks for is there", () => {
    const source = fs.readdirSync(WEB).filter(f => f.endsWith(".js") && !f.startsWith("words-") && !f.startsWith("keepfast-"))
        .map(f => fs.readFileSync(path.join(WEB, f), "utf8")).join("\n");
    for (const [, key] of source.matchAll(/\bt\("([^"]+)"/g))
        assert.ok(Object.hasOwn(of.en, key), key);
});

test("the page speaks the browser's language, and another one when it is chosen, with numbers and forms of it", async () => {
    const server = await finance({ docs: 0, remotes: ["usb"] });
    for (let i = 0; i < 5; i++)
        await server.put("finance", `d${i}`, { text: "x".repeat(400) });
    const page = await open(`${server.url}/`, { locale: "pl-PL" });
    const title = page.locator("h1");
    await title.getByText("5 dokumentów jest tylko na tej maszynie").waitFor();
    assert.equal(await page.getAttribute("html", "lang"), "pl");
    await page.getByText(/2,1 kB/).first().waitFor();
    await page.getByRole("button", { name: "Zapisz teraz" }).first().waitFor();
    await server.ask("DELETE", "/v1/finance/docs/d0");
    await server.ask("POST", "/v1/finance/remotes/usb/run");
    await asksNow(page);
    await title.getByText("Wszystko jest bezpieczne w: usb").waitFor();
    for (let i = 1; i <= 3; i++)
        await server.put("finance", `e${i}`, { n: i });
    await asksNow(page);
    await title.getByText("3 dokumenty są tylko na tej maszynie").waitFor();

    await page.getByLabel("Język").selectOption("da");
    await title.getByText("3 dokumenter findes kun på denne maskine").waitFor();
    assert.equal(await page.getAttribute("html", "lang"), "da");
    await page.reload();
    await title.getByText("3 dokumenter findes kun på denne maskine").waitFor();
    await page.getByLabel("Sprog").selectOption("en");
    await title.getByText("3 documents are on this machine alone").waitFor();
    await clean(page);

    const danish = await open(`${server.url}/`, { locale: "da-DK" });
    await danish.locator("h1").getByText("3 dokumenter findes kun").waitFor();
    const other = await open(`${server.url}/`, { locale: "ja-JP" });
    await other.locator("h1").getByText("3 documents are").waitFor();
    await until(() => other.evaluate(() => document.documentElement.lang === "en"));
    await clean(other);
});
