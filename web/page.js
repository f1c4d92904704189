// A page from disk, which contains its scene.

import { element } from "./element.js";
import { openWorkspace } from "./workspace.js";

export async function openPage(text) {
  const host = document.querySelector("main");
  const scene = JSON.parse(text);
  document.querySelector("h1").textContent = scene.title;
  try {
    await openWorkspace(host, scene, scene.frames.map((frame) => frame.name), (number) => scene.frames[number]);
  } catch (error) {
    host.replaceChildren(element("p", { class: "note", role: "alert", text: `This page could not be shown: ${error.message}` }));
  }
}
