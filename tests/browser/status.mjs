// What would be lost, saving now, what went wrong, backups.
import fs from "node:fs";
import path from "node:path";
import { execFileSync } from "node:child_process";
import { test, assert, open, clean, until, picture, accessible, folder, sleep, asksNow } from "./kit.mjs";
import { finance, filesOf } from "./places.mjs";

const card = (page, name) => page.locator(`[data-remote="${name}"]`);

test("what waits is told with names, and Save now makes it safe", async () => {
    const server = await finance();
    const page = await open(`${server.url}/`);
    await page.locator("h1").getByText("3 documents are on this machine alone").waitFor();
    const usb = card(page, "usb"), nas = card(page, "nas");
    await usb.getByText(/^3 documents, .* bytes?, the oldest for \d+ seconds?$/).waitFor();
    await usb.getByText("Waiting", { exact: true }).first().waitFor();
    await usb.getByText("only when asked").waitFor();
    await usb.getByText("What is waiting?").click();
    await usb.locator(".names a").nth(2).waitFor();
    assert.deepEqual(await usb.locator(".names a").allTextContents(), ["doc-1.json", "doc-2.json", "doc-3.json"]);

    await usb.getByRole("button", { name: "Save now" }).click();
    await usb.getByText("Saved to usb.").waitFor();
    await usb.getByText("Up to date").waitFor();
    assert.ok(filesOf(server, "usb").length > 3, "the documents are there");
    assert.equal(filesOf(server, "nas").length <= 1, true, "and not where nobody asked");
    await page.locator("h1").getByText("3 documents are not everywhere yet").waitFor();
    await page.getByText("nothing would be lost: usb has everything").waitFor();

    await page.locator("#save-all").click();
    await nas.getByText("Saved to nas.").waitFor();
    await page.locator("h1").getByText("Everything is safe at 2 places: nas and usb").waitFor();
    await until(async () => (await usb.locator("dt:text-is('Last save') + dd").textContent()) !== "never");
    await clean(page);
});

test("while it saves there is progress, and who listens hears the end", async () => {
    const server = await finance({ remotes: ["usb"] });
    const page = await open();
    let letGo;
    const held = new Promise(resolve => (letGo = resolve));
    await page.route("**/run?*", async route => {
        await held;
        await route.continue();
    });
    await page.goto(server.url);
    await card(page, "usb").getByRole("button", { name: "Save now" }).click();
    await card(page, "usb").getByText("Saving to usb: 3 documents to go").waitFor();
    assert.equal(await card(page, "usb").locator("progress").count(), 1);
    assert.ok(await page.locator("#save-all").isEnabled());
    letGo();
    await card(page, "usb").getByText("Saved to usb.").waitFor();
    await until(() => page.locator("#live").textContent().then(s => s === "Saved to usb."), 3, "the end was said");
    await clean(page);
});

test("a remote that fails says why and what to do", async () => {
    const server = await finance({ remotes: ["usb"] });
    await server.ask("POST", "/v1/finance/remotes/usb/run");
    await server.put("finance", "late.json", { n: 4 });
    const place = path.join(server.top, "usb");
    fs.renameSync(place, `${place}-away`); /* a disk that is not mounted */
    const page = await open(`${server.url}/`, { expect: ["503"] });
    await card(page, "usb").getByRole("button", { name: "Save now" }).click();
    await card(page, "usb").getByRole("alert").getByText("Not saved to usb").waitFor();
    const box = card(page, "usb").locator(".box.bad").first();
    await box.getByText("The remote could not be used").waitFor();
    await box.getByText("What to do:").waitFor();
    await box.getByText("See that the place is there").waitFor();
    await card(page, "usb").locator(".badge.bad, .badge.warn").waitFor();
    await picture(page, "status-failing");
    await accessible(page, "a failing remote");
    fs.renameSync(`${place}-away`, place);
    await card(page, "usb").getByRole("button", { name: "Save now" }).click();
    await card(page, "usb").getByText("Saved to usb.").waitFor();
    await card(page, "usb").getByText("Up to date").waitFor();
    assert.equal(await card(page, "usb").getByText("The remote could not be used").count(), 0, "the error is gone");
    await clean(page);
});

async function zipFrom(download) {
    const file = path.join(folder(), "got.zip");
    await download.saveAs(file);
    return execFileSync("unzip", ["-Z1", file], { encoding: "utf8" }).split("\n").filter(Boolean);
}

test("a backup and what is waiting are downloaded", async () => {
    const server = await finance({ remotes: ["usb"] });
    await server.ask("POST", "/v1/finance/remotes/usb/run");
    await server.put("finance", "late.json", { n: 4 });
    const page = await open(`${server.url}/`);
    const [backup] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download backup" }).click()]);
    assert.match(backup.suggestedFilename(), /^finance-\d{4}-\d\d-\d\d\.zip$/);
    const all = await zipFrom(backup);
    assert.ok(all.some(n => n.includes("doc-1.json")) && all.some(n => n.includes("late.json")), String(all));
    const [waiting] = await Promise.all([page.waitForEvent("download"),
        card(page, "usb").getByRole("button", { name: "Download what is waiting" }).click()]);
    const some = await zipFrom(waiting);
    assert.ok(some.some(n => n.includes("late.json")) && !some.some(n => n.includes("doc-1.json")), String(some));
    await clean(page);
});

