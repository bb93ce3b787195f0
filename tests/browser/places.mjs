// A server whose one space has two remotes that save when they are asked, and its documents.
import fs from "node:fs";
import path from "node:path";
import { Server, folder } from "./kit.mjs";

export async function finance({ docs = 3, remotes = ["usb", "nas"], more = "", schedule = "manual: true" } = {}) {
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
    const server = await Server.start(`${lines.filter(Boolean).join("\n")}\n`, { data: path.join(top, "data") });
    server.top = top;
    for (let i = 1; i <= docs; i++)
        await server.put("finance", `doc-${i}.json`, { n: i, name: `Document ${i}` });
    return server;
}

/** Files of a remote's folder, however deep. */
export function filesOf(server, remote) {
    return fs.readdirSync(path.join(server.top, remote), { recursive: true }).map(String);
}
