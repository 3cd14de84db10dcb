"use strict";
/* How a call looks, on every page that shows one: `showCall` draws it, and draws it again when there is more of it. */
const player = document.getElementById("player");
const strip = document.getElementById("strip");
const lanes = document.getElementById("lanes");
const ROW = 20, PHASES = 24, WAVE = 58, AXIS = 18;
const SIGNS = { mark: "|", key: "#", decision: "◇", cache: "✓", problem: "!" };

let call = { figures: [], notices: [], duration_ms: 0, spans: [], points: [], turns: [], silences: [], tokens: [], graph: "", sound: null };
/* Time stands on two axes: that of the call, which everything is told in, and that of the recording. */
let offsetMs = 0;

const make = (tag, name, text) => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
};
const clock = (ms) => {
  const s = Math.floor(Math.max(0, ms) / 100) / 10, m = Math.floor(s / 60);
  return `${m}:${(s - 60 * m).toFixed(1).padStart(4, "0")}`;
};
const seek = (ms) => {
  if (call.sound) player.currentTime = Math.max(0, (ms + offsetMs) / 1000);
  else showCursor(ms);
};
const nowMs = () => player.currentTime * 1000 - offsetMs;

/* Have these things in a list, in their order; what is there already stays, and what is focused stays so. */
const keep = (parent, things, built) => {
  const present = [...parent.children], more = document.createDocumentFragment();
  things.forEach((thing, n) => {
    const key = JSON.stringify(thing), there = present[n];
    if (there && there.key === key) return;
    const element = built(thing), focused = there && there.contains(document.activeElement);
    element.key = key;
    if (there) there.replaceWith(element); else more.append(element);
    if (focused) (element.matches("button") ? element : element.querySelector("button") || strip).focus({ preventScroll: true });
  });
  parent.append(more);
  for (const left of present.slice(things.length)) left.remove();
};
const inside = (id) => document.getElementById(id);
const empty = (text) => make("p", "empty", text);

/* --- head --- */
const showHead = () => {
  keep(inside("notices"), call.notices, (text) => make("li", "", text));
  keep(inside("figures"), call.figures, ([name, value]) => {
    const box = make("div");
    box.append(make("dt", "", name), make("dd", "", value));
    return box;
  });
};

/* --- timeline --- */
const canvas = make("canvas"), cursor = make("div"), marks = make("div"), probe = make("i");
canvas.setAttribute("role", "img");
canvas.setAttribute("aria-label", "Sound of the caller above, of the agent below");
cursor.id = "cursor";
probe.hidden = true;
lanes.append(canvas, marks, cursor, probe);
let height = 0, top0 = {};

const rowsOf = (spans) => {
  const ends = [];
  return spans.map((span) => {
    let row = ends.findIndex((end) => end <= span.from_ms);
    if (row < 0) row = ends.length;
    ends[row] = span.until_ms;
    return row;
  });
};
const on = (...tracks) => call.spans.filter((span) => tracks.includes(span.track));
const describe = (span) => `${clock(span.from_ms)}–${clock(span.until_ms)} ${span.track}: ${span.text}${span.note ? ` (${span.note})` : ""}`;

const mark = ({ name, text, says, from_ms, until_ms, y }) => {
  const element = make("button", name, text);
  element.type = "button";
  element.tabIndex = -1;  /* the same can be reached by the transcript; hundreds of stops help nobody */
  element.title = says;
  element.style.top = `${y}px`;
  element.place = [from_ms, until_ms];
  element.addEventListener("click", () => seek(from_ms));
  element.addEventListener("mouseenter", () => { inside("hover").textContent = says; });
  return element;
};
const showLanes = () => {
  const work = on("tool", "prefetch"), rows = rowsOf(work);
  const workHeight = work.length ? (Math.max(...rows) + 1) * ROW : 0;
  top0 = { phase: 0, caller: PHASES, agent: PHASES + WAVE + ROW, work: PHASES + 2 * (WAVE + ROW), points: PHASES + 2 * (WAVE + ROW) + workHeight };
  height = top0.points + ROW + AXIS;
  cursor.style.height = lanes.style.height = `${height}px`;
  const spanOf = (span, name, y) => ({ name: `span ${name}`, text: span.text || (span.track === "caller" ? "(no words)" : ""), says: describe(span), from_ms: span.from_ms, until_ms: span.until_ms, y });
  keep(marks, [
    ...on("phase").map((span, n) => spanOf(span, `phase${n % 2 ? " odd" : ""}`, top0.phase)),
    ...on("caller").map((span) => spanOf(span, "caller", top0.caller + WAVE)),
    ...on("agent", "filler").map((span) => spanOf(span, span.track, top0.agent + WAVE)),
    ...work.map((span, n) => spanOf(span, span.track, top0.work + rows[n] * ROW)),
    ...call.points.map((point) => ({ name: `point ${point.kind}`, text: SIGNS[point.kind], says: `${clock(point.at_ms)} ${point.kind}: ${point.text}`, from_ms: point.at_ms, until_ms: null, y: top0.points })),
  ], mark);
};

