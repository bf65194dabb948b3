// The dock screen: one line to scan into, the verdict in words, colour and sound, and what the dock asks next.
import { Queue, camera, one, remember, sound, tellQueue, uuid, verdict, wedge } from "./scanner.js";

const WORDS = {
  ok: ["good", "Received"], duplicate: ["ask", "Scanned before"], alreadyOwned: ["bad", "Belongs elsewhere"], isComponentOf: ["bad", "Part of another thing"],
  hold: ["bad", "Stop"], notAnnounced: ["bad", "Not announced"], wrongModel: ["bad", "Wrong model"], overQuantity: ["bad", "One too many"],
  incomplete: ["ask", "Go on"], ambiguous: ["ask", "Which one?"], place: ["good", "Place"], package: ["good", "Package"],
  badCode: ["bad", "Bad code"], unknownCode: ["bad", "Unknown code"],
};
const page = one("#dock");

if (page) {
  const name = page.dataset.shipment, box = one("#verdict"), asks = one("#asks"), list = one("#scans"), key = `cipo-bin/${name}`;
  const state = { bin: sessionStorage.getItem(key) ?? "", tag: "" };

  const queue = new Queue(`/apis/facilities.cipo/v1/shipments/${encodeURIComponent(name)}/scan`, {
    answered(scan, output, late) {
      const [mood, word] = WORDS[output.verdict] ?? ["bad", output.verdict ?? "No verdict"];
      const label = output.accepted && output.tag ? ` Label ${output.tag}.` : "";
      verdict(box, mood, word, `${output.message ?? ""}.${label}`, late);
      remember(list, mood, word, scan.payload, late);
      sound(mood);
      if (output.verdict === "place") keepBin(output.bin);
      if (output.verdict === "incomplete" && output.tag) state.tag = output.tag;
      if (output.accepted) state.tag = "";
      show();
      remaining(output.remaining ?? []);
      ask(late ? null : scan, output);
    },
    refused(scan, message, late) {
      verdict(box, "bad", "Refused", message, late);
      remember(list, "bad", "Refused", scan.payload, late);
      sound("bad");
      ask(null, {});
    },
    state: (now) => tellQueue(one("#queue"), now),
  });

  const send = (payload, more = {}) => {
    asks.replaceChildren();
    const body = { payload, uuid: uuid(), clientAt: new Date().toISOString(), ...more };
    if (state.bin) body.bin = state.bin;
    if (state.tag && !("tag" in more)) body.tag = state.tag;
    queue.add(body);
  };

  function keepBin(bin) {
    state.bin = bin;
    sessionStorage.setItem(key, bin);
  }

  function show() {
    one("#bin").textContent = state.bin || "not scanned yet";
    one("#tag").textContent = state.tag || "the next free number";
    one("#forget").hidden = !state.tag;
  }

  function remaining(lines) {
    for (const line of lines) {
      const cell = one(`#line-${line.line}`);
      if (cell) cell.textContent = `${line.received} of ${line.quantity}`;
    }
  }

  function button(text, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", act);
    return made;
  }

  function ask(scan, output) {
    asks.replaceChildren();
    if (!scan) return;
    const open = (output.remaining ?? []).filter((line) => line.received < line.quantity);
    const kept = { serial: scan.serial, line: scan.line, reason: scan.reason };
    const given = Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined && value !== ""));
    if (output.verdict === "ambiguous") {
      const serials = [...new Set((output.choices ?? []).filter((choice) => choice.what === "serial").map((choice) => choice.value))];
      if (!scan.serial && serials.length > 1) asks.append(...serials.map((serial) => button(serial, () => send(scan.payload, { ...given, serial }))));
      else asks.append(...open.map((line) => button(`Line ${line.line}: ${line.model}`, () => send(scan.payload, { ...given, line: line.line }))));
    }
    if (output.verdict === "notAnnounced") {
      const label = document.createElement("label"), reason = document.createElement("input");
      label.textContent = "Accept it all the same, because";
      reason.maxLength = 500;
      label.append(reason);
      const lines = output.line ? [{ line: output.line, model: "" }] : open;
      const serial = output.serial ? { serial: output.serial } : {};
      asks.append(label, ...lines.map((line) => button(line.model ? `Accept as ${line.model}` : "Accept", () => {
        if (reason.value.trim()) send(scan.payload, { ...given, ...serial, line: line.line, reason: reason.value.trim() });
        else reason.focus();
      })));
    }
  }

  one("#forget").addEventListener("click", () => { state.tag = ""; show(); one("#code").focus(); });
  wedge(one("#scan"), one("#code"), send);
  camera(one("#camera"), one("#video"), one("#camera-said"), send);
  show();
  queue.open();
}
