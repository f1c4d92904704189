// The slider over frames, with play and pause.

import { element } from "./element.js";

export class Player {
  /** @param onframe called with the number of the frame to show; playback waits for a returned promise */
  constructor(names, framesPerSecond, onframe) {
    this.names = names;
    this.pause_ms = 1000 / framesPerSecond;
    this.onframe = onframe;
    const last = names.length - 1;
    this.slider = element("input", { type: "range", min: 0, max: last, value: 0, step: 1, "aria-label": "Frame",
      oninput: () => { this.stop(); this.go(Number(this.slider.value)); } });
    this.button = element("button", { type: "button", onclick: () => (this.playing ? this.stop() : this.play()), text: "Play" });
    this.label = element("output", {});
    this.root = element("div", { class: "player" }, this.button, this.slider, this.label);
    this.root.hidden = names.length < 2;
    this.say(0);
  }

  async go(number) {
    this.slider.value = number;
    this.say(number);
    await this.onframe(number);
  }

  say(number) {
    this.label.textContent = `${number + 1} / ${this.names.length}`;
    this.slider.setAttribute("aria-valuetext", `frame ${number + 1} of ${this.names.length}: ${this.names[number]}`);
  }

  stop() {
    this.playing = false;
    this.button.textContent = "Play";
  }

  async play() {
    this.playing = true;
    this.button.textContent = "Pause";
    while (this.playing && this.root.isConnected) {
      const rest = new Promise((resolve) => setTimeout(resolve, this.pause_ms));
      await Promise.all([rest, this.go((Number(this.slider.value) + 1) % this.names.length)]);
    }
  }
}
