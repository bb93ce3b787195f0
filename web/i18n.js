/* Languages: words, plural forms, numbers, times. One language is in force at a time. */
import { words as en } from "./words-en.js";
import { words as pl } from "./words-pl.js";
import { words as da } from "./words-da.js";

const all = { en, pl, da };
export const languages = [["en", "English"], ["pl", "Polski"], ["da", "Dansk"]];

let lang, locale, plural, numbers, times, days, dates, clocks, relative, lists;

function remembered() {
    try {
        return localStorage.getItem("keepfast.lang");
    } catch {
        return null;
    }
}

/* What was chosen, else the first language of the browser that there is. */
export function preferred() {
    const chosen = remembered();
    if (chosen && Object.hasOwn(all, chosen))
        return chosen;
    const wanted = navigator.languages.map(l => l.toLowerCase().split("-")[0]);
    return wanted.find(l => Object.hasOwn(all, l)) || "en";
}

export function remember(code) {
    try {
        localStorage.setItem("keepfast.lang", code);
    } catch {
        /* it stays as long as the page does */
    }
}

export function use(code) {
    lang = code;
    /* English as it is written where the browser is. */
    locale = navigator.languages.find(l => l.toLowerCase().split("-")[0] === code) || code;
    plural = new Intl.PluralRules(locale);
    numbers = new Intl.NumberFormat(locale);
    times = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
    days = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "long" });
    dates = new Intl.DateTimeFormat(locale, { dateStyle: "full" });
    clocks = new Intl.DateTimeFormat(locale, { timeStyle: "short" });
    relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
    lists = new Intl.ListFormat(locale, { type: "conjunction" });
    document.documentElement.lang = code;
}

export function language() {
    return lang;
}

/* The words of a key; {x} stands for values.x, and the form is that of values.n where there are several. */
export function t(key, values = {}) {
    let text = all[lang][key] ?? en[key] ?? key;
    if (typeof text === "object")
        text = text[plural.select(values.n)] ?? text.other;
    return text.replace(/\{(\w+)\}/g, (_, name) =>
        typeof values[name] === "number" ? number(values[name]) : String(values[name]));
}

/* Whether there are words for it. */
export function has(key) {
    return Object.hasOwn(en, key);
}

export function number(n) {
    return numbers.format(n);
}

const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];

export function bytes(n) {
    let at = 0;
    while (n >= 999.5 && at < units.length - 1) {
        n /= 1000;
        at++;
    }
    return new Intl.NumberFormat(locale, {
        style: "unit", unit: units[at], unitDisplay: at ? "short" : "long",
        maximumFractionDigits: at && n < 99.5 ? 1 : 0,
    }).format(n);
}

const steps = [["second", 60], ["minute", 60], ["hour", 24], ["day", 30], ["month", 12], ["year", Infinity]];

function stepped(seconds) {
    let n = Math.abs(seconds);
    for (const [unit, size] of steps) {
        if (Math.round(n) < size)
            return [Math.round(n), unit];
        n /= size;
    }
    return [0, "second"];
}

function inUnits(n, unit) {
    return new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "long" }).format(n);
}

/* "5 minutes": how long something waits or goes on, told anew every second at most. */
export function lasting(ms) {
    return inUnits(...stepped(Math.max(ms / 1000, 1)));
}

/* How long something took that is over. */
export function took(ms) {
    return ms < 1000 ? inUnits(Math.max(ms, 0), "millisecond") : lasting(ms);
}

/* The server's clock minus ours. */
let skew = 0;
export function setServerNow(iso) {
    skew = Date.parse(iso) - Date.now();
}

/* "5 minutes ago", "in 2 hours". */
export function ago(iso) {
    const seconds = (Date.parse(iso) - Date.now() - skew) / 1000;
    const [n, unit] = stepped(seconds);
    if (unit === "second" && n < 5)
        return t("now");
    return relative.format(seconds < 0 ? -n : n, unit);
}

export function time(iso) {
    return times.format(new Date(iso));
}

export function fullTime(iso) {
    return days.format(new Date(iso));
}

/* "Sunday 22 November 2026", "14:03". */
export function date(iso) {
    return dates.format(new Date(iso));
}

export function clock(iso) {
    return clocks.format(new Date(iso));
}

export function list(items) {
    return lists.format(items);
}

/* A problem as a sentence: its title in words of ours, what the server says of this case, and the next step. */
export function problemTitle(p) {
    return has(`problem.${p.code}`) ? t(`problem.${p.code}`) : p.title || p.code;
}

export function nextStep(code) {
    return has(`next.${code}`) ? t(`next.${code}`) : "";
}
