/* Asks for a token, where the server wants one. It is tried before it is kept. */
import { getJson, token } from "./api.js";
import { h, fill, setText, icon } from "./dom.js";
import { t, problemTitle } from "./i18n.js";

export function signIn(app, why, done) {
    const input = h("input", {
        id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true,
        "aria-describedby": "token-help token-error", placeholder: "kft_…",
    });
    const button = h("button", { type: "submit", class: "primary" }, t("signIn"));
    const error = h("p", { id: "token-error", class: "error", role: "alert" });
    const form = h("form", { class: "signin card", onsubmit: submit },
        h("h1", null, icon("lock"), t("signIn.title")),
        h("p", null, why.code === "token_expired" ? t("signIn.expired") : t("signIn.text")),
        h("label", { for: "token" }, t("token")), input,
        h("p", { id: "token-help", class: "faint" }, t("signIn.help")),
        error, button,
        h("details", null, h("summary", null, t("signIn.how")),
            h("pre", null, "keepfast token create my-browser --rights read,run")));

    async function submit(event) {
        event.preventDefault();
        const text = input.value.trim();
        if (!text)
            return;
        if (!/^[\x21-\x7e]+$/.test(text)) {
            setText(error, t("signIn.wrong"));
            return;
        }
        button.disabled = true;
        setText(error, "");
        token.set(text);
        try {
            await getJson("v1?limit=1");
            done();
        } catch (problem) {
            token.set("");
            fill(error, problem.status === 401 && problem.code !== "token_expired" ? t("signIn.wrong") : problemTitle(problem),
                problem.retryAfter > 0 && problem.status === 429 && ` ${t("retryAfter", { n: problem.retryAfter })}`);
            input.setAttribute("aria-invalid", "true");
            input.focus();
            input.select();
        } finally {
            button.disabled = false;
        }
    }
    return { el: form, title: t("signIn.title"), opened: () => input.focus() };
}
