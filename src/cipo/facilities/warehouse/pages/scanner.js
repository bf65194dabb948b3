// What the pages with a scanner share: the line that a hand scanner types into, the camera, sounds, and the queue that outlives the network.
// A scan is stored on the device first and sent in order; it leaves the store only when the server has judged it. Each has a uuid, so
// sending it twice does nothing twice.

const WAIT_MS = [500, 1000, 2000, 5000, 10000, 30000];
const SAME_CODE_MS = 2500;

export const one = (selector) => document.querySelector(selector);
const csrf = () => one('meta[name="csrf"]')?.content ?? "";

export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

// -- the queue

function database() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("cipo-scans", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("queue", { keyPath: "seq", autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function done(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

export class Queue {
  // path: where scans are posted; answered(scan, output, late), refused(scan, message, late) and state({waiting, offline, signedOut}) are told.
  constructor(path, { answered, refused, state }) {
    Object.assign(this, { path, answered, refused, state, busy: false, failures: 0, timer: 0, born: Date.now(), sent: new Set() });
    this.memory = null;
    addEventListener("online", () => this.run());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.run());
  }

  async open() {
    try {
      this.db = await database();
    } catch {
      this.memory = []; // a private window without storage: scans live as long as the page
    }
    return this.run();
  }

  async add(body) {
    const entry = { path: this.path, body, at: Date.now() };
    if (this.memory) this.memory.push({ ...entry, seq: this.memory.length + 1 });
    else {
      const change = this.db.transaction("queue", "readwrite");
      change.objectStore("queue").add(entry);
      await done(change);
    }
    return this.run();
  }

  async all() {
    if (this.memory) return this.memory;
    return new Promise((resolve, reject) => {
      const request = this.db.transaction("queue").objectStore("queue").getAll();
      request.onsuccess = () => resolve(request.result.filter((entry) => entry.path === this.path));
      request.onerror = () => reject(request.error);
    });
  }

  async drop(entry) {
    if (this.memory) { this.memory = this.memory.filter((one) => one !== entry); return; }
    const change = this.db.transaction("queue", "readwrite");
    change.objectStore("queue").delete(entry.seq);
    await done(change);
  }

  async run() {
    if (this.busy || (!this.db && !this.memory)) return;
    this.busy = true;
    clearTimeout(this.timer);
    try {
      for (let entries = await this.all(); entries.length; entries = await this.all()) {
        if (!(await this.send(entries[0], entries.length))) return;
      }
      this.state({ waiting: 0, offline: false, signedOut: false });
    } finally {
      this.busy = false;
    }
  }

  async send(entry, waiting) {
    const late = entry.at < this.born || this.sent.has(entry.body.uuid);
    let response, body;
    try {
      response = await fetch(this.path, {
        method: "POST",
        credentials: "same-origin",
        headers: { "Content-Type": "application/json", Accept: "application/json", "X-CSRF-Token": csrf() },
        body: JSON.stringify(entry.body),
      });
      body = await response.json();
    } catch {
      return this.later(entry, waiting, { offline: true });
    }
    if (response.ok) {
      await this.drop(entry);
      this.failures = 0;
      this.answered(entry.body, body.output ?? {}, late);
      return true;
    }
    if (response.status === 401) return this.later(entry, waiting, { signedOut: true });
    const again = response.status >= 500 || response.status === 429 || (response.status === 409 && body.reason === "Conflict");
    if (again && !(response.status === 409 && this.failures >= WAIT_MS.length)) return this.later(entry, waiting, { offline: response.status !== 409 });
    await this.drop(entry);
    this.failures = 0;
    this.refused(entry.body, body.message ?? `the server answered ${response.status}`, late);
    return true;
  }

  later(entry, waiting, { offline = false, signedOut = false }) {
    this.sent.add(entry.body.uuid);
    this.state({ waiting, offline, signedOut });
    this.timer = setTimeout(() => this.run(), WAIT_MS[Math.min(this.failures, WAIT_MS.length - 1)]);
    this.failures += 1;
    return false;
  }
}

export function tellQueue(box, { waiting, offline, signedOut }) {
  box.hidden = !waiting;
  const scans = waiting === 1 ? "1 scan waits" : `${waiting} scans wait`;
  if (signedOut) box.textContent = `${scans} on this device: you are signed out. Sign in again in another tab, nothing is lost.`;
  else if (offline) box.textContent = `${scans} on this device: no connection. Go on scanning, they are sent in order when it is back.`;
  else if (waiting) box.textContent = `${scans} to be sent.`;
}

// -- the hand scanner

const CONTROLS = { "]": "\u001d", "^": "\u001e", d: "\u0004" }; // how keyboard-wedge scanners type GS, RS and EOT

export function wedge(form, input, scanned) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const payload = input.value;
    input.value = "";
    input.focus();
    if (payload.trim()) scanned(payload);
  });
  input.addEventListener("keydown", (event) => {
    const control = event.ctrlKey && CONTROLS[event.key];
    if (!control) return;
    event.preventDefault();
    input.setRangeText(control, input.selectionStart, input.selectionEnd, "end");
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, textarea, button, summary, a");
    if (!typing && event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey) input.focus();
  });
}

