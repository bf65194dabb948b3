// A crosshair on pictures with [.hover] columns, and arrow keys through a calendar of days. The pages say the same without it.
(() => {
  "use strict";
  const doc = document;
  let read = null;
  function readout(chart) {
    const figure = chart.parentElement;
    read = figure.querySelector(".readout");
    if (!read) { read = doc.createElement("output"); read.className = "readout"; read.setAttribute("aria-hidden", "true"); figure.append(read); }
    return read;
  }
  doc.addEventListener("pointermove", (event) => {
    const column = event.target.closest?.(".chart .hover rect");
    const chart = column?.closest(".chart");
    doc.querySelectorAll(".readout").forEach((one) => { if (!chart?.parentElement.contains(one)) one.remove(); });
    doc.querySelectorAll(".hover .on").forEach((one) => { if (one !== column) one.classList.remove("on"); });
    if (!chart) return;
    const title = column.querySelector("title");
    if (title) { column.dataset.say = title.textContent; title.remove(); }
    column.classList.add("on");
    const box = readout(chart);
    box.textContent = column.dataset.say;
    const edge = chart.parentElement.getBoundingClientRect(), at = column.getBoundingClientRect();
    const middle = at.left + at.width / 2 - edge.left;
    box.classList.toggle("left", middle > edge.width / 2);
  });
  doc.addEventListener("pointerout", (event) => { if (!event.relatedTarget) doc.querySelectorAll(".readout").forEach((one) => one.remove()); });
  const STEPS = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -7, ArrowRight: 7 };
  doc.addEventListener("keydown", (event) => {
    const day = event.target.closest?.(".days a"), step = STEPS[event.key];
    if (!day || !step) return;
    const days = day.ownerSVGElement, at = new Date(`${new URL(day.href.baseVal, location.href).searchParams.get("from")}T00:00:00Z`);
    for (let n = 0; n < 60; n += 1) {
      at.setUTCDate(at.getUTCDate() + step);
      const next = days.querySelector(`a[href*="from=${at.toISOString().slice(0, 10)}&"]`);
      if (next) { day.setAttribute("tabindex", "-1"); next.setAttribute("tabindex", "0"); next.focus(); break; }
    }
    event.preventDefault();
  });
})();
