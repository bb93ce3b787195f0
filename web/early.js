/* Before the first paint: the appearance that was chosen, so that nothing flashes. */
"use strict";
try {
    const theme = localStorage.getItem("keepfast.theme");
    if (theme === "light" || theme === "dark")
        document.documentElement.dataset.theme = theme;
} catch {
    /* without storage the system decides */
}
