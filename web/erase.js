/* Erasing streams: the question, which says what goes and what others still hold, and the receipt. */
import { ask } from "./api.js";
import { h, fill, icon } from "./dom.js";
import { t, list, number, bytes, fullTime, time } from "./i18n.js";
import { fact, problemBox, progress } from "./parts.js";

/* Who has it beside this store, in sentences. */
function elsewhere(app) {
    const out = [], remotes = app.status ? app.status.remotes : null;
    const names = kind => (remotes || []).filter(r => !kind || r.kind === kind).map(r => r.name);
    if (!remotes)
        out.push(t("erase.remotesUnknown"));
    else if (remotes.length)
        out.push(t("erase.remotes", { names: list(names()) }));
    if (names("git").length)
        out.push(t("erase.git", { names: list(names("git")) }));
    const last = app.status && app.status.backups && app.status.backups.last;
    out.push(last ? t("erase.backupsLast", { time: time(last.at) }) : t("erase.backups"));
    return out;
}

/* Asks, with the name to be written so that nobody does it by a slip; resolves with whether to do it. */
export function askErase(app, { title, goes, name, label }) {
    return new Promise(resolve => {
        const answer = value => {
            dialog.close();
            dialog.remove();
            resolve(value);
        };
        const button = h("button", { type: "submit", class: "danger", disabled: true }, t("erase.yes"));
        const input = h("input", { id: "erase-name", autocomplete: "off", spellcheck: "false", autocapitalize: "off", oninput: () => {
            button.disabled = input.value !== name;
        } });
        const dialog = h("dialog", { class: "erase", "aria-labelledby": "erase-title", "aria-describedby": "erase-text" },
            h("form", { onsubmit: event => {
                event.preventDefault();
                if (input.value === name)
                    answer(true);
            } },
            h("h2", { id: "erase-title" }, title),
            h("div", { id: "erase-text" },
                h("p", null, h("strong", null, t("erase.goes"))), h("ul", null, goes.map(text => h("li", null, text))),
                h("p", null, h("strong", null, t("erase.stays"))), h("ul", null, elsewhere(app).map(text => h("li", null, text))),
                h("p", null, t("erase.noWay"))),
            h("label", { for: "erase-name" }, label, " ", h("code", null, name)), input,
            h("div", { class: "buttons" }, button, h("button", { type: "button", onclick: () => answer(false) }, t("cancel")))));
        dialog.addEventListener("cancel", event => {
            event.preventDefault();
            answer(false);
        });
        document.body.append(dialog);
        dialog.showModal();
        input.focus();
    });
}

/* Does it; resolves with the receipt, or null when it went wrong, which `place` tells. */
export async function erase(path, place) {
    fill(place, progress(t("erase.going")).el);
    try {
        const response = await ask("DELETE", path, { timeout: 0 });
        const receipt = await response.json();
        fill(place);
        return receipt;
    } catch (error) {
        fill(place, problemBox(error));
        return null;
    }
}

/* Where something may still be, and what there; of what has no words here those of the server. */
function holder(held) {
    const words = held.state === "confirmed" ? [t("receipt.confirmed")] : held.state === "pending" ? [t("receipt.pending")] : [];
    const still = held.kind === "git" ? t("receipt.git") : held.kind === "backup" ? t("receipt.backups")
        : held.kind === "aside" && held.state === "kept" ? t("receipt.aside") : held.kind === "dir" ? t("receipt.replaced") : held.still && h("span", { lang: "en" }, held.still);
    return h("li", null, h("strong", null, held.remote || held.backups || held.file || held.schema), ": ", words, words.length > 0 && still && " ", still);
}

export function receiptFacts(receipt) {
    return [
        h("dl", { class: "facts" }, fact(t("receipt.id"), number(receipt.id)), fact(t("receipt.at"), fullTime(receipt.at)),
            fact(t("receipt.streams"), number(receipt.streams)), fact(t("receipt.entries"), number(receipt.entries)),
            fact(t("receipt.attachments"), number(receipt.attachments)), fact(t("receipt.bytes"), bytes(receipt.bytes))),
        h("p", null, h("strong", null, t("receipt.held"))),
        h("ul", { class: "held" }, receipt.held.map(holder), h("li", null, t("erase.backups"))),
    ];
}

/* What was done, in place of what is gone. */
export function receiptCard(app, receipt, title) {
    const heading = h("h2", { tabindex: -1 }, icon("good"), " ", title);
    return { heading, el: h("section", { class: "card receipt", "aria-label": t("receipt") }, heading,
        receipt.again && h("p", null, t("receipt.again")), receiptFacts(receipt), h("p", { class: "faint" }, t("receipt.keep")),
        h("p", null, h("a", { href: app.link("streams") }, `‹ ${t("tab.streams")}`))) };
}
