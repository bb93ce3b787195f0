/* Elements out of names, attributes and text. Markup is never made from strings: what documents, names and errors
 * say is text and stays text. */

/* attrs: `on…` listeners; true = present, false or null = absent; `class`, `data-x`, `aria-x` as written; others are
 * attributes, too. Children: nodes, texts, nested lists; null and false are left out. */
export function h(tag, attrs, ...children) {
    const el = document.createElement(tag);
    for (const [name, value] of Object.entries(attrs || {})) {
        if (name.startsWith("on"))
            el.addEventListener(name.slice(2), value);
        else if (value === true)
            el.setAttribute(name, "");
        else if (value !== false && value !== null && value !== undefined)
            el.setAttribute(name, value);
    }
    el.append(...flat(children));
    return el;
}

function flat(children) {
    return children.flat(Infinity).filter(c => c !== null && c !== undefined && c !== false);
}

/* Replaces what is in `el`. */
export function fill(el, ...children) {
    el.replaceChildren(...flat(children));
    return el;
}

/* Touches the document only when the text is another: a selection in it stays, a live region speaks once. */
export function setText(el, text) {
    if (el.textContent !== text)
        el.textContent = text;
}

export function setHidden(el, hidden) {
    if (el.hidden !== hidden)
        el.hidden = hidden;
}

/* Keeps one child per item, by key, in the order of the items; `make(item)` gives { el, update(item) }. Children that
 * stay are not touched, so focus and open details stay as well. */
export function keyed(parent, items, keyOf, make) {
    const had = parent.keyedParts || new Map(), have = new Map();
    let at = parent.firstElementChild;
    for (const item of items) {
        const key = keyOf(item);
        const part = had.get(key) || make(item);
        part.update(item);
        have.set(key, part);
        if (part.el === at)
            at = at.nextElementSibling;
        else
            parent.insertBefore(part.el, at);
    }
    for (const [key, part] of had)
        if (!have.has(key))
            part.el.remove();
    parent.keyedParts = have;
}

/* The same for drawings; attributes as written. */
export function s(tag, attrs, ...children) {
    const el = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attrs || {}))
        el.setAttribute(name, value);
    el.append(...flat(children));
    return el;
}

const paths = {
    good: "M4.5 10.5 8.5 14.5 15.5 6",
    warn: "M10 3 18 17H2zM10 8v4M10 14.4v.2",
    bad: "M5.5 5.5l9 9M14.5 5.5l-9 9",
    wait: "M10 4v6l4 2M10 2.5a7.5 7.5 0 1 0 .01 0z",
    run: "M16 6.5A7 7 0 1 0 17 10M16.5 2.5v4h-4",
    note: "M10 9v5M10 6v.2M10 2.5a7.5 7.5 0 1 0 .01 0z",
    down: "M10 3v9M6 8.5l4 4 4-4M4 16.5h12",
    lock: "M5 9h10v8H5zM7 9V6.5a3 3 0 0 1 6 0V9",
};

/* A drawing that says nothing to a screen reader: words stand beside it. */
export function icon(name) {
    return s("svg", { viewBox: "0 0 20 20", "aria-hidden": "true", class: `icon icon-${name}` }, s("path", { d: paths[name] }));
}

/* A choice in a bar: a select with its label. */
export function choice(id, label, options, value, onchange) {
    const select = h("select", { id, onchange: () => onchange(select.value) },
        options.map(([v, text]) => h("option", { value: v }, text)));
    select.value = value;
    return { el: h("div", { class: "choice" }, h("label", { for: id }, label), select), select };
}
