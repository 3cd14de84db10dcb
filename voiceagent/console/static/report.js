"use strict";
const call = JSON.parse(document.getElementById("call").textContent);
const player = document.getElementById("player");
const strip = document.getElementById("strip");
const lanes = document.getElementById("lanes");

/* Time stands on two axes: that of the call, which everything is told in, and that of the recording. */
const offsetMs = call.sound ? call.sound.offset_ms : 0;
const ROW = 20, PHASES = 24, WAVE = 58, AXIS = 18;

const make = (tag, name, text) => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
};
const clock = (ms) => {
  const s = Math.max(0, ms) / 1000, m = Math.floor(s / 60);
  return `${m}:${(s - 60 * m).toFixed(1).padStart(4, "0")}`;
};
const seek = (ms) => {
  if (call.sound) player.currentTime = Math.max(0, (ms + offsetMs) / 1000);
  else showCursor(ms);
};
const nowMs = () => player.currentTime * 1000 - offsetMs;

/* --- head --- */
document.getElementById("flow").textContent = call.flow;
document.getElementById("about").textContent = call.about;
for (const text of call.notices) document.getElementById("notices").append(make("li", "", text));
for (const [name, value] of call.figures) {
  const box = make("div");
  box.append(make("dt", "", name), make("dd", "", value));
  document.getElementById("figures").append(box);
}

/* --- timeline --- */
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
const phases = on("phase"), callers = on("caller"), agents = on("agent", "filler"), work = on("tool", "prefetch");
const workRows = rowsOf(work);
const workHeight = work.length ? (Math.max(...workRows) + 1) * ROW : 0;
const top0 = { phase: 0, caller: PHASES, agent: PHASES + WAVE + ROW, work: PHASES + 2 * (WAVE + ROW), points: PHASES + 2 * (WAVE + ROW) + workHeight };
const height = top0.points + ROW + AXIS;
const canvas = make("canvas");
canvas.setAttribute("role", "img");
canvas.setAttribute("aria-label", "Sound of the caller above, of the agent below");
const cursor = make("div");
cursor.id = "cursor";
cursor.style.height = `${height}px`;
lanes.style.height = `${height}px`;
lanes.append(canvas, cursor);

const placed = [];
const place = (element, fromMs, untilMs, y) => {
  element.style.top = `${y}px`;
  placed.push([element, fromMs, untilMs]);
  lanes.append(element);
};
const button = (name, text, says, fromMs) => {
  const element = make("button", name, text);
  element.type = "button";
  element.tabIndex = -1;  /* the same can be reached by the transcript; hundreds of stops help nobody */
  element.title = says;
  element.addEventListener("click", () => seek(fromMs));
  element.addEventListener("mouseenter", () => { document.getElementById("hover").textContent = says; });
  return element;
};
const describe = (span) => `${clock(span.from_ms)}–${clock(span.until_ms)} ${span.track}: ${span.text}${span.note ? ` (${span.note})` : ""}`;
phases.forEach((span, n) => place(button(`span phase${n % 2 ? " odd" : ""}`, span.text, describe(span), span.from_ms), span.from_ms, span.until_ms, top0.phase));
for (const span of callers) place(button("span caller", span.text || "(no words)", describe(span), span.from_ms), span.from_ms, span.until_ms, top0.caller + WAVE);
for (const span of agents) place(button(`span ${span.track}`, span.text, describe(span), span.from_ms), span.from_ms, span.until_ms, top0.agent + WAVE);
work.forEach((span, n) => place(button(`span ${span.track}`, span.text, describe(span), span.from_ms), span.from_ms, span.until_ms, top0.work + workRows[n] * ROW));
const SIGNS = { mark: "|", key: "#", decision: "◇", cache: "✓", problem: "!" };
for (const point of call.points) place(button(`point ${point.kind}`, SIGNS[point.kind], `${clock(point.at_ms)} ${point.kind}: ${point.text}`, point.at_ms), point.at_ms, null, top0.points);

let pxPerMs = 0, whole = true;
const fit = () => strip.clientWidth / Math.max(1, call.duration_ms);
const zoom = (factor) => {
  whole = factor === 0;
  const middleMs = (strip.scrollLeft + strip.clientWidth / 2) / (pxPerMs || 1);
  pxPerMs = Math.min(Math.max(fit(), factor ? pxPerMs * factor : 0), 1);
  lanes.style.width = `${Math.ceil(call.duration_ms * pxPerMs)}px`;
  for (const [element, fromMs, untilMs] of placed) {
    element.style.left = `${fromMs * pxPerMs}px`;
    if (untilMs !== null) element.style.width = `${Math.max(3, (untilMs - fromMs) * pxPerMs - 1)}px`;
  }
  strip.scrollLeft = middleMs * pxPerMs - strip.clientWidth / 2;
  draw();
  if (call.sound) showCursor(nowMs());
};
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
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
    pen.fillText(`${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`, x + 3, height - 4);
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
window.addEventListener("resize", () => zoom(whole ? 0 : 1));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
document.getElementById("closer").addEventListener("click", () => zoom(2));
document.getElementById("further").addEventListener("click", () => zoom(0.5));
document.getElementById("whole").addEventListener("click", () => zoom(0));
canvas.addEventListener("click", (event) => seek((strip.scrollLeft + event.offsetX) / pxPerMs));

