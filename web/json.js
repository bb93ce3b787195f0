/* JSON as it is written: numbers and strings keep their text (a number may be longer than a browser's), so what is
 * shown is what is stored. Reading, the pretty form, and the differences of two documents.
 *
 * A node: { kind: "object", members: [[name, node]…] }, { kind: "array", items: […] }, or
 * { kind: "string" | "number" | "word", raw }; from and to: where it stands in the text. `same`: its text with members
 * sorted, made when it is asked for. */

class Reader {
    constructor(text) {
        this.text = text;
        this.at = 0;
    }

    fail() {
        throw new SyntaxError(`no JSON at ${this.at}`);
    }

    blanks() {
        for (;;) {
            const c = this.text.charCodeAt(this.at);
            if (c !== 32 && c !== 10 && c !== 13 && c !== 9)
                return;
            this.at++;
        }
    }

    peek() {
        this.blanks();
        return this.text[this.at];
    }

    take(c) {
        if (this.peek() !== c)
            this.fail();
        this.at++;
    }

    string() {
        const from = this.at;
        if (this.text[from] !== '"')
            this.fail();
        let end = from;
        for (;;) {
            end = this.text.indexOf('"', end + 1);
            if (end < 0)
                this.fail();
            let back = end - 1;
            while (this.text[back] === "\\")
                back--;
            if ((end - back) % 2 === 1)
                break;
        }
        this.at = end + 1;
        return this.text.slice(from, this.at);
    }

    value() {
        this.blanks();
        const from = this.at, node = this.any(this.text[from]);
        node.from = from;
        node.to = this.at;
        return node;
    }

    any(c) {
        if (c === "{")
            return this.object();
        if (c === "[")
            return this.array();
        if (c === '"')
            return { kind: "string", raw: this.string() };
        const from = this.at;
        while (this.at < this.text.length && !" \n\r\t,]}".includes(this.text[this.at]))
            this.at++;
        const raw = this.text.slice(from, this.at);
        if (raw === "true" || raw === "false" || raw === "null")
            return { kind: "word", raw };
        if (!/^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/.test(raw))
            this.fail();
        return { kind: "number", raw };
    }

    object() {
        const members = [];
        this.take("{");
        if (this.peek() !== "}") {
            for (;;) {
                this.blanks();
                const name = JSON.parse(this.string());
                this.take(":");
                members.push([name, this.value()]);
                if (this.peek() !== ",")
                    break;
                this.at++;
            }
        }
        this.take("}");
        return { kind: "object", members };
    }

    array() {
        const items = [];
        this.take("[");
        if (this.peek() !== "]") {
            for (;;) {
                items.push(this.value());
                if (this.peek() !== ",")
                    break;
                this.at++;
            }
        }
        this.take("]");
        return { kind: "array", items };
    }
}

/* Throws a SyntaxError for what is no JSON. */
export function parse(text) {
    const reader = new Reader(text);
    const node = reader.value();
    reader.blanks();
    if (reader.at < text.length)
        reader.fail();
    return node;
}

/* ------------------------------------------------------------------------------------- pretty */

/* Pieces of the pretty form: emit(kind, text), where kind is "name", "string", "number", "word" or "mark" (what stands
 * between). It ends early when emit gives false. */
export function pretty(node, emit, indent = "") {
    if (node.kind !== "object" && node.kind !== "array")
        return emit(node.kind, node.raw) !== false;
    const [open, close] = node.kind === "object" ? "{}" : "[]";
    const inner = node.kind === "object" ? node.members : node.items;
    if (!inner.length)
        return emit("mark", open + close) !== false;
    if (emit("mark", `${open}\n`) === false)
        return false;
    for (let i = 0; i < inner.length; i++) {
        emit("mark", `${indent}  `);
        if (node.kind === "object") {
            emit("name", JSON.stringify(inner[i][0]));
            emit("mark", ": ");
        }
        if (!pretty(node.kind === "object" ? inner[i][1] : inner[i], emit, `${indent}  `))
            return false;
        if (emit("mark", i + 1 < inner.length ? ",\n" : "\n") === false)
            return false;
    }
    return emit("mark", indent + close) !== false;
}

