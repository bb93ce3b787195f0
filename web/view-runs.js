/* The log of runs: when, why, what went there and what came from there, and what went wrong. */
import { getJson } from "./api.js";
import { h, fill } from "./dom.js";
import { t, bytes, took, has, problemTitle, nextStep } from "./i18n.js";
import { setWhen, Pages, query, itemWords } from "./parts.js";

const PAGE = 50;

/* `status`: for what the space has besides documents. */
function sum(status, kind, count) {
    return count > 0 && h("li", null, itemWords(status, `runs.${kind}`, { n: count }));
}

/* What moved: documents, entries of streams, or only files: of attributes, of what was erased. */
function moved(kind, { docs, entries, files, bytes: size }) {
    const words = [docs > 0 && t(`runs.${kind}`, { n: docs }), entries > 0 && t(`runs.${kind}.entries`, { n: entries })].filter(Boolean);
    if (!words.length && files > 0)
        words.push(t(`runs.${kind}.files`, { n: files }));
    return words.length > 0 && h("li", null, words.join(", "), size > 0 && ` (${bytes(size)})`);
}

function outcome(status, run) {
    const parts = [
        moved("pushed", run.pushed), moved("taken", run.taken),
        sum(status, "lost", run.lost), sum(status, "bad", run.bad), sum(status, "aside", run.set_aside),
    ].filter(Boolean);
    return [
        parts.length > 0 && h("ul", { class: "sums" }, parts),
        run.error && h("div", { class: "run-error" }, h("strong", null, problemTitle(run.error)),
            h("p", { lang: "en" }, run.error.detail), nextStep(run.error.code) && h("p", { class: "next" },
                h("strong", null, t("next")), " ", nextStep(run.error.code))),
        !parts.length && !run.error && h("span", { class: "faint" }, t("runs.nothing")),
    ];
}

export function runsView(app) {
    const space = app.space;
    let remote = "";
    const filter = h("select", { id: "run-remote", onchange: () => {
        remote = filter.value;
        pages.restart();
        pages.next();
    } });
    const rows = h("tbody");
    const pages = new Pages({
        fetchPage: (cursor, signal) => getJson(`v1/${encodeURIComponent(space)}/${remote
            ? `remotes/${encodeURIComponent(remote)}/runs` : "runs"}${query({ limit: PAGE, cursor })}`, { signal }),
        show: (items, first) => {
            if (first)
                rows.replaceChildren();
            rows.append(...items.map(row));
        },
        empty: () => h("p", { class: "nothing" }, t("runs.none")),
    });

    function row(run) {
        const time = h("time");
        setWhen(time, run.ended);
        const ms = Date.parse(run.ended) - Date.parse(run.began);
        return h("tr", { class: run.error ? "failed" : null },
            h("th", { scope: "row" }, time),
            h("td", { "data-label": t("remote") }, run.remote),
            h("td", { "data-label": t("runs.cause") }, has(`cause.${run.cause}`) ? t(`cause.${run.cause}`) : run.cause),
            h("td", null, outcome(app.status, run)),
            h("td", { "data-label": t("runs.took") }, run.times > 1 ? t("runs.times", { n: run.times }) : took(ms)));
    }
    const el = h("div", null, h("h1", null, t("tab.runs")),
        h("div", { class: "search" }, h("label", { for: "run-remote" }, t("remote")), filter),
        h("table", { class: "runs", "aria-label": t("tab.runs") }, h("thead", null, h("tr", null,
            ["runs.when", "remote", "runs.cause", "runs.outcome", "runs.took"].map(key => h("th", { scope: "col" }, t(key))))), rows),
        pages.el);
    let names = null, newest = null;

    function update() {
        const known = app.status ? app.status.remotes : [];
        const text = known.map(r => r.name).join("\n");
        if (text !== names) {
            names = text;
            fill(filter, h("option", { value: "" }, t("runs.all")), known.map(r => h("option", { value: r.name }, r.name)));
            filter.value = remote;
        }
        /* A run has ended since: the log is read anew, unless somebody has gone far down in it. */
        const last = known.map(r => `${r.last_run} ${r.failures}`).join();
        if (newest !== null && last !== newest && pages.count <= PAGE) {
            pages.restart();
            pages.next();
        }
        newest = last;
    }
    update();
    return { el, title: t("tab.runs"), update, opened: () => pages.next(), close: () => pages.stop() };
}
