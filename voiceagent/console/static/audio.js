/* Runs on the audio thread: the microphone cut into frames of 20 ms, and what the agent says played in its order. */
const FRAME_MS = 20, METER_MS = 60;

class Meter {
  constructor(port) { this.port = port; this.sum = 0; this.count = 0; }
  take(samples) {
    for (const sample of samples) this.sum += sample * sample;
    this.count += samples.length;
    if (this.count < (sampleRate * METER_MS) / 1000) return;
    this.port.postMessage({ level: Math.sqrt(this.sum / this.count) });
    this.sum = this.count = 0;
  }
}

class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.frame = new Int16Array((sampleRate * FRAME_MS) / 1000);
    this.filled = 0;
    this.muted = false;
    this.meter = new Meter(this.port);
    this.port.onmessage = ({ data }) => { this.muted = data.muted; };
  }
  process([input]) {
    const heard = input[0];
    if (!heard) return true;
    this.meter.take(this.muted ? [0] : heard);
    for (const sample of heard) {
      const loud = this.muted ? 0 : Math.max(-1, Math.min(1, sample));
      this.frame[this.filled] = Math.round(loud * 32767);
      this.filled += 1;
      if (this.filled === this.frame.length) {
        const whole = this.frame.slice();
        this.port.postMessage({ audio: whole.buffer }, [whole.buffer]);
        this.filled = 0;
      }
    }
    return true;
  }
}

class Speaker extends AudioWorkletProcessor {
  constructor() {
    super();
    this.queue = [];  /* samples and the names of marks, in the order in which they came */
    this.at = 0;
    this.meter = new Meter(this.port);
    this.port.onmessage = ({ data }) => {
      if (data.clear) { this.queue = []; this.at = 0; }
      else if (data.mark !== undefined) { this.queue.push(data.mark); }
      else { this.queue.push(new Int16Array(data.audio)); }
    };
  }
  process(_inputs, [output]) {
    const out = output[0];
    let filled = 0;
    while (this.queue.length) {
      const next = this.queue[0];
      if (typeof next === "string") {
        this.port.postMessage({ mark: next });
        this.queue.shift();
        continue;
      }
      if (filled === out.length) break;
      while (filled < out.length && this.at < next.length) {
        out[filled] = next[this.at] / 32768;
        filled += 1;
        this.at += 1;
      }
      if (this.at < next.length) break;
      this.queue.shift();
      this.at = 0;
    }
    this.meter.take(out);
    return true;
  }
}

registerProcessor("microphone", Microphone);
registerProcessor("speaker", Speaker);
