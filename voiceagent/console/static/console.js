/* The calls of the server: the list of them, and one that is looked at. What is told comes by one WebSocket. */
import { sayOfLine, show, whenKnown } from "./login.js";
import "./softphone.js";

const byId = (id) => document.getElementById(id);
const at = (path) => new URL(path, document.baseURI);
const AGAIN_MS = [500, 1000, 2000, 5000, 10000];

let socket = null, failures = 0, asked = 0;
let rows = { live: [], past: [], not_listed: 0, where: "" };
let looking = null;  /* the call that is looked at, as far as it was told */
let lookFor = null;  /* where to go in it once it is there */

/* --- the line to the server --- */

const tell = (message) => { if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message)); };

const connect = () => {
  if (socket) return;
  const address = at("console/events");
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  const here = socket = new WebSocket(address);
  here.onopen = () => {
    sayOfLine("");
    if (looking) look(looking.id, looking.shown);
    if (searched) search();  /* what was found before is not told any more */
  };
  here.onmessage = ({ data }) => {
    const told = JSON.parse(data);
    failures = 0;
    if (told.live) { rows = told; showLists(); }
    else if (told.found) showFound(told);
    else if (looking && told.number === looking.number) take(told);
  };
  here.onclose = () => {
    socket = null;
    sayOfLine("The line to the server is broken: what is shown may be old. It is tried again.", true);
    setTimeout(async () => { if (await show()) connect(); else setTimeout(again, 5000); }, AGAIN_MS[Math.min(failures, AGAIN_MS.length - 1)]);
    failures += 1;
  };
};
/* Whoever is asked for the token logs in, which connects; where nobody answers it is tried until somebody does. */
const again = async () => { if (!socket && byId("login").hidden && !(await show())) setTimeout(again, 5000); };

/* --- lists --- */

const make = (tag, name, text) => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
};
const lasted = (ms) => `${Math.floor(ms / 60000)}:${String(Math.floor(ms / 1000) % 60).padStart(2, "0")}`;
const when = (ms) => {
  const day = new Date(ms), today = new Date();
  const time = day.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return day.toDateString() === today.toDateString() ? time : `${day.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
};
const entry = (row, hit) => {
  const item = make("li", row.state.split(" ")[0]), button = make("button");
  button.type = "button";
  button.dataset.call = row.id;
  if (looking && looking.id === row.id) button.setAttribute("aria-current", "true");
  const state = row.state === "over" ? lasted(row.duration_ms) : row.state === "live" ? `live, ${lasted(row.duration_ms)}` : row.state;
  const more = [when(row.began_unix_ms), row.state === "over" ? row.ended : row.state === "unreadable" ? row.ended : row.phase, row.id.length > 22 ? `${row.id.slice(0, 20)}…` : row.id].filter(Boolean).join(" · ");
  button.append(make("span", "name", row.flow || "unknown"), make("span", "state", state), make("span", "more", more));
  if (hit && hit.text) button.append(make("span", "more", `“${hit.text.length > 120 ? `${hit.text.slice(0, 119)}…` : hit.text}”`));
  button.addEventListener("click", () => choose(row.id, hit ? hit.at_ms : null));
  item.append(button);
  return item;
};
const fill = (list, items, says) => {
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.call : null;
  list.replaceChildren(...(items.length ? items : [make("li", "empty", says)]));
  if (focused) list.querySelector(`[data-call="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
};
const showLists = () => {
  fill(byId("live"), rows.live.map((row) => entry(row)), !rows.where ? "Reading the calls…" : "No call goes on. Call an agent with the softphone, or by a number that leads here.");
  fill(byId("past"), rows.past.map((row) => entry(row)), !rows.where ? "Reading the calls…" : "No call has been taken yet: those that are over are listed here.");
  if (!rows.where) return;
  byId("live-title").textContent = `Live (${rows.live.length})`;
  byId("past-title").textContent = `Past (${rows.past.length + rows.not_listed})`;
  const older = rows.not_listed ? ` ${rows.not_listed} older ones are not listed: search for them.` : "";
  byId("where").textContent = `These are ${rows.where}.${older}`;
};

let searched = "";
const search = () => {
  const words = byId("words").value.trim();
  searched = words;
  if (!words) { byId("found-box").hidden = true; return; }
  byId("found-box").hidden = false;
  byId("found-title").textContent = `Looking for “${words}”…`;
  tell({ search: words, shown: byId("hidden-too").checked });
};
const showFound = ({ search: words, shown, found }) => {
  if (words !== searched) return;
  byId("found-title").textContent = `Found “${words}” in ${found.length} ${found.length === 1 ? "call" : "calls"}`;
  fill(byId("found"), found.map((each) => entry(each.row, each)), shown ? "No call tells of it." : "No call tells of it in words that are shown. Names and numbers are hidden: search in personal data too.");
};
let typing = 0;
byId("words").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(search, 250); });
byId("hidden-too").addEventListener("change", search);
byId("search").addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(typing); search(); });

