// The blind count: the counter says where, then scans what is there. The page knows no expectation, so it cannot give one away.
import { Queue, camera, one, remember, sound, tellQueue, uuid, verdict, wedge } from "./scanner.js";

const WORDS = {
  counted: ["good", "Counted"], duplicate: ["ask", "Scanned before"], unknownCode: ["ask", "Unknown code"],
  unreadable: ["good", "Noted"], outOfScope: ["ask", "Not part of this count"],
};
const PLACE = /^(BIN|RACK)\//i;
const page = one("#count");

if (page) {
  const name = page.dataset.count, key = `cipo-place/${name}`, select = one("#place"), unit = one("#unit");
  const queue = new Queue(`/apis/facilities.cipo/v1/stockcounts/${encodeURIComponent(name)}/count`, {
    answered(scan, output, late) {
      const [mood, word] = WORDS[output.verdict] ?? ["bad", output.verdict ?? "No answer"];
      verdict(one("#verdict"), mood, word, output.message ?? "", late);
      remember(one("#scans"), mood, word, `${scan.place}  ${scan.payload || "unreadable"}`, late);
      if (output.scans !== undefined) one("#total").textContent = output.scans;
      sound(mood);
    },
    refused(scan, message, late) {
      verdict(one("#verdict"), "bad", "Refused", message, late);
      remember(one("#scans"), "bad", "Refused", `${scan.place}  ${scan.payload}`, late);
      sound("bad");
    },
    state: (now) => tellQueue(one("#queue"), now),
  });

  function stand(code) {
    const found = [...select.options].find((option) => option.value.toUpperCase() === code.toUpperCase());
    if (!found) {
      verdict(one("#verdict"), "bad", "Another place", "that bin or rack is not part of this count; its places are in the list");
      sound("bad");
      return;
    }
    select.value = found.value;
    moved();
    verdict(one("#verdict"), "good", found.textContent, "scan what is here, each thing once");
    sound("good");
  }

  function moved() {
    sessionStorage.setItem(key, select.value);
    one("#unit-field").hidden = !select.value.toUpperCase().startsWith("RACK/");
    unit.value = "";
  }

  function send(payload, more = {}) {
    if (PLACE.test(payload.trim())) { stand(payload.trim()); return; }
    if (!select.value) {
      verdict(one("#verdict"), "ask", "Where are you?", "scan the label of the bin or rack first, or choose it above");
      sound("ask");
      return;
    }
    const body = { uuid: uuid(), place: select.value, payload, clientAt: new Date().toISOString(), ...more };
    if (!one("#unit-field").hidden && unit.value) body.unit = Number(unit.value.replace(",", "."));
    unit.value = "";
    queue.add(body);
  }

  select.addEventListener("change", moved);
  one("#unreadable").addEventListener("click", () => send("", { unreadable: true }));
  if ([...select.options].some((option) => option.value === sessionStorage.getItem(key))) select.value = sessionStorage.getItem(key);
  moved();
  wedge(one("#scan"), one("#code"), send);
  camera(one("#camera"), one("#video"), one("#camera-said"), send);
  queue.open();
}
