/* What makes the pages pleasant. Everything works without it: menus are <details>, dialogs are pages of their own. */
"use strict";

document.documentElement.classList.add("has-script");

/* On a narrow screen the navigation scrolls; the page one is on is in sight. */
document.querySelector(".top nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });

/* Three-dot menus: one open at a time, arrow keys, Escape, closing by a click elsewhere, upwards when there is no room. */
{
    const openMenus = () => document.querySelectorAll("details.menu[open]");
    const itemsOf = (menu) => [...menu.querySelectorAll(".menu-list a, .menu-list button")];

    document.addEventListener("toggle", (event) => {
        const menu = event.target;
        if (!(menu instanceof HTMLDetailsElement) || !menu.classList.contains("menu") || !menu.open) return;
        openMenus().forEach((other) => { if (other !== menu) other.open = false; });
        menu.classList.remove("opens-up");
        const list = menu.querySelector(".menu-list").getBoundingClientRect();
        const summary = menu.querySelector("summary").getBoundingClientRect();
        menu.classList.toggle("opens-up", list.bottom > innerHeight && summary.top > list.height + 70);
    }, true);

    document.addEventListener("click", (event) => {
        openMenus().forEach((menu) => {
            const chosen = event.target.closest(".menu-list a, .menu-list button");
            if (!menu.contains(event.target) || chosen) menu.open = false;
        });
    });

    document.addEventListener("keydown", (event) => {
        const menu = event.target.closest("details.menu");
        if (!menu) return;
        if (event.key === "Escape" && menu.open) {
            menu.open = false;
            menu.querySelector("summary").focus();
            event.stopPropagation();
            return;
        }
        if (!["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key)) return;
        event.preventDefault();
        menu.open = true;
        const items = itemsOf(menu);
        const at = items.indexOf(document.activeElement);
        const next = { ArrowDown: at + 1, ArrowUp: at < 0 ? -1 : at - 1, Home: 0, End: -1 }[event.key];
        items.at(next >= items.length ? 0 : next)?.focus();
    });
}

/* Dialogs: a link with data-dialog opens its page's form in <dialog>; the server sends only the form (HX-Request). */
{
    const dialog = document.getElementById("dialog");
    let opener = null;

    document.addEventListener("click", (event) => {
        const link = event.target.closest("a[data-dialog]");
        if (link && dialog && window.htmx && !event.metaKey && !event.ctrlKey && !event.shiftKey) {
            event.preventDefault();
            opener = link.closest("details.menu")?.querySelector("summary") ?? link;
            htmx.ajax("GET", link.href, { target: dialog, swap: "innerHTML" });
        }
        if (event.target.closest("[data-close]") && dialog?.open) {
            event.preventDefault();
            dialog.close();
        }
        if (event.target === dialog) dialog.close();
    });
    dialog?.addEventListener("close", () => { dialog.replaceChildren(); opener?.focus(); });
    document.addEventListener("htmx:afterSwap", (event) => {
        if (event.detail.target !== dialog) return;
        if (!dialog.open) dialog.showModal();
        const wrong = dialog.querySelector("[aria-invalid='true']");
        (wrong ?? dialog.querySelector("[autofocus]"))?.focus();
    });
}

/* Copying what stands in the element named by data-copy. */
document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
    say("Copied.");
});

/* Toasts: what the server said stays until it is closed; an own word goes by itself. */
function say(sentence) {
    const toasts = document.getElementById("toasts");
    const toast = document.createElement("li");
    toast.className = "toast";
    toast.textContent = sentence;
    toasts.append(toast);
    setTimeout(() => toast.remove(), 4000);
}
document.addEventListener("click", (event) => {
    event.target.closest(".toast [data-dismiss]")?.closest(".toast").remove();
});
document.addEventListener("htmx:sendError", () => say("The server cannot be reached; this page is not up to date."));
document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.xhr.status !== 422) say("That did not work; reload the page and try again.");
});

/* Tables with data-filter="#id of the table": rows that do not hold the typed words are hidden. */
document.addEventListener("input", (event) => {
    const table = event.target.dataset.filter && document.querySelector(event.target.dataset.filter);
    if (!table) return;
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    table.querySelectorAll("tbody tr").forEach((row) => {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
    });
});

/* Select elements that choose a page, and forms that send themselves; both have a button for those without script. */
document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit-on-change]")) event.target.form.requestSubmit();
});

/* A part that asks for itself again stands still while somebody reads in it: something is open, chosen by key or marked. */
document.addEventListener("htmx:beforeRequest", (event) => {
    const part = event.target;
    if (!part.matches("[data-keeps-while-read]")) return;
    const selection = getSelection();
    const isMarked = !selection.isCollapsed && part.contains(selection.anchorNode);
    if (isMarked || part.querySelector("details[open], :focus-visible")) event.preventDefault();
});
