// The log of runs, and what is set aside.
import fs from "node:fs";
import path from "node:path";
import { test, assert, open, clean, until, accessible, picture } from "./kit.mjs";
import { finance } from "./places.mjs";

/* In pieces, so that nobody takes this file for one that holds a secret. */
const SECRET = ["gh", "p_", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"].join("");

test("runs are told newest first, with what they did and what went wrong, of all remotes or of one", async () => {
    const server = await finance({ docs: 2 });
    const run = name => server.ask("POST", `/v1/finance/remotes/${name}/run`);
    await run("usb");
    await server.put("finance", "late.json", { n: 1 });
    await run("nas");
    fs.rmSync(path.join(server.top, "usb"), { recursive: true });
    await run("usb");
    const page = await open(`${server.url}/`);
    await page.getByRole("link", { name: "Runs" }).click();
    const rows = page.locator(".runs tbody tr");
    await until(async () => (await rows.count()) === 3, 10, "three runs");
    await rows.nth(0).getByText("The remote could not be used").waitFor();
    await rows.nth(0).getByText("What to do:").waitFor();
    await rows.nth(1).getByText("3 documents saved there").waitFor();
    await rows.nth(2).getByText("2 documents saved there").waitFor();
    await rows.nth(2).getByText("asked for").waitFor();
    const { began, ended } = (await server.json("/v1/finance/runs")).items[2];
    const ms = Date.parse(ended) - Date.parse(began);
    await rows.nth(2).getByText(ms < 1000 ? `${ms} millisecond` : "second").waitFor();
    await page.getByLabel("Remote", { exact: true }).selectOption("nas");
    await until(async () => (await rows.count()) === 1, 10, "those of one");
    await page.getByLabel("Remote", { exact: true }).selectOption("");
    await until(async () => (await rows.count()) === 3);
    await run("nas");
    await server.put("finance", "late.json", { n: 2 });
    await run("nas");
    await until(async () => (await rows.count()) === 4, 15, "a new run appears by itself");
    await server.ask("POST", "/v1/finance/streams/chat/entries", { body: "said" });
    await run("nas");
    await rows.nth(0).getByText("1 entry saved there").waitFor();
    await server.ask("DELETE", "/v1/finance/streams/chat");
    await run("nas");
    await rows.nth(0).getByText(/^\d files? of streams brought up to date there/).waitFor();
    await accessible(page, "runs");
    await picture(page, "runs");
    await clean(page);
});

test("many runs come page by page", async () => {
    const server = await finance({ docs: 0, remotes: ["usb"] });
    for (let i = 0; i < 60; i++) {
        await server.put("finance", "a.json", { i });
        await server.ask("POST", "/v1/finance/remotes/usb/run");
    }
    const page = await open(`${server.url}/#/finance/runs`, { viewport: { width: 1000, height: 400 } });
    const rows = page.locator(".runs tbody tr");
    await rows.nth(49).waitFor();
    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
    await until(async () => (await rows.count()) === 60, 10, "all of them");
    await clean(page);
});

test("what is set aside is told with its reason, tried again, and forgotten when that is confirmed", async () => {
    const server = await finance({ docs: 1, remotes: ["usb"] });
    await server.put("finance", "keys.json", { token: SECRET });
    await server.put("finance", "more.json", { token: SECRET });
    await server.ask("POST", "/v1/finance/remotes/usb/run");
    const page = await open(`${server.url}/`, { expect: ["422"] });
    await page.getByRole("link", { name: "2 items are set aside" }).click();
    const item = page.locator('.asides [data-name="keys.json"]');
    await item.getByText("A secret does not leave this machine").waitFor();
    await item.getByText("Take the secret out of the document").waitFor();
    assert.equal(await page.locator("nav .count:visible").textContent(), "2");
    assert.ok(!(await page.content()).includes(SECRET), "a reason does not tell the secret");
    await accessible(page, "set aside");
    await picture(page, "set-aside");

    await server.put("finance", "keys.json", { token: "none" });
    await page.getByRole("button", { name: "Try again: usb" }).click();
    await item.waitFor({ state: "detached" });
    await page.locator('.asides [data-name="more.json"]').waitFor();

    await page.getByRole("button", { name: "Forget: more.json" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    assert.equal((await server.json("/v1/finance/set-aside")).items.length, 1, "cancelled");
    await page.getByRole("button", { name: "Forget: more.json" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Forget" }).click();
    await page.getByText("Nothing is set aside.").waitFor();
    assert.equal((await server.json("/v1/finance/set-aside")).items.length, 0);

    await server.put("finance", "more.json", { token: SECRET, n: 2 });
    await server.put("finance", "again.json", { token: SECRET });
    await server.ask("POST", "/v1/finance/remotes/usb/run");
    await page.locator(".asides li").nth(1).waitFor({ timeout: 15000 });
    await page.getByRole("button", { name: "Forget all: usb" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Forget" }).click();
    await page.getByText("Nothing is set aside.").waitFor();
    await clean(page);
});
