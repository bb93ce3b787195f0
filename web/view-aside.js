/* What remotes have set aside while the rest went on, with the reason: try it again, or forget it. */
import { ask, getJson } from "./api.js";
import { h, fill, setText } from "./dom.js";
import { t, has, problemTitle, nextStep } from "./i18n.js";
import { setWhen, Pages, query, confirm, problemBox, note, progress, itemLink } from "./parts.js";

const PAGE = 100;

export function asideView(app) {
    const space = app.space, runs = app.may("run");
    const groups = new Map();
    const list = h("div", { class: "cards wide" });
    const place = h("div", { "aria-live": "polite" });
    const intro = h("p", null, t("aside.text"));
    const pages = new Pages({
        fetchPage: (cursor, signal) => getJson(`v1/${encodeURIComponent(space)}/set-aside${query({ limit: PAGE, cursor })}`, { signal }),
        show: (items, first) => {
            if (first) {
                groups.clear();
                list.replaceChildren();
            }
            items.forEach(add);
        },
        empty: () => h("p", { class: "nothing" }, t("aside.none")),
    });

    function group(remote) {
        if (!groups.has(remote)) {
            const rows = h("ul", { class: "asides" });
            const again = h("button", { type: "button", class: "primary", onclick: () => retry(remote) }, t("aside.retry"));
            again.setAttribute("aria-label", `${t("aside.retry")}: ${remote}`);
            const forget = h("button", { type: "button", onclick: () => drop(remote, null) }, t("aside.dropAll"));
            forget.setAttribute("aria-label", `${t("aside.dropAll")}: ${remote}`);
            list.append(h("section", { class: "card", "aria-label": remote },
                h("header", null, h("h2", null, remote), runs && h("div", { class: "buttons" }, again, forget)), rows));
            groups.set(remote, rows);
        }
        return groups.get(remote);
    }

    function add(item) {
        const time = h("time");
        setWhen(time, item.since);
        const next = nextStep(item.code);
        const isDoc = item.kind !== "at_place"; /* there it may be a file that is no document */
        const forget = h("button", { type: "button", class: "small", onclick: () => drop(item.remote, item.name) }, t("aside.drop"));
        forget.setAttribute("aria-label", `${t("aside.drop")}: ${item.name}`);
        group(item.remote).append(h("li", { "data-name": item.name },
            h("div", null,
                h("p", { class: "box-title" }, isDoc ? itemLink(app, item.name) : item.name),
                h("p", { class: "faint" }, problemTitle(item), " · ",
                    has(`aside.${item.kind}`) ? t(`aside.${item.kind}`) : item.kind, " · ", time),
                h("p", { lang: "en" }, item.reason),
                next && h("p", { class: "next" }, h("strong", null, t("next")), " ", next)),
            runs && forget));
    }

    /* Who works with keys goes on from the title: the button is gone with its list. */
    function again() {
        const within = list.contains(document.activeElement);
        pages.restart();
        groups.clear();
        list.replaceChildren();
        if (within)
            title.focus({ preventScroll: true });
        return pages.next();
    }

    async function retry(remote) {
        fill(place, progress(t("saving", { name: remote })).el);
        await app.saving(async () => {
            try {
                await ask("POST", `v1/${encodeURIComponent(space)}/remotes/${encodeURIComponent(remote)}/set-aside?timeout=10m`, { timeout: 0 });
                fill(place, note("good", t("aside.retried", { name: remote })));
            } catch (error) {
                fill(place, problemBox(error));
            }
        });
        await again();
    }

    async function drop(remote, name) {
        const go = await confirm({
            title: name ? t("aside.dropTitle", { name }) : t("aside.dropAllTitle", { name: remote }),
            text: t("aside.dropText"), yes: t("aside.drop"), danger: true,
        });
        if (!go)
            return;
        try {
            await ask("DELETE", `v1/${encodeURIComponent(space)}/remotes/${encodeURIComponent(remote)}/set-aside${query({ name })}`);
            const words = t("aside.dropped");
            fill(place, note("good", words));
            app.say(words);
        } catch (error) {
            fill(place, problemBox(error));
        }
        await again();
        app.refresh(true);
    }
    const title = h("h1", { tabindex: -1 }, t("tab.aside"));
    const el = h("div", null, title, intro, place, list, pages.el);
    let had = null;

    function update() {
        const now = app.status ? app.status.remotes.map(r => `${r.name} ${r.set_aside}`).join() : had;
        if (had !== null && now !== had && pages.count <= PAGE)
            again();
        had = now;
        setText(intro, t("aside.text"));
    }
    update();
    return { el, title: t("tab.aside"), update, opened: () => pages.next(), close: () => pages.stop() };
}