let pxPerMs = 0, whole = true;
const fit = () => strip.clientWidth / Math.max(1, call.duration_ms);
const zoom = (factor) => {
  whole = factor === 0;
  const middleMs = (strip.scrollLeft + strip.clientWidth / 2) / (pxPerMs || 1);
  pxPerMs = Math.min(Math.max(fit(), factor ? pxPerMs * factor : 0), Math.max(1, fit()));
  lanes.style.width = `${Math.floor(call.duration_ms * pxPerMs)}px`;
  for (const element of [...marks.children]) {
    const [fromMs, untilMs] = element.place;
    element.style.left = `${fromMs * pxPerMs}px`;
    if (untilMs !== null) element.style.width = `${Math.max(3, (untilMs - fromMs) * pxPerMs - 1)}px`;
  }
  strip.scrollLeft = whole ? 0 : middleMs * pxPerMs - strip.clientWidth / 2;
  draw();
  if (call.sound) showCursor(nowMs());
};
const colour = (name) => {  /* as a canvas understands it: which of two it is depends on the scheme */
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
};
const draw = () => {
  const width = strip.clientWidth, scale = window.devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const startMs = strip.scrollLeft / pxPerMs, endMs = startMs + width / pxPerMs;
  pen.fillStyle = colour("--silence");
  for (const [fromMs, untilMs] of call.silences) {
    if (untilMs >= startMs && fromMs <= endMs) pen.fillRect((fromMs - startMs) * pxPerMs, top0.caller, (untilMs - fromMs) * pxPerMs, top0.work - top0.caller);
  }
  if (call.sound) {
    wave(pen, call.sound.caller, top0.caller + WAVE / 2, colour("--caller"), startMs, width);
    wave(pen, call.sound.agent, top0.agent + WAVE / 2, colour("--agent"), startMs, width);
  }
  pen.fillStyle = colour("--soft");
  pen.font = "11px system-ui, sans-serif";
  const step = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800].find((s) => s * 1000 * pxPerMs > 64) || 3600;
  for (let s = Math.ceil(startMs / 1000 / step) * step; s * 1000 <= endMs; s += step) {
    const x = (s * 1000 - startMs) * pxPerMs;
    pen.fillRect(x, height - AXIS, 1, 4);
    if (x + 32 < width) pen.fillText(`${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`, x + 3, height - 4);
  }
};
const wave = (pen, peaks, middle, style, startMs, width) => {
  pen.fillStyle = style;
  const perMs = call.sound.peaks_per_s / 1000;
  for (let x = 0; x < width; x += 1) {
    const from = Math.floor((startMs + x / pxPerMs + offsetMs) * perMs), until = Math.max(from + 1, Math.floor((startMs + (x + 1) / pxPerMs + offsetMs) * perMs));
    let peak = 0;
    for (let n = Math.max(0, from); n < until && n < peaks.length; n += 1) peak = Math.max(peak, peaks[n]);
    const half = Math.max(0.5, (peak / 255) * (WAVE / 2 - 2));
    pen.fillRect(x, middle - half, 1, 2 * half);
  }
};
strip.addEventListener("scroll", () => requestAnimationFrame(draw));
new ResizeObserver(() => { if (strip.clientWidth) zoom(whole ? 0 : 1); }).observe(strip);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
inside("closer").addEventListener("click", () => zoom(2));
inside("further").addEventListener("click", () => zoom(0.5));
inside("whole").addEventListener("click", () => zoom(0));
canvas.addEventListener("click", (event) => seek((strip.scrollLeft + event.offsetX) / pxPerMs));

