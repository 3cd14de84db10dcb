/* The softphone: one call at a time, in the browser's protocol of docs/telephony.md. */
import { show, whenKnown } from "./login.js";

const RATE_HZ = 24000;
const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];
const byId = (id) => document.getElementById(id);
const at = (path) => new URL(path, document.baseURI);

let line = null;  /* what goes on; null where nothing does */

const say = (text, wrong = false) => {
  byId("says").textContent = text;
  byId("says").classList.toggle("wrong", wrong);
};

whenKnown((agents) => {
  if (line) return;
  byId("agent").replaceChildren(...agents.map((name) => new Option(name, name)));
  say("Nobody is being called. Choose an agent and press Call; the browser asks for the microphone.");
});

/* --- a call --- */

const microphoneOf = async () => {
  if (!navigator.mediaDevices) throw new Error("Browsers give the microphone to pages over https only, or on this machine.");
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true } });
  } catch (error) {
    const why = {
      NotAllowedError: "The browser may not use the microphone: allow it beside the address, then call again.",
      NotFoundError: "There is no microphone: plug one in, then call again.",
      NotReadableError: "Something else holds the microphone: close it, then call again.",
    };
    throw new Error(why[error.name] || `The microphone cannot be used (${error.name}).`);
  }
};

const addressFor = async (agent) => {
  const answer = await fetch(at("console/calls"), { method: "POST", body: JSON.stringify({ agent }) }).catch(() => null);
  if (!answer) throw new Error("The server does not answer.");
  if (answer.status === 401) { await show(); throw new Error("Log in first."); }
  if (answer.status === 503) throw new Error("The server takes no new call just now: try again in a moment.");
  if (!answer.ok) throw new Error(`The server refuses the call (${answer.status}).`);
  return answer.json();
};

const begin = async () => {
  byId("call").disabled = true;
  say("Calling…");
  const here = { ended: false, context: null, stream: null, socket: null };
  line = here;
  try {
    here.stream = await microphoneOf();
    const { path, call } = await addressFor(byId("agent").value);
    here.context = new AudioContext({ sampleRate: RATE_HZ, latencyHint: "interactive" });
    await here.context.audioWorklet.addModule(at("console/audio.js"));
    if (here.ended) return;
    connect(here, path, call);
  } catch (error) {
    end(here, error.message, true);
  }
};

const connect = (here, path, call) => {
  const address = at(`.${path}`);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  const socket = here.socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  const microphone = here.microphone = new AudioWorkletNode(here.context, "microphone", { numberOfOutputs: 0 });
  const speaker = new AudioWorkletNode(here.context, "speaker", { numberOfInputs: 0, outputChannelCount: [1] });
  microphone.port.onmessage = ({ data }) => {
    if (data.level !== undefined) byId("you").value = Math.min(1, data.level * 4);
    else if (socket.readyState === WebSocket.OPEN && socket.bufferedAmount < 96000) socket.send(data.audio);
  };
  speaker.port.onmessage = ({ data }) => {
    if (data.level !== undefined) byId("it").value = Math.min(1, data.level * 4);
    else if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "mark", name: data.mark }));
  };
  socket.onopen = () => {
    socket.send(JSON.stringify({ type: "start", call, rate_hz: here.context.sampleRate }));
    here.context.createMediaStreamSource(here.stream).connect(microphone);
    speaker.connect(here.context.destination);
    began(here, call);
  };
  socket.onmessage = ({ data }) => {
    if (data instanceof ArrayBuffer) return speaker.port.postMessage({ audio: data }, [data]);
    const said = JSON.parse(data);
    if (said.type === "clear") speaker.port.postMessage({ clear: true });
    else if (said.type === "mark") speaker.port.postMessage({ mark: said.name });
  };
  socket.onclose = ({ code, reason }) => {
    if (here.hungUp) end(here, "You have hung up.");
    else if (code === 1000) end(here, "The agent has hung up.");
    else if (code === 1001) end(here, "The server is about to stop.", true);
    else if (!here.beganAt) end(here, "The call was refused: the server may be full.", true);
    else end(here, `The connection broke (${code}${reason ? `: ${reason}` : ""}).`, true);
  };
  for (const track of here.stream.getTracks()) {
    track.addEventListener("ended", () => { if (!here.ended) say("The microphone is gone: the agent hears silence. Plug it in and call again.", true); });
  }
};

const began = (here, call) => {
  here.beganAt = performance.now();
  say(`Connected to ${byId("agent").value}. The call is ${call}.`);
  byId("keypad").open = true;
  byId("look").hidden = false;
  byId("look").dataset.call = call;
  byId("call").hidden = true;
  byId("hang-up").hidden = false;
  byId("hang-up").focus();
  byId("mute").disabled = false;
  byId("agent").disabled = true;
  for (const key of byId("pad").children) key.disabled = false;
  here.timer = setInterval(() => {
    const s = Math.floor((performance.now() - here.beganAt) / 1000);
    byId("lasts").textContent = `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
  }, 250);
};

const end = (here, text, wrong = false) => {
  if (here.ended) return;
  here.ended = true;
  clearInterval(here.timer);
  for (const track of here.stream ? here.stream.getTracks() : []) track.stop();
  if (here.context) here.context.close();
  if (line === here) line = null;
  byId("call").hidden = byId("call").disabled = false;
  byId("hang-up").hidden = true;
  byId("mute").disabled = true;
  byId("mute").setAttribute("aria-pressed", "false");
  byId("agent").disabled = false;
  for (const key of byId("pad").children) key.disabled = true;
  byId("you").value = byId("it").value = 0;
  say(text, wrong);
};

const hangUp = () => {
  if (!line) return;
  line.hungUp = true;
  if (line.socket && line.socket.readyState === WebSocket.OPEN) {
    line.socket.send(JSON.stringify({ type: "stop" }));
    line.socket.close(1000);
  } else {
    end(line, "You have hung up.");
  }
};

const press = (digit) => {
  if (line && line.beganAt && line.socket.readyState === WebSocket.OPEN) line.socket.send(JSON.stringify({ type: "digit", digit }));
};

for (const key of KEYS) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = key;
  button.disabled = true;
  if (key === "*") button.setAttribute("aria-label", "star");
  if (key === "#") button.setAttribute("aria-label", "hash");
  button.addEventListener("click", () => press(key));
  byId("pad").append(button);
}
byId("call").addEventListener("click", begin);
byId("hang-up").addEventListener("click", hangUp);
byId("mute").addEventListener("click", () => {
  const muted = byId("mute").getAttribute("aria-pressed") !== "true";
  byId("mute").setAttribute("aria-pressed", String(muted));
  line.microphone.port.postMessage({ muted });
});
document.addEventListener("keydown", (event) => {
  if (!event.ctrlKey && !event.metaKey && !event.altKey && event.target.tagName !== "INPUT" && KEYS.includes(event.key)) press(event.key);
});
window.addEventListener("pagehide", () => line && line.socket && line.socket.close(1000));