// -- the camera

export async function camera(button, video, said, scanned) {
  if (!("BarcodeDetector" in window) || !navigator.mediaDevices?.getUserMedia) {
    said.textContent = "This browser cannot read codes with its camera; use a hand scanner, or type the number.";
    return;
  }
  button.hidden = false;
  let stream = null, last = "", lastAt = 0;
  const detector = new BarcodeDetector();
  const stop = () => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    video.hidden = true;
    button.setAttribute("aria-pressed", "false");
  };
  const look = async () => {
    if (!stream) return;
    try {
      for (const { rawValue } of await detector.detect(video)) {
        if (rawValue && (rawValue !== last || Date.now() - lastAt > SAME_CODE_MS)) {
          [last, lastAt] = [rawValue, Date.now()];
          scanned(rawValue);
        }
      }
    } catch { /* a frame that is not ready yet; the next one is */ }
    if (stream) setTimeout(look, 150);
  };
  button.addEventListener("click", async () => {
    if (stream) { stop(); return; }
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      video.srcObject = stream;
      video.hidden = false;
      await video.play();
      button.setAttribute("aria-pressed", "true");
      look();
    } catch {
      said.textContent = "The camera is not available: allow it for this page, or use a hand scanner.";
      stop();
    }
  });
  addEventListener("pagehide", stop);
}

// -- heard and felt, for people who look at the shelf and not at the screen

const TONES = { good: [[880, 0.12]], ask: [[520, 0.1], [660, 0.1]], bad: [[220, 0.18], [180, 0.28]] };
let audio = null;

export function sound(mood) {
  navigator.vibrate?.(mood === "good" ? 40 : mood === "bad" ? [120, 60, 120] : [60, 40, 60]);
  const Context = window.AudioContext ?? window.webkitAudioContext;
  if (!Context || one("#mute")?.checked) return;
  audio ??= new Context();
  let at = audio.currentTime;
  for (const [frequency, length] of TONES[mood]) {
    const tone = audio.createOscillator(), volume = audio.createGain();
    tone.frequency.value = frequency;
    tone.type = mood === "bad" ? "square" : "sine";
    volume.gain.setValueAtTime(0.15, at);
    volume.gain.exponentialRampToValueAtTime(0.001, at + length);
    tone.connect(volume).connect(audio.destination);
    tone.start(at);
    tone.stop(at + length);
    at += length;
  }
}

// -- words on the screen

export function verdict(box, mood, word, message, late) {
  box.className = `scan-verdict is-${mood}`;
  box.replaceChildren();
  const head = document.createElement("strong"), text = document.createElement("p");
  head.textContent = late ? `${word} (sent late)` : word;
  text.textContent = message;
  box.append(head, text);
}

export function remember(list, mood, word, payload, late) {
  const line = document.createElement("li"), badge = document.createElement("span"), code = document.createElement("code"), time = document.createElement("span");
  badge.className = `badge badge-${{ good: "met", ask: "warn", bad: "missed" }[mood]}`;
  badge.textContent = late ? `${word}, late` : word;
  code.textContent = payload.replace(/[\u0000-\u001f]/g, "·").slice(0, 80);
  time.className = "faint small";
  time.textContent = new Date().toLocaleTimeString();
  line.append(badge, " ", code, " ", time);
  list.prepend(line);
  while (list.children.length > 30) list.lastChild.remove();
}
