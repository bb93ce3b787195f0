// A server whose one space has two remotes that save when they are asked, and its documents.
import fs from "node:fs";
import path from "node:path";
import { assert, Server, folder } from "./kit.mjs";

export async function finance({ docs = 3, remotes = ["usb", "nas"], more = "", schedule = "manual: true", streams = "" } = {}) {
    const top = folder();
    const lines = [more, "spaces:", "  finance:"];
    if (remotes.length)
        lines.push("    remotes:");
    for (const name of remotes) {
        fs.mkdirSync(path.join(top, name), { mode: 0o700 });
        lines.push(`      ${name}: { url: "dir:${top}/${name}", ${schedule} }`);
    }
    if (!remotes.length)
        lines.push("    docs: []");
    if (streams)
        lines.push("    streams:", `      - ${streams}`);
    const server = await Server.start(`${lines.filter(Boolean).join("\n")}\n`, { data: path.join(top, "data") });
    server.top = top;
    for (let i = 1; i <= docs; i++)
        await server.put("finance", `doc-${i}.json`, { n: i, name: `Document ${i}` });
    return server;
}

/** Entries, as values or as JSON, at the end of a stream. */
export async function append(server, key, entries) {
    const response = await server.ask("POST", `/v1/finance/streams/${encodeURIComponent(key)}/entries`,
        `[${entries.map(e => (typeof e === "string" ? e : JSON.stringify(e))).join()}]`);
    assert.ok(response.ok, `${key}: ${response.status} ${await response.text()}`);
}

/** So many entries that say their number. */
export function numbersOf(first, count) {
    return Array.from({ length: count }, (_, i) => ({ kind: i % 2 ? "assistant" : "user", body: { text: `entry ${first + i}` } }));
}

/** Files of a remote's folder, however deep. */
export function filesOf(server, remote) {
    return fs.readdirSync(path.join(server.top, remote), { recursive: true }).map(String);
}
