// Tokens, and a server that goes and comes.
import fs from "node:fs";
import path from "node:path";
import { execFileSync } from "node:child_process";
import { test, assert, open, clean, until, keepfast, folder, accessible, picture, asksNow } from "./kit.mjs";
import { finance } from "./places.mjs";

const WRONG = `kft_${"A".repeat(43)}`;

/** A token of the server's folder, made while it runs. */
function tokenOf(server, name, ...words) {
    return keepfast("token", "create", name, ...words, "--at", `${server.data}#finance`).trim();
}

test("a token is asked for, a wrong one is refused, a right one opens, and signing out forgets it", async () => {
    const server = await finance({ remotes: ["usb"] });
    const token = tokenOf(server, "browser", "--rights", "read,run,write");
    const page = await open(`${server.url}/#/finance/docs`, { expect: ["401"] });
    const asked = [];
    page.on("request", r => asked.push(r.url()));
    const input = page.getByLabel("Token", { exact: true });
    await page.getByRole("heading", { name: "A token is needed" }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), "token");
    assert.equal(await page.getByRole("navigation").count(), 0, "nothing of the space is shown");
    await accessible(page, "asking for a token");
    await picture(page, "sign-in");
    for (const wrong of [WRONG, "żółć", "x y"]) {
        await input.fill(wrong);
        await page.getByRole("button", { name: "Sign in" }).click();
        await page.getByText("This token is not accepted").waitFor();
    }
    await input.fill(token);
    await page.keyboard.press("Enter");
    await page.locator(".docs tbody tr").nth(2).waitFor();
    assert.ok(page.url().endsWith("#/finance/docs"), "where it was wanted to go");
    assert.deepEqual(await page.evaluate(() => [sessionStorage["keepfast.token"], Object.values(localStorage).join(), document.cookie]
        .map((v, i) => (i ? v.includes("kft_") : v.slice(0, 4)))), ["kft_", false, false]);
    assert.deepEqual(asked.filter(u => u.includes("kft_")), [], "never in an address");
    assert.ok(!(await page.content()).includes(token));
    await page.reload();
    await page.locator(".docs tbody tr").nth(2).waitFor();

    await page.getByRole("link", { name: "Status" }).click();
    await page.locator("#save-all").click();
    await page.locator(".box").getByText("Saved to usb.").waitFor();

    const other = await page.context().newPage();
    await other.goto(server.url);
    await other.getByRole("heading", { name: "A token is needed" }).waitFor();
    await other.close();

    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "A token is needed" }).waitFor();
    assert.equal(await page.evaluate(() => sessionStorage["keepfast.token"]), undefined);
    await clean(page);
});

async function names(download) {
    const file = path.join(folder(), "got.zip");
    await download.saveAs(file);
    return execFileSync("unzip", ["-Z1", file], { encoding: "utf8" });
}

test("with a token a backup is downloaded, gathered or straight into a file", async () => {
    const server = await finance({ remotes: ["usb"] });
    const token = tokenOf(server, "reader", "--rights", "read");
    const sign = text => {
        if (location.protocol === "http:")
            sessionStorage.setItem("keepfast.token", text);
    };
    const page = await open(undefined);
    await page.addInitScript(sign, token);
    await page.addInitScript(() => delete window.showSaveFilePicker);
    await page.goto(server.url);
    const [got] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download backup" }).click()]);
    assert.match(await names(got), /doc-1\.json/);
    await page.getByText(/is being saved by your browser/).waitFor();
    await clean(page);

    const straight = await open(undefined);
    await straight.addInitScript(sign, token);
    await straight.addInitScript(() => {
        window.written = [];
        window.showSaveFilePicker = async () => ({
            createWritable: async () => new WritableStream({ write: piece => void window.written.push(...piece) }),
        });
    });
    await straight.goto(server.url);
    await straight.getByRole("button", { name: "Download backup" }).click();
    await straight.getByText(/is being saved by your browser/).waitFor();
    const bytes = Buffer.from(await straight.evaluate(() => window.written));
    const file = path.join(folder(), "straight.zip");
    fs.writeFileSync(file, bytes);
    assert.match(execFileSync("unzip", ["-Z1", file], { encoding: "utf8" }), /doc-3\.json/);
    await clean(straight);
});

