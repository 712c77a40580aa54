// Small conveniences. Every page works without this file.
"use strict";

// Forms whose button asks first: <button data-confirm="Replay 3 records?">.
document.addEventListener("click", (event) => {
  const asking = event.target.closest("[data-confirm]");
  if (asking && !window.confirm(asking.dataset.confirm)) event.preventDefault();
});

// Copy buttons are hidden where nothing can copy: <button data-copy="id-of-the-text" hidden>.
for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const words = button.querySelector("span");
    const before = words.textContent;
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    words.textContent = "Copied";
    window.setTimeout(() => { words.textContent = before; }, 2000);
  });
}

// A select that submits its form when changed with a pointer; its button stays for the keyboard.
for (const select of document.querySelectorAll("select[data-submits]")) {
  let isPointed = false;
  select.addEventListener("pointerdown", () => { isPointed = true; });
  select.addEventListener("keydown", () => { isPointed = false; });
  select.addEventListener("change", () => { if (isPointed) select.form.requestSubmit(); });
}

// The summary of form errors takes the focus, so that it is read first.
document.querySelector("[data-focus]")?.focus();

// Facets stand open on a desk in browsers whose style sheets cannot open them.
if (!CSS.supports("selector(::details-content)") && window.matchMedia("(min-width: 860px)").matches) {
  for (const drawer of document.querySelectorAll("[data-drawer]")) drawer.open = true;
}

// A part that is asked for again until it says that it is finished, as the boxes of an event's path:
// <div data-poll="/ops/path/ID" data-poll-seconds="1">; the answer is HTML, and data-finished in it ends the asking.
const POLLS_MAX = 300;
for (const part of document.querySelectorAll("[data-poll]")) {
  const wait = 1000 * Math.max(0.5, Number(part.dataset.pollSeconds) || 2);
  let polls = 0;
  let shown = part.innerHTML;
  const poll = async () => {
    polls += 1;
    try {
      const answer = await fetch(part.dataset.poll, { headers: { accept: "text/html" } });
      if (answer.ok) {
        const html = await answer.text();
        if (html !== shown) part.innerHTML = html;
        shown = html;
      }
    } catch {
      // The server may be starting again. The next poll tells.
    }
    if (polls < POLLS_MAX && !part.querySelector("[data-finished]")) window.setTimeout(poll, wait);
  };
  if (!part.querySelector("[data-finished]")) window.setTimeout(poll, wait);
}

// Use of a dataset is told to the counter without waiting for an answer. Its page names it, and links that fetch
// data say so: <meta name="nutmeg-dataset" content="id">, <a data-hit="download">.
const counted = document.querySelector('meta[name="nutmeg-dataset"]');
if (counted && navigator.sendBeacon) {
  const tell = (kind) => navigator.sendBeacon("/usage/beacon", JSON.stringify({ dataset_id: counted.content, kind }));
  const tellOfView = () => {
    // A page that was opened in the background was not seen yet.
    if (document.visibilityState !== "visible") return;
    document.removeEventListener("visibilitychange", tellOfView);
    tell("view");
  };
  document.addEventListener("visibilitychange", tellOfView);
  tellOfView();
  for (const click of ["click", "auxclick"]) {
    document.addEventListener(click, (event) => {
      const link = event.target.closest("[data-hit]");
      if (link && event.button < 2) tell(link.dataset.hit);
    });
  }
}

// Titles are offered while words are typed; choosing one is like typing it.
for (const box of document.querySelectorAll('.search-box input[type="search"]')) {
  const titles = document.createElement("datalist");
  titles.id = `${box.id}-titles`;
  box.form.append(titles);
  box.setAttribute("list", titles.id);
  box.autocomplete = "off";
  let wait = 0;
  box.addEventListener("input", () => {
    window.clearTimeout(wait);
    wait = window.setTimeout(async () => {
      const prefix = box.value.trim().slice(0, 200);
      if (prefix.length < 2) return;
      try {
        const answer = await fetch(`/api/v1/datasets/suggest?prefix=${encodeURIComponent(prefix)}`);
        if (!answer.ok) return;
        const { items } = await answer.json();
        titles.replaceChildren(...items.map(({ title }) => new Option(title, title)));
      } catch {
        // Searching works without offers.
      }
    }, 150);
  });
}
