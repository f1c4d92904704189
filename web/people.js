// The list of people: names, sizes and confidences as text, usable without a pointer or the 3D view.

import { element } from "./element.js";

export const percent = (value) => `${Math.round(100 * value)} %`;
export const metres = (value) => (value === null ? "unknown" : `${value.toFixed(2)} m`);
export const readable = (name) => name.replaceAll("_", " ");
export const personName = (person, index) =>
  `Person ${index + 1}${person.id === null || person.id === index ? "" : ` (${person.id})`}`;

/** The list elements of a frame's people. @param onlook called with the index of the person to focus */
export function listPeople(frame, jointNames, onlook) {
  if (!frame.people.length) return [element("p", { class: "note", text: "No person was detected in this image." })];
  return [...frame.people.map((person, index) => {
    const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = person.colour;
    const name = element("button", { type: "button", class: "look", title: "Focus this person", onclick: () => onlook(index) },
      swatch, personName(person, index));
    return element("article", { class: "person" },
      name,
      element("dl", {},
        fact("Height", metres(person.height_m), "Standing height of the body"),
        fact("Arm span", metres(person.span_m), "Wrist to wrist, along arms and shoulders"),
        fact("Confidence", percent(person.score), "Mean over the given joints")),
      joints(person, jointNames));
  }), element("p", { class: "note up", text: upright(frame.up) })];
}

/** Where the scene's vertical comes from, in words. */
function upright(up) {
  if (up.source !== "people") return "Up: the camera is taken for level.";
  const from = up.people ? ` from ${up.people} ${up.people === 1 ? "person" : "people"}` : "";
  const off = up.spread_deg ? `, give or take ${Math.round(up.spread_deg)}°` : "";
  return `Up: a guess${from}${off}.`;
}

function fact(term, value, title) {
  return element("div", { title }, element("dt", { text: term }), element("dd", { text: value }));
}

function joints(person, names) {
  const rows = names.map((name, joint) => element("tr", {},
    element("th", { scope: "row", text: readable(name) }),
    element("td", { text: person.confidence[joint] > 0 ? percent(person.confidence[joint]) : "not given" })));
  return element("details", {},
    element("summary", { text: "Joints" }),
    element("table", {},
      element("caption", { class: "unseen", text: "Confidence of each joint" }),
      element("tbody", {}, ...rows)));
}