test("a right that is missing is not offered; one that goes meanwhile is named; a token that is revoked asks for another", async () => {
    const server = await finance({ remotes: ["usb"] });
    await server.put("finance", "doc-1.json", { n: 2 });
    const token = tokenOf(server, "reader", "--rights", "read");
    const page = await open(`${server.url}/`, { expect: ["401", "403"] });
    const sign = async () => {
        await page.getByLabel("Token", { exact: true }).fill(token);
        await page.keyboard.press("Enter");
        await page.locator("[data-remote=usb]").waitFor();
    };
    await sign();
    await page.getByRole("button", { name: "Download what is waiting" }).waitFor();
    assert.equal(await page.getByRole("button", { name: /^Save now/ }).count(), 0);
    await page.goto(`${server.url}/#/finance/doc/doc-1.json`);
    await page.locator('[data-version="1"]').getByRole("button", { name: "What changed since" }).waitFor();
    assert.equal(await page.getByRole("button", { name: "Go back to this" }).count(), 0);

    /* As it would be with a server that says more than is so. */
    await page.route("**/v1?limit=*", async route => {
        const response = await route.fetch(), body = await response.json();
        for (const item of body.items)
            item.rights = ["read", "write", "run"];
        return route.fulfill({ response, json: body });
    });
    await page.goto(`${server.url}/#/finance`);
    await page.reload();
    await page.locator("#save-all").click();
    await page.getByText("Your token does not allow this").first().waitFor();
    await page.getByText("Ask whoever runs this server for a token with that right.").first().waitFor();
    const [{ id }] = JSON.parse(keepfast("token", "ls", "--json", "--at", `${server.data}#finance`)).items;
    keepfast("token", "revoke", id, "--at", `${server.data}#finance`);
    await asksNow(page);
    await page.getByRole("heading", { name: "A token is needed" }).waitFor();
    await clean(page);
});

test("a token for some names shows those documents and says what it does not show", async () => {
    const server = await finance({ remotes: ["usb"] });
    await server.put("finance", "chat/a.json", { n: 1 });
    const token = tokenOf(server, "chats", "--rights", "read", "--prefix", "chat/*");
    const page = await open(`${server.url}/`, { expect: ["401", "403"] });
    await page.getByLabel("Token", { exact: true }).fill(token);
    await page.keyboard.press("Enter");
    await page.locator("h1").getByText("Your token does not allow this").waitFor();
    await page.getByRole("link", { name: "Documents" }).click();
    await until(async () => (await page.locator(".docs tbody a").allTextContents()).join() === "chat/a.json", 10, "only its own");
    await page.getByRole("link", { name: "chat/a.json" }).click();
    await page.locator(".json").getByText("1", { exact: true }).waitFor();
    await clean(page);
});

test("a server that is killed and comes back: the page says so, keeps what it shows, and goes on", async () => {
    const server = await finance({ remotes: ["usb"] });
    const page = await open(`${server.url}/`, { expect: ["ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE"] });
    await page.locator("h1").getByText("3 documents").waitFor();
    await server.kill();
    await page.getByText("The server does not answer.").waitFor({ timeout: 15000 });
    assert.match(await page.locator("h1").textContent(), /^3 documents/);
    await page.getByRole("button", { name: "Save now: usb" }).click();
    await page.getByRole("alert").getByText("The server does not answer").waitFor();
    await server.run();
    await page.locator(".banner").waitFor({ state: "hidden", timeout: 20000 });
    await server.put("finance", "later.json", { n: 1 });
    await asksNow(page);
    await page.locator("h1").getByText("4 documents").waitFor();
    await page.getByRole("button", { name: "Save now: usb" }).click();
    await page.locator(".box").getByText("Saved to usb.").waitFor();
    await clean(page);
});

test("a token that was just given is not forgotten for what the one before it is refused", async () => {
    const server = await finance({ remotes: ["usb"] });
    const first = tokenOf(server, "first", "--rights", "read"), second = tokenOf(server, "second", "--rights", "read");
    const page = await open(undefined, { expect: ["401"] });
    let letGo, holding = true;
    const held = new Promise(resolve => (letGo = resolve));
    await page.route("**/finance/docs/doc-1.json", async route => {
        if (!holding)
            return route.continue();
        holding = false;
        await held;
        return route.fulfill({ status: 401, contentType: "application/problem+json", body: '{"code":"token_expired","status":401}' });
    });
    await page.goto(`${server.url}/#/finance/doc/doc-1.json`);
    const sign = async token => {
        await page.getByLabel("Token", { exact: true }).fill(token);
        await page.keyboard.press("Enter");
    };
    await sign(first);
    await until(() => !holding, 10, "it is asked for");
    await page.getByRole("button", { name: "Sign out" }).click();
    await sign(second);
    await page.getByRole("link", { name: "Status" }).click();
    await page.locator("[data-remote=usb]").waitFor();
    letGo();
    await page.evaluate(() => new Promise(resolve => setTimeout(resolve, 300)));
    assert.equal(await page.getByRole("heading", { name: "A token is needed" }).count(), 0);
    assert.equal(await page.evaluate(() => sessionStorage["keepfast.token"]), second);
    await clean(page);
});