/* At most `max` characters of it. */
export function prettyText(node, max = Infinity) {
    const parts = [];
    let length = 0;
    const whole = pretty(node, (_, text) => {
        parts.push(text);
        length += text.length;
        return length <= max;
    });
    const text = parts.join("");
    return whole && length <= max ? text : `${text.slice(0, max)}…`;
}

/* In one line. */
export function lineText(node) {
    if (node.kind === "object")
        return `{${node.members.map(([name, value]) => `${JSON.stringify(name)}: ${lineText(value)}`).join(", ")}}`;
    return node.kind === "array" ? `[${node.items.map(lineText).join(", ")}]` : node.raw;
}

/* -------------------------------------------------------------------------------- differences */

function same(node) {
    if (node.same !== undefined)
        return node.same;
    if (node.kind === "object")
        node.same = `{${[...node.members].sort((a, b) => (a[0] < b[0] ? -1 : 1))
            .map(([k, v]) => `${JSON.stringify(k)}:${same(v)}`).join()}}`;
    else if (node.kind === "array")
        node.same = `[${node.items.map(same).join()}]`;
    else
        node.same = node.raw;
    return node.same;
}

const TABLE_MAX = 250000;

/* Which items of two lists belong together: pairs of indices, in order, from the longest common subsequence; null when
 * the lists are too long for that. */
function matched(a, b) {
    if (a.length * b.length > TABLE_MAX)
        return null;
    const width = b.length + 1;
    const table = new Uint32Array((a.length + 1) * width);
    for (let i = a.length - 1; i >= 0; i--)
        for (let k = b.length - 1; k >= 0; k--)
            table[i * width + k] = same(a[i]) === same(b[k])
                ? table[(i + 1) * width + k + 1] + 1
                : Math.max(table[(i + 1) * width + k], table[i * width + k + 1]);
    const pairs = [];
    for (let i = 0, k = 0; i < a.length && k < b.length;) {
        if (same(a[i]) === same(b[k]))
            pairs.push([i++, k++]);
        else if (table[(i + 1) * width + k] >= table[i * width + k + 1])
            i++;
        else
            k++;
    }
    return pairs;
}

function diffArrays(a, b, path, out) {
    let from = 0, tail = 0;
    const shorter = Math.min(a.length, b.length);
    while (from < shorter && same(a[from]) === same(b[from]))
        from++;
    while (tail < shorter - from && same(a[a.length - 1 - tail]) === same(b[b.length - 1 - tail]))
        tail++;
    const left = a.slice(from, a.length - tail), right = b.slice(from, b.length - tail);
    const pairs = [...(matched(left, right) || []), [left.length, right.length]];
    let i = 0, k = 0;
    for (const [ni, nk] of pairs) { /* between two that stayed: what stood there, and what stands there now */
        while (i < ni && k < nk) {
            differ(left[i], right[k], [...path, from + k], out);
            i++;
            k++;
        }
        for (; i < ni; i++)
            out.push({ op: "removed", path: [...path, from + i], spot: from + k, old: left[i] });
        for (; k < nk; k++)
            out.push({ op: "added", path: [...path, from + k], now: right[k] });
        i = ni + 1;
        k = nk + 1;
    }
}

function differ(a, b, path, out) {
    if (same(a) === same(b))
        return;
    if (a.kind === "object" && b.kind === "object") {
        const had = new Map(a.members), has = new Map(b.members);
        for (const [name, old] of had)
            if (!has.has(name))
                out.push({ op: "removed", path: [...path, name], old });
        for (const [name, now] of has)
            if (had.has(name))
                differ(had.get(name), now, [...path, name], out);
            else
                out.push({ op: "added", path: [...path, name], now });
    } else if (a.kind === "array" && b.kind === "array") {
        diffArrays(a.items, b.items, path, out);
    } else {
        out.push({ op: "changed", path, old: a, now: b });
    }
}

/* What became of `a`: [{ op: "added" | "removed" | "changed", path: [names and numbers], old, now }…]. A number is a place
 * in the new list; of what was removed the last one is its place in the old list, and `spot` where it would stand when
 * all that is told before it is done. */
export function diff(a, b) {
    const out = [];
    differ(a, b, [], out);
    return out;
}