/* --- transcript --- */
const transcript = inside("transcript");
const said = (thing) => {
  const item = make("li");
  if (thing.track === "phase") {
    item.className = "phase-row";
    item.textContent = thing.text;
    return item;
  }
  const line = make(thing.track === "key" ? "div" : "button", thing.track === "key" ? "key-row" : ""), words = make("span", "", thing.text);
  if (thing.note) words.append(thing.text ? " " : "", make("span", thing.note.startsWith("not heard") ? "unheard" : "coming", thing.note));
  line.append(make("time", "", clock(thing.from_ms)), make("span", `who ${thing.track === "key" ? "caller" : thing.track}`, thing.track === "key" ? "keys" : thing.track), words);
  item.append(line);
  item.from_ms = thing.from_ms;
  if (thing.track !== "key") {
    line.type = "button";
    line.addEventListener("click", () => { seek(thing.from_ms); if (call.sound) player.play().catch(() => {}); });
  }
  return item;
};
const showWords = () => {
  const told = call.spans.filter((span) => span.track === "phase" || (["caller", "agent", "filler"].includes(span.track) && (span.text || span.note)));
  const keys = call.points.filter((point) => point.kind === "key").map((point) => ({ track: "key", from_ms: point.at_ms, text: point.text }));
  const things = [...told.map(({ track, from_ms, text, note }) => ({ track, from_ms, text, note: track === "phase" ? "" : note })), ...keys];
  if (keys.length) things.sort((one, other) => one.from_ms - other.from_ms);
  const atEnd = transcript.scrollTop + transcript.clientHeight >= transcript.scrollHeight - 40, before = transcript.children.length;
  keep(transcript, things.length ? things : [{ empty: true }], (thing) => (thing.empty ? make("li", "empty", "Nobody has said anything in this call.") : said(thing)));
  if (call.live && atEnd && transcript.children.length > before) transcript.scrollTop = transcript.scrollHeight;
};

/* --- turns, tools, what is known --- */
const stagesOf = (turn) => {
  const points = [["listening", "waiting for them to go on", turn.decided_ms ?? turn.asked_ms], ["asking", "until the model was asked", turn.asked_ms], ["thinking", "until there were words", turn.first_words_ms], ["speaking", "until they were heard", turn.answered_ms]];
  let before = turn.ended_ms;
  return points.filter(([, , at]) => at !== null).map(([name, what, at]) => {
    const took = Math.max(0, at - before);
    before = Math.max(before, at);
    return { name, what, took };
  });
};
const table = (heads, rows) => {
  const whole = make("table"), head = make("tr");
  for (const text of heads) head.append(make("th", "", text));
  whole.append(head);
  for (const cells of rows) {
    const row = make("tr");
    row.append(...cells);
    whole.append(row);
  }
  return whole;
};
const showTurns = () => {
  const box = inside("turns"), longest = Math.max(1, ...call.turns.map((turn) => (turn.answered_ms ?? turn.ended_ms) - turn.ended_ms));
  if (!call.turns.length) return box.replaceChildren(empty("The caller has had no turn."));
  const rows = call.turns.map((turn) => {
    const first = turn.filler_ms ?? turn.answered_ms, fall = make("div", "fall"), cell = make("td");
    for (const { name, what, took } of stagesOf(turn)) {
      const part = make("i", name);
      part.style.width = `${(100 * took) / longest}%`;
      part.title = `${took} ms ${what}`;
      fall.append(part);
    }
    cell.append(fall);
    cell.style.width = "50%";
    return [make("td", "", clock(turn.ended_ms)), make("td", "ms", first === null ? "none" : `${first - turn.ended_ms} ms`), make("td", "ms", turn.answered_ms === null ? "none" : `${turn.answered_ms - turn.ended_ms} ms`), cell];
  });
  const key = empty("");
  for (const [name, what] of [["listening", "waiting for the caller to go on"], ["asking", "until the model was asked"], ["thinking", "until there were words"], ["speaking", "until they were heard"]]) {
    const part = make("span", "stage", what);
    part.prepend(make("i", `swatch ${name}`));
    key.append(part, " ");
  }
  return box.replaceChildren(table(["Said until", "First sound", "Answer", "Stages"], rows), key);
};
const showWork = () => {
  const work = [...on("tool", "prefetch").map((span) => ({ at: span.from_ms, kind: span.track, name: span.text, how: `${span.until_ms - span.from_ms} ms, ${span.note}`, bad: !["finished", "open"].includes(span.note) })), ...call.points.filter((point) => point.kind === "cache").map((point) => ({ at: point.at_ms, kind: "cache", name: "prefetch hit", how: point.text, bad: false }))];
  work.sort((one, other) => one.at - other.at);
  keep(inside("work"), work.length ? work : [null], (each) => {
    if (!each) return make("li", "empty one", "No tool has run.");
    const item = make("li", each.kind), words = make("span", "name");
    words.append(make("b", "", each.name), " ", make("span", each.bad ? "bad" : "ms", `${each.kind === "prefetch" ? "ahead, " : ""}${each.how}`));
    item.append(make("time", "", clock(each.at)), words);
    return item;
  });
};
const showKnown = () => {
  inside("known-section").hidden = !call.known;
  if (!call.known) return;
  const { facts, grants, why_not } = call.known;
  const rows = [...facts, ["grants", grants.join(", ") || "none"]];
  inside("known").replaceChildren(...(why_not ? [make("dt", "", "Not known"), make("dd", "", why_not)] : rows.flatMap(([name, value]) => [make("dt", "", name), make("dd", "", value)])));
};
const showTokens = () => {
  const counted = call.tokens.filter((each) => each.input || each.output);
  if (!counted.length) return inside("tokens").replaceChildren(empty("No model has counted any: the guided one needs none."));
  const number = (value) => make("td", "number", value.toLocaleString("en"));
  return inside("tokens").replaceChildren(table(["Phase", "Replies", "In", "cached", "Out"], counted.map((each) => [make("td", "", each.phase), number(each.replies), number(each.input), number(each.cached), number(each.output)])));
};
const showEvents = () => {
  const told = call.points.filter((point) => ["decision", "problem"].includes(point.kind)).map(({ kind, at_ms, text }) => ({ kind, at_ms, text }));
  keep(inside("events"), told.length ? told : [null], (point) => {
    const item = make("li", point ? point.kind : "empty", point ? undefined : "Nothing was decided or went wrong.");
    if (point) item.append(make("time", "", clock(point.at_ms)), ` ${point.text}`);
    return item;
  });
};
let drawn = null;
const showGraph = () => {
  inside("path").textContent = on("phase").map((span) => span.text).join(" → ");
  if (drawn === call.graph) return;
  drawn = call.graph;
  if (!call.graph) return inside("graph").replaceChildren(empty(call.no_graph));
  const unstyled = call.graph.replace(/<style>.*?<\/style>/s, "");  /* the page has its own, for both schemes */
  const picture = new DOMParser().parseFromString(unstyled, "image/svg+xml").documentElement;
  const placed = document.importNode(picture, true), box = inside("graph");
  placed.style.minWidth = `${Math.min(640, Number(placed.getAttribute("width")))}px`;  /* smaller, nobody could read it */
  box.replaceChildren(placed);
  const lit = placed.querySelector(".now");
  if (!lit) return undefined;
  const there = lit.getBoundingClientRect(), frame = box.getBoundingClientRect();
  box.scrollBy(there.left + there.width / 2 - frame.left - frame.width / 2, there.top + there.height / 2 - frame.top - frame.height / 2);
  return undefined;
};

