/* A small picture of how many there were when: a bar for each part of the time. What it shows is told in words beside. */
import { h, s } from "./dom.js";
import { t, time, number } from "./i18n.js";

const HEIGHT = 60, BAR = 8, SPACE = 2;

/* activity: { from, step_ms, counts } as the server tells it. */
export function activityChart({ from, step_ms: step, counts }) {
    const most = Math.max(...counts), at = i => new Date(Date.parse(from) + i * step).toISOString();
    const busiest = counts.indexOf(most);
    const part = i => t("chart.part", { n: counts[i], from: time(at(i)), to: time(at(i + 1)) });
    const bars = counts.map((count, i) => {
        const tall = count ? Math.max(count / most * HEIGHT, 2) : 0;
        return count > 0 && s("rect", { x: i * BAR, y: HEIGHT - tall, width: BAR - SPACE, height: tall, rx: 1 }, s("title", {}, part(i)));
    });
    const words = t("chart.most", { words: part(busiest) });
    return h("figure", { class: "chart" },
        s("svg", { viewBox: `0 0 ${counts.length * BAR - SPACE} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
            "aria-label": `${t("stats.over")}. ${words}` }, bars),
        h("p", { class: "chart-ends faint" }, h("span", null, time(from)), h("span", null, time(at(counts.length)))),
        h("figcaption", { class: "faint" }, words));
}

/* How a whole is made up: [[label, count]…], the largest first. */
export function shares(rows, total, label) {
    return h("ul", { class: "shares", "aria-label": label }, rows.map(([name, count]) =>
        h("li", null, h("span", null, name), h("meter", { min: 0, max: Math.max(total, 1), value: count, "aria-label": name }),
            h("span", { class: "share" }, number(count)))));
}
