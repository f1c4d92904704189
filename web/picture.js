// The image beside the 3D view, with the bodies and the given joints drawn over it.

import { element, shape } from "./element.js";

export class Picture {
  /** @param onpoint called with { person, joint, x, y } in the panel's pixels, or null */
  constructor(joints, bones, onpoint) {
    this.joints = joints;
    this.bones = bones;
    this.onpoint = onpoint;
    this.image = element("img", { alt: "", draggable: "false" });
    this.drawing = shape("svg", { "aria-hidden": "true" });
    this.root = element("div", { class: "picture" }, this.image, this.drawing);
    this.shown = { bodies: true, joints: true };
  }

  show(frame) {
    this.frame = frame;
    const people = frame.people.length === 1 ? "1 person" : `${frame.people.length} people`;
    this.image.alt = `${frame.name}: ${people} drawn over the image`;
    [this.image.width, this.image.height] = frame.size;
    this.drawing.setAttribute("viewBox", `0 0 ${frame.size[0]} ${frame.size[1]}`);
    const unit = Math.max(...frame.size) / 1000;
    this.drawing.replaceChildren(...frame.people.map((person, index) => this.skeleton(person, index, unit)));
    this.apply();
  }

  toggle(parts) {
    Object.assign(this.shown, parts);
    if (this.frame) this.apply();
  }

  apply() {
    this.image.src = this.shown.bodies ? this.frame.overlay : this.frame.picture;
    this.drawing.classList.toggle("hidden", !this.shown.joints);
  }

  skeleton(person, index, unit) {
    const given = (joint) => person.confidence[joint] > 0;
    const lines = this.bones.filter(([a, b]) => given(a) && given(b)).map(([a, b]) => {
      const [[x1, y1], [x2, y2]] = [person.joints_px[a], person.joints_px[b]];
      return shape("line", { x1, y1, x2, y2, "stroke-width": 2.4 * unit });
    });
    const dots = person.joints_px.flatMap(([cx, cy], joint) => {
      if (!given(joint)) return [];
      const point = (event) => {
        const box = this.root.getBoundingClientRect();
        this.onpoint({ person: index, joint, x: event.clientX - box.left, y: event.clientY - box.top });
      };
      const listeners = { onpointerenter: point, onpointerleave: () => this.onpoint(null) };
      const dot = shape("circle", { cx, cy, r: 4.6 * unit, class: "dot", fill: person.colour, "stroke-width": 1.6 * unit });
      return [dot, shape("circle", { cx, cy, r: 12 * unit, class: "target", ...listeners })];
    });
    return shape("g", {}, ...lines, ...dots);
  }
}
