/* Requests to this server, and its problems. The token goes in a header, never in an address, and is kept for this
 * tab alone. */

export class Problem extends Error {
    constructor(status, body, retryAfter) {
        super(body.detail || body.title || "");
        this.status = status;
        this.code = body.code || "unreachable";
        this.title = body.title || "";
        this.detail = body.detail || "";
        this.requestId = body.request_id || "";
        this.retryAfter = retryAfter || 0;
        this.entry = body.code === "damaged" && body.n || 0; /* of a stream, which cannot be read */
    }
}

const KEY = "keepfast.token";
let kept = "";

/* A browser that keeps no storage for this page keeps the token as long as the page stays. */
export const token = {
    get() {
        try {
            return sessionStorage.getItem(KEY) || kept;
        } catch {
            return kept;
        }
    },
    set(text) {
        kept = text;
        try {
            if (text)
                sessionStorage.setItem(KEY, text);
            else
                sessionStorage.removeItem(KEY);
        } catch {
            /* kept above */
        }
    },
};

/* Below the page's own address, so that a proxy may give it a folder of its own. */
export const base = new URL(".", document.baseURI);

export function address(path) {
    return new URL(path, base).href;
}

const words = { docs: new Set(["versions", "revert", "diff"]), streams: new Set(["entries", "context"]) };

/* A name in a path: its slashes stay, but for one before a word that would be taken for a route. */
function namePath(space, shape, name) {
    const parts = name.split("/").map(encodeURIComponent);
    const last = parts.pop();
    const before = parts.length ? parts.join("/") + (words[shape].has(last) ? "%2F" : "/") : "";
    return `v1/${encodeURIComponent(space)}/${shape}/${before}${last}`;
}

export function docPath(space, name) {
    return namePath(space, "docs", name);
}

export function streamPath(space, key) {
    return namePath(space, "streams", key);
}

async function problemOf(response) {
    let body = {};
    if ((response.headers.get("Content-Type") || "").includes("json"))
        body = await response.json().catch(() => ({}));
    if (!body.code)
        body = { code: "http", title: `HTTP ${response.status}`, detail: response.statusText };
    return new Problem(response.status, body, Number(response.headers.get("Retry-After")) || 0);
}

/* The response of a request that went well; throws a Problem otherwise: `unreachable` when nobody answers. `also`: a
 * status that is an answer, too. The body is a value, or JSON as it was written (`text`). */
export async function ask(method, path, { body, text = body === undefined ? undefined : JSON.stringify(body), headers, signal,
    timeout = 20000, also } = {}) {
    const all = new Headers(headers);
    const secret = token.get();
    if (secret)
        all.set("Authorization", `Bearer ${secret}`);
    if (text !== undefined)
        all.set("Content-Type", "application/json");
    const signals = [signal, timeout ? AbortSignal.timeout(timeout) : null].filter(Boolean);
    let response;
    try {
        response = await fetch(address(path), {
            method, headers: all, credentials: "omit", cache: "no-store", redirect: "error", body: text,
            signal: signals.length ? AbortSignal.any(signals) : undefined,
        });
    } catch (error) {
        if (signal && signal.aborted)
            throw error;
        throw new Problem(0, { code: "unreachable" });
    }
    if (response.ok || response.status === also)
        return response;
    const problem = await problemOf(response);
    if (response.status === 401 && ask.onAuth && secret === token.get()) /* not of one that was shown before */
        ask.onAuth(problem);
    throw problem;
}

/* The body, or what befell it on the way. */
async function read(response, how) {
    try {
        return await response[how]();
    } catch {
        throw new Problem(0, { code: "unreachable" });
    }
}

export async function getJson(path, options) {
    return read(await ask("GET", path, options), "json");
}

export async function getText(path, options) {
    return read(await ask("GET", path, options), "text");
}

/* ---------------------------------------------------------------------------------- downloads */

/* Saves what `path` gives as a file. Without a token the browser fetches it itself; with one it is written straight to
 * the file where the browser can do that, and else gathered first, which it does on disk when it is large.
 * Resolves with false when the user chose no file. `onBytes(count)` tells how far it is. */
export async function download(path, name, { onBytes, signal }) {
    if (!token.get()) {
        leaveTo(address(path), name);
        return true;
    }
    if (!window.showSaveFilePicker)
        return gather(path, name, onBytes, signal);
    let handle;
    try {
        handle = await window.showSaveFilePicker({ suggestedName: name });
    } catch (error) {
        if (error.name === "AbortError")
            return false;
        return gather(path, name, onBytes, signal); /* refused here: a frame, or too late after the click */
    }
    const response = await ask("GET", path, { signal, timeout: 0 });
    const file = await handle.createWritable();
    await response.body.pipeThrough(counted(onBytes)).pipeTo(file, { signal });
    return true;
}

function counted(onBytes) {
    let count = 0;
    return new TransformStream({
        transform(piece, out) {
            count += piece.byteLength;
            onBytes(count);
            out.enqueue(piece);
        },
    });
}

async function gather(path, name, onBytes, signal) {
    const response = await ask("GET", path, { signal, timeout: 0 });
    const blob = await new Response(response.body.pipeThrough(counted(onBytes))).blob();
    const url = URL.createObjectURL(blob);
    leaveTo(url, name);
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    return true;
}

function leaveTo(url, name) {
    const a = document.createElement("a");
    a.href = url;
    a.download = name;
    document.body.append(a);
    a.click();
    a.remove();
}
