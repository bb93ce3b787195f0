/* JSON as it is shown: the pretty form, with names, texts and numbers told apart. */
import { h, fill } from "./dom.js";
import { t, bytes } from "./i18n.js";
import { parse, pretty } from "./json.js";

const SHOWN_MAX = 200000;

/* Of a text or a node that was read; what is no JSON as it is. `max` characters of it. */
function contentOf(what, max, label) {
    const pre = h("pre", { class: "json", tabindex: 0, role: "group", "aria-label": label });
    let node = what;
    if (typeof what === "string") {
        try {
            node = parse(what);
        } catch {
            pre.textContent = what.slice(0, max);
            return { pre, whole: what.length <= max };
        }
    }
    let length = 0, run = "", kind = "mark";
    const flush = () => {
        if (run)
            pre.append(kind === "mark" ? run : h("span", { class: `j-${kind}` }, run));
        run = "";
    };
    const whole = pretty(node, (k, piece) => {
        if (k !== kind) {
            flush();
            kind = k;
        }
        run += piece;
        length += piece.length;
        return length <= max;
    });
    flush();
    return { pre, whole };
}

export function showContent(place, what, max = SHOWN_MAX, label = t("doc.content")) {
    const { pre, whole } = contentOf(what, max, label);
    fill(place, pre, !whole && h("p", null, t("doc.cut", { size: bytes(max) }), " ",
        h("button", { type: "button", class: "small", onclick: () => showContent(place, what, Infinity, label) }, t("doc.showAll"))));
}
