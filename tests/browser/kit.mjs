// What the tests in a browser share: results, servers, the one browser, pages that are watched.
import assert from "node:assert/strict";
import { spawn, execFileSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";

const need = createRequire(path.join(process.env.KF_MODULES, "package.json"));
const { chromium } = need("playwright-core");
const axeSource = fs.readFileSync(need.resolve("axe-core/axe.min.js"), "utf8");
const PROGRAM = process.env.KEEPFAST;

export { assert };
export const pictures = process.env.KEEPFAST_PICTURES || "";

// ------------------------------------------------------------------------------------- results

const tests = [];

export function test(name, run) {
    tests.push({ name, run });
}

export function note(text) {
    console.log(`# ${text}`);
}

/** `wanted`: parts of the names of tests; none: all of them. */
export async function main(wanted) {
    const chosen = tests.filter(t => !wanted.length || wanted.some(w => t.name.includes(w)));
    let failed = 0;
    console.log(`1..${chosen.length}`);
    for (const [i, t] of chosen.entries()) {
        const began = Date.now();
        try {
            await t.run();
            console.log(`ok ${i + 1} - ${t.name}`);
        } catch (error) {
            failed++;
            for (const line of `${error.stack || error}${error.cause ? `\n${error.cause.stack}` : ""}`.split("\n"))
                console.log(`#   ${line}`);
            console.log(`not ok ${i + 1} - ${t.name}`);
        }
        if (Date.now() - began > 5000)
            note(`${t.name} took ${Math.round((Date.now() - began) / 1000)} s`);
        await afterEach();
    }
    await endBrowser();
    for (const end of ends)
        await end();
    process.exit(failed ? 1 : 0);
}

const ends = [];
export function atEnd(what) {
    ends.push(what);
}

export async function until(what, seconds = 10, say = "did not come true") {
    const end = Date.now() + seconds * 1000;
    for (;;) {
        const found = await what();
        if (found)
            return found;
        if (Date.now() > end)
            throw new Error(`${say} within ${seconds} s`);
        await sleep(50);
    }
}

export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

// ------------------------------------------------------------------------------------- servers

export function folder() {
    return fs.mkdtempSync(path.join(process.env.TMPDIR || os.tmpdir(), "kf-"));
}

/** `keepfast serve` on a folder of its own; `config` is the text of a keepfast.yaml. */
export class Server {
    static async start(config, { data = path.join(folder(), "data"), port = 0 } = {}) {
        const server = new Server();
        Object.assign(server, { config, data, port });
        await server.run();
        atEnd(() => server.kill());
        return server;
    }

    async run() {
        const words = ["serve", "--data", this.data, "--listen", `127.0.0.1:${this.port}`];
        if (this.config) {
            const file = `${this.data}.yaml`;
            fs.writeFileSync(file, this.config);
            words.push("--config", file);
        }
        this.errors = "";
        this.process = spawn(PROGRAM, words, { stdio: ["ignore", "pipe", "pipe"] });
        this.process.stderr.on("data", d => (this.errors += d));
        const line = await Promise.race([
            once(this.process.stdout, "data").then(([d]) => String(d)),
            once(this.process, "exit").then(() => {
                throw new Error(`the server did not start: ${this.errors}`);
            }),
        ]);
        this.url = /http:\/\/\S+?(?=\/?\s|$)/.exec(line)[0];
        this.port = new URL(this.url).port;
    }

    async kill(signal = "SIGKILL") {
        if (this.process.exitCode !== null || this.process.signalCode !== null)
            return;
        const gone = once(this.process, "exit");
        this.process.kill(signal);
        await gone;
    }

    async ask(method, target, body, headers = {}) {
        const response = await fetch(this.url + target, {
            method, headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
            body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
        });
        return response;
    }

    /** A document of the space is written. */
    async put(space, name, body, headers) {
        const response = await this.ask("PUT", `/v1/${space}/docs/${encodeURIComponent(name)}`, body, headers);
        assert.ok(response.ok, `${name}: ${response.status}`);
        return response.json();
    }

    async json(target, headers) {
        const response = await this.ask("GET", target, undefined, headers);
        assert.ok(response.ok, `${target}: ${response.status}`);
        return response.json();
    }

    async status(space) {
        return this.json(`/v1/${space}/status`);
    }
}

/** keepfast WORDS; its standard output. */
export function keepfast(...words) {
    return execFileSync(PROGRAM, words, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** A page of somebody else's: an origin of its own that serves `pages`, { "/": html } or { "/": { html, headers } }. */
export async function otherOrigin(pages) {
    const server = http.createServer((request, response) => {
        const page = pages[new URL(request.url, "http://x").pathname];
        if (page === undefined) /* /favicon.ico */
            response.writeHead(204).end();
        else
            response.writeHead(200, { "Content-Type": "text/html; charset=utf-8", ...page.headers }).end(page.html || page);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    atEnd(() => {
        server.closeAllConnections();
        server.close();
    });
    return `http://127.0.0.1:${server.address().port}`;
}

// ------------------------------------------------------------------------------------- the browser

let browser = null, home = "";
const contexts = new Set();

async function theBrowser() {
    if (!browser) {
        home = folder();
        browser = await chromium.launch({
            executablePath: process.env.CHROMIUM, headless: true,
            env: { ...process.env, HOME: home },
            args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"],
        });
    }
    return browser;
}

async function endBrowser() {
    if (browser)
        await browser.close();
}

async function afterEach() {
    for (const context of contexts)
        await context.close().catch(() => {});
    contexts.clear();
}

/** A window of its own: nothing of another test is in it. What goes wrong in its pages is gathered in `faults`. */
export async function open(url, { expect = [], init, ...options } = {}) {
    const context = await (await theBrowser()).newContext({ locale: "en-GB", viewport: { width: 1200, height: 900 },
        timezoneId: "Europe/Copenhagen", ...options });
    contexts.add(context);
    const page = await context.newPage();
    page.setDefaultTimeout(10000);
    page.faults = [];
    watch(page, expect);
    if (init)
        await page.addInitScript(init);
    await page.addInitScript(() => {
        window.violations = [];
        document.addEventListener("securitypolicyviolation", e => window.violations.push(`${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
    });
    if (url)
        await page.goto(url);
    return page;
}

/** `expect`: what may stand in the console: the browser itself notes every answer that is an error. */
function watch(page, expect) {
    const fine = text => expect.some(e => text.includes(e));
    page.on("console", m => {
        if (m.type() === "error" && !fine(m.text()))
            page.faults.push(`console: ${m.text()} ${m.location().url}`);
    });
    page.on("pageerror", e => page.faults.push(`error: ${e.stack || e}`));
}

/** The page asks now and not when its few seconds are over: as it does when the line comes back. */
export async function asksNow(page) {
    await page.evaluate(() => void dispatchEvent(new Event("online")));
}

/** Nothing went wrong in this page: no errors, no violation of its policy. */
export async function clean(page) {
    assert.deepEqual(page.faults, [], "faults in the page");
    assert.deepEqual(await page.evaluate(() => window.violations || []), [], "violations of the policy");
}

/** No barriers that a program can see. */
export async function accessible(page, where) {
    await page.evaluate(axeSource);
    const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    const said = found.violations.map(v => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map(n => `${n.target} ${n.failureSummary}`).join(" | ")}`);
    assert.deepEqual(said, [], `barriers: ${where}`);
}

export async function picture(page, name) {
    if (pictures)
        await page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });
}
