// What the pages gain with JavaScript: keyboard, live values, times that stay true, search as you type. Every page works without it.
(() => {
  "use strict";
  const doc = document, all = (selector, root = doc) => [...root.querySelectorAll(selector)];
  const one = (selector, root = doc) => root.querySelector(selector);
  const csrf = () => one('meta[name="csrf"]')?.content ?? "";

  // -- forms: the token also as a header, so that long bodies pass; selects with data-auto submit themselves
  doc.addEventListener("htmx:config:request", (event) => { event.detail.ctx.request.headers["X-CSRF-Token"] = csrf(); });
  all("form[data-auto] [data-hide]").forEach((button) => { button.hidden = true; });
  doc.addEventListener("change", (event) => { event.target.closest("form[data-auto]")?.requestSubmit(); });
  doc.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) { event.preventDefault(); return; }
    if (form.method === "post" && !form.hasAttribute("hx-post")) {
      form.dataset.sent = "1";
      setTimeout(() => delete form.dataset.sent, 4000);
    }
  });
  addEventListener("pageshow", () => all("form[data-sent]").forEach((form) => delete form.dataset.sent));

  // -- said once, at the bottom
  function toast(text) {
    one(".toast")?.remove();
    const box = doc.createElement("div");
    box.className = "toast"; box.setAttribute("role", "alert"); box.textContent = text;
    doc.body.append(box);
    setTimeout(() => box.remove(), 8000);
  }
  doc.addEventListener("htmx:error", () => toast("The server did not answer. Try again."));

  // -- times
  const STEPS = [[60, "s", 1], [3600, "min", 60], [86400, "h", 3600], [5184000, "d", 86400], [63072000, "months", 2592000]];
  function ago(at) {
    const seconds = (Date.now() - at) / 1000, size = Math.abs(seconds);
    if (size < 5) return "just now";
    const [, unit, per] = STEPS.find(([below]) => size < below) ?? [0, "years", 31536000];
    const words = `${Math.floor(size / per)} ${unit}`;
    return seconds >= 0 ? `${words} ago` : `in ${words}`;
  }
  const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  function times(root = doc) {
    all("time[datetime]", root).forEach((time) => {
      const at = Date.parse(time.dateTime);
      if (Number.isNaN(at)) return;
      if (!time.hasAttribute("data-exact")) { const text = ago(at); if (time.textContent !== text) time.textContent = text; }
      time.title = local.format(at);
    });
  }
  times();
  setInterval(times, 15000);

  // -- live: the server says what changed; the page is fetched once and the parts that differ are put in place
  const live = one("#live");
  let truth = new Date(), waiting = null, fetching = false, again = false, added = 0;
  const changed = new Set();

  function say(state, text) {
    if (!live || live.dataset.state === state && state !== "lost") return;
    live.dataset.state = state;
    live.replaceChildren();
    if (text) { const span = doc.createElement(state === "lost" ? "b" : "span"); span.textContent = text; live.append(span); }
  }
  function wants(part) {
    const keys = part.dataset.refresh.split(" ");
    return keys.includes("*") || keys.some((key) => changed.has(key));
  }
  function busy(part) {
    const active = doc.activeElement;
    return part.contains(active) && active.matches("input, textarea, select") || one("details[open] form, [data-dirty]", part);
  }
  async function refresh() {
    if (fetching) { again = true; return; }
    fetching = true;
    try {
      const parts = all("[data-refresh]").filter((part) => part.id && wants(part) && !busy(part));
      changed.clear();
      if (parts.length) {
        const answer = await fetch(location.href, { headers: { "Cipo-Live": "1" } });
        if (answer.redirected && new URL(answer.url).pathname === "/sign-in") { location.reload(); return; }
        if (!answer.ok) return;
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const part of parts) {
          const next = fresh.getElementById(part.id);
          if (!next) continue;
          times(next);
          if (next.dataset.rows) all("[data-name]", next).forEach((row) => { if (!one(`[data-name="${CSS.escape(row.dataset.name)}"]`, part)) row.remove(); });
          all("input[name='key']", next).forEach((key, i) => { const mine = all("input[name='key']", part)[i]; if (mine) key.value = mine.value, key.setAttribute("value", mine.value); });
          swap(part, next);
        }
        htmx?.process?.(doc.body);
      }
    } finally {
      fetching = false;
      if (again) { again = false; refresh(); }
    }
  }
  const text = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  function swap(old, next) {
    if (old.isEqualNode(next)) return;
    const a = [...old.children], b = [...next.children];
    const container = old.matches("div, ul, ol, dl, tbody, section, nav, header, article, details") && !text(old) && !text(next);
    if (!container || a.length !== b.length || a.some((child, i) => child.tagName !== b[i].tagName)) { replace(old, next); return; }
    for (const { name, value } of next.attributes) if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    a.forEach((child, i) => swap(child, b[i]));
  }
  function replace(old, next) {
    const focused = old.contains(doc.activeElement) ? doc.activeElement.getAttribute("href") : null;
    const put = doc.importNode(next, true);
    old.replaceWith(put);
    put.classList?.add("fresh");
    put.addEventListener?.("animationend", () => put.classList.remove("fresh"), { once: true });
    if (focused) all("a[href]", put).find((link) => link.getAttribute("href") === focused)?.focus({ preventScroll: true });
    put.dispatchEvent(new CustomEvent("cipo:fresh", { bubbles: true }));
  }
  function note(change) {
    changed.add(change.gk);
    changed.add(`${change.gk}/${change.name}`);
    const list = one("[data-rows]");
    if (list && change.type === "ADDED" && list.dataset.rows === change.gk && !one(`[data-name="${CSS.escape(change.name)}"]`, list)) {
      added += 1;
      const pill = one("#newrows a");
      if (pill) { pill.textContent = `${added} new`; pill.closest("#newrows").hidden = false; }
    }
    clearTimeout(waiting);
    waiting = setTimeout(refresh, 60);
  }
  if (doc.body.dataset.live && window.EventSource) {
    const source = new EventSource(doc.body.dataset.live);
    let lost = null;
    source.addEventListener("open", () => { truth = new Date(); if (live?.dataset.state === "lost") { changed.add("*"); all("[data-refresh]").forEach((p) => p.dataset.refresh.split(" ").forEach((k) => changed.add(k))); refresh(); } clearTimeout(lost); lost = null; say("on", ""); });
    source.addEventListener("beat", () => { truth = new Date(); });
    source.addEventListener("change", (event) => { truth = new Date(); note(JSON.parse(event.data)); });
    source.addEventListener("again", () => location.reload());
    source.addEventListener("error", () => {
      if (lost) return;
      lost = setTimeout(() => say("lost", `◆ Not connected. True at ${truth.toLocaleTimeString()}`), 1500);
    });
    addEventListener("pagehide", () => source.close());
  }

  // -- small screens start with the filters folded; a fact's link finds its event on an older page
  if (matchMedia("(max-width: 768px)").matches) all(".facet-box").forEach((box) => { box.open = false; });
  if (location.pathname === "/events" && /^#\d+$/.test(location.hash)) {
    const seq = location.hash.slice(1);
    if (doc.getElementById(seq)) doc.getElementById(seq).classList.add("here");
    else if (!location.search.includes("before=")) location.replace(`/events?before=${Number(seq) + 1}${location.hash}`);
  }

  // -- keyboard
  const rows = () => all("tr[data-href], [data-row]");
  const links = () => all(".drop .hits a, #results .hits a");
  let here = -1, prefix = "";
  const typing = (target) => target.matches?.("input, textarea, select, [contenteditable]");
  function select(list, index) {
    if (!list.length) return;
    here = Math.max(0, Math.min(list.length - 1, index));
    list.forEach((row, i) => row.classList.toggle("here", i === here));
    const target = list[here].matches("a") ? list[here] : one("a", list[here]);
    target?.focus({ preventScroll: true });
    list[here].scrollIntoView({ block: "nearest" });
  }
  const JUMPS = { o: "/", t: "/todo", c: "/contracts", a: "/events", s: "/search" };
  doc.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const find = one("#find"), key = event.key, hits = links();
    if (hits.length && (key === "ArrowDown" || key === "ArrowUp") && (event.target.closest(".finder, #results") || event.target.id === "q")) {
      event.preventDefault();
      const at = hits.indexOf(doc.activeElement);
      if (key === "ArrowUp" && at <= 0) { (one("#q") ?? find).focus(); return; }
      hits[Math.min(hits.length - 1, at + (key === "ArrowDown" ? 1 : -1))]?.focus();
      return;
    }
    if (key === "Escape") {
      if (one("#found")?.childElementCount) { one("#found").replaceChildren(); find?.focus(); }
      else if (location.hash === "#rail") location.hash = "main";
      else if (typing(event.target)) event.target.blur();
      return;
    }
    if (typing(event.target)) return;
    if (prefix === "g") { prefix = ""; if (JUMPS[key]) { event.preventDefault(); location.href = JUMPS[key]; } return; }
    if (key === "/") { event.preventDefault(); find?.focus(); find?.select(); }
    else if (key === "j") select(rows(), here + 1);
    else if (key === "k") select(rows(), here - 1);
    else if (key === "Enter" && here >= 0 && event.target === doc.body) { const link = one("a", rows()[here]); if (link) location.href = link.href; }
    else if (key === "e") { const link = one("a[data-key='e']"); if (link) location.href = link.href; }
    else if (key === "g") { prefix = "g"; setTimeout(() => { prefix = ""; }, 1200); }
    else if (key === "?") location.href = "/help";
  });
  doc.addEventListener("click", (event) => { if (!event.target.closest(".finder")) one("#found")?.replaceChildren(); });
  all("[data-copy]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", async () => { await navigator.clipboard.writeText(one(button.dataset.copy).textContent); button.textContent = "Copied"; });
  });
  doc.addEventListener("input", (event) => event.target.closest("form")?.setAttribute("data-dirty", ""));
})();
