// How the files of the page are served.
import { test, assert, Server } from "./kit.mjs";

const POLICY = ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self' data:",
    "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"];

test("files come with a policy, a strong tag, and not again while they are the same", async () => {
    const server = await Server.start();
    const kinds = { "/": "text/html; charset=utf-8", "/page/main.js": "text/javascript; charset=utf-8",
        "/page/style.css": "text/css; charset=utf-8", "/page/icon.svg": "image/svg+xml",
        "/keepfast-guard.js": "text/javascript; charset=utf-8" };
    for (const [path, kind] of Object.entries(kinds)) {
        const first = await server.ask("GET", path);
        const bytes = await first.arrayBuffer(), tag = first.headers.get("etag");
        assert.equal(first.status, 200, path);
        assert.equal(first.headers.get("content-type"), kind, path);
        assert.match(tag, /^"[0-9a-f]{32}"$/, path);
        assert.equal(first.headers.get("cache-control"), "no-cache", path);
        assert.equal(first.headers.get("x-content-type-options"), "nosniff", path);
        assert.equal(first.headers.get("referrer-policy"), "no-referrer", path);
        for (const rule of POLICY)
            assert.ok(first.headers.get("content-security-policy").includes(rule), `${path}: ${rule}`);
        const again = await server.ask("GET", path, undefined, { "If-None-Match": tag });
        assert.equal(again.status, 304, path);
        assert.equal(again.headers.get("etag"), tag, path);
        assert.equal((await again.arrayBuffer()).byteLength, 0, path);
        const other = await server.ask("GET", path, undefined, { "If-None-Match": '"other"' });
        assert.equal(other.status, 200, path);
        const head = await server.ask("HEAD", path);
        assert.equal(head.status, 200, path);
        assert.equal(Number(head.headers.get("content-length")), bytes.byteLength, path);
        assert.equal(head.headers.get("etag"), tag, path);
        assert.equal((await server.ask("POST", path, "{}")).status, 405, path);
    }
    assert.equal((await server.ask("GET", "/keepfast-guard.js")).headers.get("cross-origin-resource-policy"), "cross-origin");
    for (const path of ["/page/", "/page/none.js", "/page/index.html", "/page/..%2fmain.js", "/page/a/main.js", "/page"])
        assert.equal((await server.ask("GET", path)).status, 404, path);
    assert.equal((await server.ask("GET", "/page/main.js?x=1")).status, 400, "no parameters");
});
