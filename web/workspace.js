// The workspace of both pages: image, 3D view, people and frames side by side.

import { element } from "./element.js";
import { listPeople, metres, percent, personName, readable } from "./people.js";
import { Picture } from "./picture.js";
import { Player } from "./player.js";
import { unpackFaces, unpackFrame } from "./scene.js";
import { SIDES, Viewer } from "./viewer.js";

const CACHED_FRAMES = 120;

/**
 * Builds the workspace into `host`, and shows the first frame.
 *
 * @param scene the scene document, without need of its frames
 * @param names of the frames
 * @param fetchFrame gives a frame of the document by its number, or a promise of it
 * @param extras elements to stand below the picture
 */
export async function openWorkspace(host, scene, names, fetchFrame, extras = []) {
  const tips = { view: tooltip(), picture: tooltip() };
  const picture = new Picture(scene.joint_names, scene.bones, (found) => point(tips.picture, found));
  const stage = element("div", { class: "stage" });
  const people = element("div", { class: "people" });
  const controls = element("div", { class: "controls" });
  const picturePanel = element("section", { class: "panel", "aria-label": "Image" }, picture.root, tips.picture);
  const cache = new Map();
  let current = null;
  let wanted = 0;
  let viewer = null;

  function point(tip, found) {
    mark(found ? found.person : null);
    tip.hidden = !found || !current;
    if (tip.hidden) return;
    const person = current.people[found.person];
    tip.replaceChildren(...describe(person, found, scene.joint_names));
    const room = tip.parentElement.clientWidth;
    tip.style.left = `${Math.max(4, Math.min(found.x + 14, room - tip.offsetWidth - 4))}px`;
    tip.style.top = `${found.y + 14}px`;
  }

  function mark(index) {
    viewer?.light(index);
    [...people.children].forEach((card, number) => card.classList.toggle("marked", number === index));
  }

  async function unpacked(number) {
    if (!cache.has(number)) {
      if (cache.size >= CACHED_FRAMES) cache.delete(cache.keys().next().value);
      cache.set(number, Promise.resolve(fetchFrame(number)).then(unpackFrame));
      cache.get(number).catch(() => cache.delete(number));
    }
    return cache.get(number);
  }

  async function show(number) {
    wanted = number;
    const frame = await unpacked(number);
    if (wanted !== number) return; // the slider has moved
    current = frame;
    picture.show(frame);
    const backdrop = new Image();
    backdrop.src = frame.picture;
    await backdrop.decode();
    if (wanted !== number) return;
    viewer?.show(frame, backdrop);
    const open = [...people.querySelectorAll("details")].map((details) => details.open);
    people.replaceChildren(...listPeople(frame, scene.joint_names, (index) => look(index)));
    people.querySelectorAll("details").forEach((details, index) => { details.open = open[index] ?? false; });
    host.dataset.frame = number;
    if (number + 1 < names.length) unpacked(number + 1).catch(() => {}); // likely to be shown next
  }

  function look(index) {
    viewer?.reset(index);
    stage.scrollIntoView({ block: "nearest" });
    mark(index);
  }

  const player = new Player(names, scene.frames_per_second ?? 15, show);
  host.classList.add("workspace");
  host.replaceChildren(
    element("section", { class: "panel view", "aria-label": "3D view" }, stage, tips.view, player.root, controls),
    element("div", { class: "beside" },
      picturePanel,
      ...extras,
      element("section", { "aria-label": "People" }, people,
        element("p", { class: "note small", text: "Heights and spans are those of the bodies: one image does not determine size." }))));
  try {
    viewer = new Viewer(stage, await unpackFaces(scene), scene.bones, {
      margin: names.length > 1 ? 1.35 : 1.12, // room to move in
      onpoint: (found) => point(tips.view, found),
    });
    host.viewer = viewer;
    controls.append(...viewControls(viewer, picture));
  } catch (error) {
    console.warn(error);
    stage.append(element("p", { class: "note", role: "status",
      text: "This browser cannot show 3D: WebGL is missing or disabled. The image and the numbers are shown." }));
  }
  await show(0);
  host.dataset.ready = "yes";
}

function tooltip() {
  const tip = element("div", { class: "tooltip", role: "tooltip" });
  tip.hidden = true;
  return tip;
}

function describe(person, { person: index, joint }, names) {
  const title = element("strong", { text: personName(person, index) });
  if (joint === null) {
    return [title, element("span", { text: `height ${metres(person.height_m)}, arm span ${metres(person.span_m)}` }),
      element("span", { text: `confidence ${percent(person.score)}` })];
  }
  const given = person.confidence[joint] > 0;
  return [title, element("span", { text: given ? `${readable(names[joint])}: ${percent(person.confidence[joint])}` : `${readable(names[joint])}: not given, inferred from the body` })];
}

function viewControls(viewer, picture) {
  const button = (text, label, onclick) => element("button", { type: "button", title: label, "aria-label": label, text, onclick });
  const side = (name, title, onclick) => element("button", { type: "button", text: name, title, onclick });
  const sides = [
    side("Camera", "View of the camera that took the image", () => viewer.lookFromCamera()),
    ...Object.keys(SIDES).map((name) => side(name, `View from: ${name.toLowerCase()}`, () => viewer.look(SIDES[name]))),
  ];
  const moves = [
    button("←", "Turn left", () => viewer.turn(-1, 0)),
    button("→", "Turn right", () => viewer.turn(1, 0)),
    button("+", "Closer", () => viewer.zoom(1)),
    button("−", "Farther", () => viewer.zoom(-1)),
    element("button", { type: "button", text: "Reset", title: "The initial view", onclick: () => viewer.reset() }),
  ];
  const parts = [["bodies", "Bodies"], ["joints", "Joints"], ["picture", "Backdrop"]].map(([part, text]) => {
    const box = element("input", { type: "checkbox", checked: true, onchange: () => {
      viewer.toggle({ [part]: box.checked });
      picture.toggle({ [part]: box.checked });
    } });
    return element("label", {}, box, text);
  });
  return [
    element("div", { class: "group", role: "group", "aria-label": "Sides" }, ...sides),
    element("div", { class: "group", role: "group", "aria-label": "Move" }, ...moves),
    element("div", { class: "group", role: "group", "aria-label": "Show" }, ...parts),
  ];
}