/* --- playing --- */
let shown = null;
const showCursor = (ms) => {
  const x = Math.min(Math.max(0, ms), call.duration_ms) * pxPerMs;
  cursor.style.left = `${x}px`;
  if (!player.paused && (x < strip.scrollLeft || x > strip.scrollLeft + strip.clientWidth)) strip.scrollLeft = x - 40;
  let row = null;
  for (const item of transcript.children) if (item.from_ms !== undefined && item.from_ms <= ms + 50) row = item.firstElementChild;
  if (row === shown) return;
  if (shown) { shown.classList.remove("now"); shown.removeAttribute("aria-current"); }
  shown = row;
  if (!row) return;
  row.classList.add("now");
  row.setAttribute("aria-current", "true");
  if (transcript.scrollHeight > transcript.clientHeight) transcript.scrollTop = row.offsetTop - transcript.offsetTop - transcript.clientHeight / 3;
};
const follow = () => { showCursor(nowMs()); if (!player.paused) requestAnimationFrame(follow); };
player.addEventListener("play", follow);
player.addEventListener("seeked", () => showCursor(nowMs()));
player.addEventListener("error", () => { if (player.getAttribute("src")) inside("notices").append(make("li", "", "The recording cannot be played here.")); });
document.addEventListener("keydown", (event) => {
  if (["BUTTON", "INPUT", "SELECT", "TEXTAREA", "SUMMARY"].includes(event.target.tagName) || event.target === player || event.ctrlKey || event.metaKey || event.altKey) return;
  const moves = { ArrowLeft: nowMs() - 2000, ArrowRight: nowMs() + 2000, j: call.turns.find((turn) => turn.ended_ms > nowMs() + 50)?.ended_ms, k: call.turns.findLast((turn) => turn.ended_ms < nowMs() - 50)?.ended_ms };
  if (event.key === " " && call.sound) {
    if (player.paused) player.play().catch(() => {}); else player.pause();
  } else if (moves[event.key] !== undefined) {
    seek(moves[event.key]);
  } else {
    return;
  }
  event.preventDefault();
});

const showCall = (next) => {
  call = next;
  offsetMs = call.sound ? call.sound.offset_ms : 0;
  player.hidden = !call.sound;
  const source = call.sound ? call.sound.src : "";
  if ((player.getAttribute("src") || "") !== source) {
    if (source) player.src = source; else { player.pause(); player.removeAttribute("src"); player.load(); }
  }
  for (const show of [showHead, showLanes, showWords, showTurns, showWork, showKnown, showTokens, showEvents, showGraph]) show();
  zoom(whole ? 0 : 1);
};
