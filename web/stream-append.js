/* An entry by hand. It has an id of its own, so that it happens once even when its answer was lost and it is sent again. */
import { ask } from "./api.js";
import { h, fill } from "./dom.js";
import { t } from "./i18n.js";
import { problemBox, note } from "./parts.js";
import { parse } from "./json.js";

/* Also where a page may not ask for a UUID: on http from another machine. */
function freshId() {
    const bytes = crypto.getRandomValues(new Uint8Array(12));
    return `page-${[...bytes].map(b => b.toString(16).padStart(2, "0")).join("")}`;
}

/* done(n): it has been appended under this number. */
export function appendForm({ app, path, done }) {
    const kinds = h("datalist", { id: "append-kinds" });
    const kind = h("input", { id: "append-kind", list: "append-kinds", autocomplete: "off", spellcheck: "false", autocapitalize: "off", size: 12 });
    const form = h("select", { id: "append-form" }, h("option", { value: "text" }, t("attr.text")), h("option", { value: "json" }, "JSON"));
    const body = h("textarea", { id: "append-body", rows: 3, required: true, dir: "auto", "aria-describedby": "append-help", onkeydown: event => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            el.requestSubmit();
        }
    } });
    const button = h("button", { type: "submit", class: "primary" }, t("append.send")), trouble = h("div", { "aria-live": "polite" });
    const el = h("form", { class: "append card", onsubmit: submit, "aria-label": t("append") },
        h("label", { for: "append-body" }, t("append")), body,
        h("div", { class: "append-row" }, h("label", { for: "append-kind" }, t("append.kind")), kind, kinds,
            h("label", { for: "append-form" }, t("append.as")), form, button),
        h("p", { id: "append-help", class: "faint" }, t("append.help")), trouble);
    let sent = null; /* what was sent last and may have arrived: { text, id } */

    async function submit(event) {
        event.preventDefault();
        if (button.disabled)
            return;
        const raw = form.value === "json" ? body.value : JSON.stringify({ text: body.value });
        try {
            parse(raw);
        } catch {
            fill(trouble, note("plain", t("attr.noJson")));
            body.focus();
            return;
        }
        const text = `${kind.value.trim() ? `"kind":${JSON.stringify(kind.value.trim())},` : ""}"body":${raw}`;
        if (!sent || sent.text !== text)
            sent = { text, id: freshId() };
        button.disabled = true;
        fill(trouble);
        try {
            const response = await ask("POST", `${path}/entries`, { text: `{"id":"${sent.id}",${text}}` });
            const { n } = await response.json();
            sent = null;
            body.value = "";
            app.say(t("append.done", { n }));
            await done(n);
        } catch (error) {
            fill(trouble, problemBox(error));
        } finally {
            button.disabled = false;
        }
        body.focus();
    }
    return {
        el,
        update(info) {
            const known = info ? [...new Set([...info.rules.kinds, ...Object.keys(info.kinds)])].filter(Boolean).sort() : ["assistant", "system", "tool", "user"];
            if ([...kinds.options].map(o => o.value).join() !== known.join())
                fill(kinds, known.map(name => h("option", { value: name })));
        },
    };
}