test("scheduled backups tell their age and the outcome of the trial", async () => {
    const to = folder();
    const server = await finance({ remotes: [], more: `backup: { to: "dir:${to}", every: 24h, keep: 3 }` });
    await until(async () => {
        const b = (await server.status("finance")).backups;
        return b && b.last && b.drill;
    }, 20, "a backup was made and tried");
    const page = await open(`${server.url}/#/finance`);
    await page.locator("h1").getByText("Everything is on this machine alone").waitFor();
    const backups = page.locator("section", { has: page.getByRole("heading", { name: "Backups" }) });
    await backups.getByText("it came back whole").waitFor();
    await backups.getByText(/documents?, .*(kB|bytes)/).waitFor();
    await clean(page);
});

test("the health of every space, and a choice among them", async () => {
    const server = await finance();
    await server.put("shop", "basket.json", { n: 1 });
    const page = await open(`${server.url}/#/finance`);
    const spaces = page.locator("section", { has: page.getByRole("heading", { name: "All spaces" }) });
    await spaces.getByText("Durable", { exact: true }).first().waitFor();
    assert.equal(await spaces.locator("tbody tr").count(), 2);
    await page.getByLabel("Space", { exact: true }).selectOption("shop");
    await page.locator("h1").getByText("Everything is on this machine alone").waitFor();
    assert.ok(page.url().endsWith("#/shop"));
    await page.reload();
    await page.locator("h1").getByText("Everything is on this machine alone").waitFor();
    await page.getByLabel("Space", { exact: true }).selectOption("finance");
    await page.locator("h1").getByText("3 documents are on this machine alone").waitFor();
    await page.goto(`${server.url}/#/nowhere`);
    await page.locator("h1").getByText("There is no such space").waitFor();
    await page.goto("about:blank");
    const empty = await open(`${(await finance({ docs: 0, remotes: [] })).url}/`);
    await empty.locator("h1").waitFor();
    await clean(empty);
});

test("findings of the doctor are shown, errors and notes, and nothing where there is none", async () => {
    const server = await finance({ remotes: ["usb"] });
    const items = [
        { code: "backup_late", level: "error", title: "The last backup is 3 days old", detail: "A backup is due every day.",
            next: "keepfast doctor", space: "finance" },
        { code: "clock", level: "note", title: "The clock was set back", detail: "By 2 s.", next: "" },
    ];
    const page = await open(undefined, { expect: ["404"] });
    let findings = items;
    await page.route("**/doctor", route => (findings
        ? route.fulfill({ contentType: "application/json", body: JSON.stringify({ items: findings, next: null }) })
        : route.fulfill({ status: 404, contentType: "application/problem+json", body: '{"code":"not_found","status":404}' })));
    await page.goto(server.url);
    const found = page.locator(".finding");
    await found.nth(1).waitFor();
    assert.deepEqual(await found.evaluateAll(els => els.map(e => e.dataset.code)), ["backup_late", "clock"]);
    await found.first().getByText("keepfast doctor").waitFor();
    await picture(page, "status-findings");
    findings = [];
    await page.reload();
    await page.getByText("Nothing is wrong.").waitFor();
    findings = null;
    await page.reload();
    await card(page, "usb").waitFor();
    await sleep(300);
    assert.equal(await page.getByRole("heading", { name: "Findings" }).count(), 0);
    await clean(page);
});

test("the doctor of the server is asked, also about a space that cannot be opened", async () => {
    const server = await finance({ remotes: ["usb"] });
    await server.ask("POST", "/v1/finance/remotes/usb/run");
    fs.renameSync(path.join(server.top, "usb"), path.join(server.top, "away"));
    await server.put("finance", "late.json", { n: 1 });
    await server.ask("POST", "/v1/finance/remotes/usb/run");
    fs.writeFileSync(path.join(server.data, "broken.db"), "no database at all".repeat(1000), { mode: 0o600 });
    const page = await open(`${server.url}/#/finance`, { expect: ["500", "503"] });
    await page.locator(".finding", { hasText: "usb" }).first().waitFor();
    await page.locator(".finding .next").first().waitFor();
    await accessible(page, "findings");
    await page.goto(`${server.url}/#/broken`);
    await page.locator(".finding.error").first().waitFor();
    await picture(page, "status-broken");
    await clean(page);
});

test("a remote that is not as it was left is no place where everything is safe", async () => {
    const server = await finance({ remotes: ["usb", "nas"] });
    await server.ask("POST", "/v1/finance/remotes/usb/run");
    await server.ask("POST", "/v1/finance/remotes/nas/run");
    const changed = { usb: "diverged", nas: "rolled_back" };
    const page = await open();
    await page.route("**/finance/status", async route => {
        const response = await route.fetch();
        const status = await response.json();
        for (const remote of status.remotes)
            remote.state = changed[remote.name] || remote.state;
        await route.fulfill({ response, json: status });
    });
    await page.goto(server.url);
    await page.locator("h1").getByText("What would be lost cannot be told").waitFor();
    await page.locator(".hero.bad").getByText("What is kept at nas and usb was changed").waitFor();
    await picture(page, "status-doubtful");
    delete changed.nas;
    await asksNow(page);
    await page.locator("h1").getByText("Everything is safe at nas").waitFor();
    await server.put("finance", "late.json", { n: 4 });
    await asksNow(page);
    await page.locator("h1").getByText("1 document is on this machine alone").waitFor();
    await clean(page);
});

test("documents that no remote takes are not called safe", async () => {
    const server = await finance({ remotes: ["usb"], schedule: 'manual: true, docs: ["doc-*"]' });
    await server.put("finance", "other.json", { n: 1 });
    await server.ask("POST", "/v1/finance/remotes/usb/run");
    const page = await open(`${server.url}/`);
    await page.locator("h1").getByText("Nothing waits for usb").waitFor();
    await page.getByText("Documents with other names than doc-* go nowhere").waitFor();
    await clean(page);
});