/* --- transcript --- */
const rows = [];
for (const span of call.spans) {
  if (span.track === "phase") {
    document.getElementById("transcript").append(make("li", "phase-row", span.text));
  } else if (["caller", "agent", "filler"].includes(span.track) && (span.text || span.note)) {
    const item = make("li"), line = make("button");
    line.type = "button";
    const words = make("span", "", span.text);
    if (span.note) words.append(" ", make("span", "unheard", span.note));
    line.append(make("time", "", clock(span.from_ms)), make("span", `who ${span.track}`, span.track), words);
    line.addEventListener("click", () => { seek(span.from_ms); if (call.sound) player.play().catch(() => {}); });
    item.append(line);
    document.getElementById("transcript").append(item);
    rows.push([span, line]);
  }
}
if (!rows.length) document.getElementById("transcript").append(make("li", "empty", "Nobody said anything in this call."));

/* --- turns --- */
const stagesOf = (turn) => {
  const points = [["listening", "waiting for them to go on", turn.decided_ms ?? turn.asked_ms], ["asking", "until the model was asked", turn.asked_ms], ["thinking", "until there were words", turn.first_words_ms], ["speaking", "until they were heard", turn.answered_ms]];
  let before = turn.ended_ms;
  return points.filter(([, , at]) => at !== null).map(([name, what, at]) => {
    const took = Math.max(0, at - before);
    before = Math.max(before, at);
    return { name, what, took };
  });
};
const box = document.getElementById("turns");
if (!call.turns.length) {
  box.append(make("p", "empty", "The caller had no turn."));
} else {
  const table = make("table"), head = make("tr"), longest = Math.max(1, ...call.turns.map((turn) => (turn.answered_ms ?? turn.ended_ms) - turn.ended_ms));
  for (const text of ["Said until", "First sound", "Answer", "Stages"]) head.append(make("th", "", text));
  table.append(head);
  for (const turn of call.turns) {
    const row = make("tr"), first = turn.filler_ms ?? turn.answered_ms, fall = make("div", "fall");
    for (const { name, what, took } of stagesOf(turn)) {
      const part = make("i", name);
      part.style.width = `${(100 * took) / longest}%`;
      part.title = `${took} ms ${what}`;
      fall.append(part);
    }
    const cell = make("td");
    cell.append(fall);
    cell.style.width = "50%";
    row.append(make("td", "", clock(turn.ended_ms)), make("td", "ms", first === null ? "none" : `${first - turn.ended_ms} ms`), make("td", "ms", turn.answered_ms === null ? "none" : `${turn.answered_ms - turn.ended_ms} ms`), cell);
    table.append(row);
  }
  const key = make("p", "empty", "Blue: waiting for the caller to go on. Teal: until the model was asked. Violet: until there were words. Green: until they were heard.");
  box.append(table, key);
}
document.getElementById("path").textContent = phases.map((span) => span.text).join(" → ");
const told = call.points.filter((point) => point.kind !== "mark");
for (const point of told) {
  const item = make("li", point.kind);
  item.append(make("time", "", clock(point.at_ms)), ` ${point.text}`);
  document.getElementById("events").append(item);
}
if (!told.length) document.getElementById("events").append(make("li", "empty", "Nothing was decided or went wrong."));

/* --- playing --- */
let shown = null;
const showCursor = (ms) => {
  const x = Math.min(Math.max(0, ms), call.duration_ms) * pxPerMs;
  cursor.style.left = `${x}px`;
  if (!player.paused && (x < strip.scrollLeft || x > strip.scrollLeft + strip.clientWidth)) strip.scrollLeft = x - 40;
  const row = rows.findLast(([span]) => span.from_ms <= ms + 50);
  if (row && row[1] !== shown) {
    if (shown) shown.classList.remove("now");
    shown = row[1];
    shown.classList.add("now");
  }
};
const follow = () => { showCursor(nowMs()); if (!player.paused) requestAnimationFrame(follow); };
player.addEventListener("play", follow);
player.addEventListener("seeked", () => showCursor(nowMs()));
player.addEventListener("error", () => document.getElementById("notices").append(make("li", "", "The recording cannot be played here.")));
document.addEventListener("keydown", (event) => {
  if (event.target instanceof HTMLButtonElement || event.target === player || event.ctrlKey || event.metaKey || event.altKey) return;
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
if (call.sound) player.src = call.sound.src; else player.remove();
zoom(0);