/* --- one call --- */

const nothing = (id, shown) => ({ id, shown, number: (asked += 1), head: {}, rows: { spans: [], points: [], turns: [], silences: [] }, sound: null, says: "", drawnAt: -2000 });
const look = (id, shown) => {
  const before = looking;
  looking = nothing(id, shown);
  if (before && before.id === id && shown) looking.sound = before.sound;
  tell({ watch: id, shown, number: looking.number });
};
const choose = (id, atMs = null) => {
  lookFor = atMs;
  if (looking && looking.id === id) return showWhere();
  look(id, false);
  location.hash = `call=${encodeURIComponent(id)}`;
  byId("nothing").hidden = true;
  byId("console").classList.add("looking");
  for (const button of document.querySelectorAll(".calls button")) {
    if (button.dataset.call === id) button.setAttribute("aria-current", "true"); else button.removeAttribute("aria-current");
  }
  byId("one").hidden = false;
  byId("flow").textContent = "Reading the call…";
  byId("about").textContent = id;
  return undefined;
};
const leave = () => {
  const id = looking && looking.id;
  looking = null;
  tell({ watch: null });
  player.pause();
  history.replaceState(null, "", location.pathname + location.search);
  byId("one").hidden = true;
  byId("nothing").hidden = false;
  byId("console").classList.remove("looking");
  for (const button of document.querySelectorAll(".calls [aria-current]")) button.removeAttribute("aria-current");
  if (id) document.querySelector(`.calls [data-call="${CSS.escape(id)}"]`)?.focus();
};
const take = (told) => {
  if (told.gone) {
    looking.head = { notices: ["There is no such call here any more: its record was deleted, or it is another server's."], live: false };
    return showOne();
  }
  Object.assign(looking.head, told.head);
  for (const [name, { length, at: changed }] of Object.entries(told.rows)) {
    const list = looking.rows[name];
    for (const [n, row] of Object.entries(changed)) list[Number(n)] = row;
    list.length = length;
  }
  /* One that is still being read is drawn now and then: thousands of sentences take a second. */
  if (told.more || (looking.head.behind && performance.now() - looking.drawnAt < 2000)) return undefined;
  return showOne();
};
const showOne = () => {
  const { head, rows: lists, shown } = looking;
  byId("flow").textContent = head.flow || "A call that cannot be read";
  if (head.live) byId("flow").prepend(make("i", "lamp"));
  byId("about").textContent = head.flow ? `${head.live ? head.about.replace(/, ended: .*/, ", it goes on") : head.about}, caller: ${head.caller}` : looking.id;
  byId("personal").setAttribute("aria-pressed", String(shown));
  byId("personal").textContent = shown ? "Hide personal data" : "Show personal data";
  const sound = head.recorded ? " The recording is the caller's voice: it is played when personal data is shown." : head.live ? "" : " There is no recording: serve --record makes them.";
  byId("personal-says").textContent = looking.says || (shown ? `Personal data is shown, which the server has logged. Secrets are never shown.${head.recorded ? "" : sound}` : `Names, numbers and what tools have told are hidden. Showing them is logged.${sound}`);
  showCall({ figures: [], notices: [], tokens: [], graph: "", duration_ms: 0, ...head, ...lists, no_graph: "The agent of this call is not served here, so its flow is not at hand.", sound: shown ? looking.sound : null });
  if (shown && head.recorded && !looking.sound && !looking.asked) listen(looking);
  looking.drawnAt = performance.now();
  if (lookFor !== null) showWhere();
};
const listen = async (here) => {
  here.asked = true;
  here.says = "Reading the recording…";
  byId("personal-says").textContent = here.says;
  const answer = await fetch(at(`console/calls/${encodeURIComponent(here.id)}/waves`)).catch(() => null);
  here.says = answer && answer.ok ? "" : "The recording cannot be read: the server's log says why.";
  if (answer && answer.ok) here.sound = await answer.json();
  if (looking === here) showOne();
};
const showWhere = () => {
  if (lookFor === null || !transcript.querySelector("button")) return;
  seek(lookFor);
  const row = [...transcript.children].findLast((item) => item.from_ms !== undefined && item.from_ms <= lookFor + 50);
  lookFor = null;
  row?.querySelector("button")?.focus();
};
byId("personal").addEventListener("click", () => { if (looking) look(looking.id, !looking.shown); });
byId("back").addEventListener("click", leave);
byId("look").addEventListener("click", () => choose(byId("look").dataset.call));
window.addEventListener("hashchange", () => { const id = named(); if (id && (!looking || looking.id !== id)) choose(id); });
const named = () => { const found = /^#call=(.+)$/.exec(location.hash); return found ? decodeURIComponent(found[1]) : null; };

/* --- keys --- */

const step = (by) => {
  const buttons = [...document.querySelectorAll(byId("found-box").hidden ? "#live button, #past button" : "#found button")];
  if (!buttons.length) return;
  const now = buttons.findIndex((button) => (looking ? button.dataset.call === looking.id : button === document.activeElement));
  const next = buttons[Math.min(Math.max(now + by, 0), buttons.length - 1)];
  next.focus();
  next.click();
};
const move = (by) => {
  const list = document.activeElement.closest(".calls");
  if (!list) return false;
  const buttons = [...document.querySelectorAll(".calls button")].filter((button) => button.offsetParent);
  buttons[Math.min(Math.max(buttons.indexOf(document.activeElement) + by, 0), buttons.length - 1)]?.focus();
  return true;
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("console").hidden || byId("keys").open) return;
  const typed = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
  if (event.key === "Escape") {
    if (typed && byId("words").value) { byId("words").value = ""; search(); } else if (typed) event.target.blur(); else if (looking) leave();
  } else if (typed) {
    return;
  } else if (event.key === "/") {
    byId("words").focus();
    byId("words").select();
  } else if (event.key === "?") {
    byId("keys").showModal();
  } else if (event.key === "n" || event.key === "p") {
    step(event.key === "n" ? 1 : -1);
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    if (!move(event.key === "ArrowDown" ? 1 : -1)) return;
  } else {
    return;
  }
  event.preventDefault();
});
byId("help").addEventListener("click", () => byId("keys").showModal());

/* --- light and dark --- */

const root = document.documentElement, system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.scheme ? root.dataset.scheme === "dark" : system.matches);
const nameScheme = () => { byId("scheme").textContent = isDark() ? "Light" : "Dark"; byId("scheme").setAttribute("aria-label", isDark() ? "Light colours" : "Dark colours"); };
try { if (localStorage.getItem("scheme")) root.dataset.scheme = localStorage.getItem("scheme"); } catch { /* a browser may keep nothing */ }
byId("scheme").addEventListener("click", () => {
  root.dataset.scheme = isDark() ? "light" : "dark";
  try { localStorage.setItem("scheme", root.dataset.scheme); } catch { /* then it is asked for again */ }
  nameScheme();
  draw();
});
system.addEventListener("change", nameScheme);
nameScheme();

showLists();
whenKnown(connect);
if (await show() && named()) choose(named());
