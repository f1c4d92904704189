// The app: sends images or keypoints to the server, shows the recovered people and offers downloads.

import { element } from "./element.js";
import { openWorkspace } from "./workspace.js";

const find = (id) => document.getElementById(id);

export async function openApp() {
  const about = await ask("api");
  fillForm(about);
  const send = (files) => recover(files, about);
  find("files").addEventListener("change", () => {
    send([...find("files").files]);
    find("files").value = ""; // so that the same file can be chosen again
  });
  find("paste").addEventListener("submit", (event) => {
    event.preventDefault();
    send([new File([find("keypoints").value], "pasted.json", { type: "application/json" })]);
  });
  for (const id of ["focal", "crop"]) find(id).addEventListener("change", () => {
    if (last) recover(last.files, about, last.fixed);
  });
  acceptDrops(send);
}

function fillForm(about) {
  find("joints").append(...about.joint_orders.map((name) => element("option", { value: name, text: name })));
  find("examples").append(...about.examples.map(({ file, title }) => element("button", { type: "button", text: title, onclick: async () => {
    const answer = await fetch(`examples/${file}`);
    recover([new File([await answer.blob()], file, { type: "application/json" })], about, { joints: "coco" });
  } })));
  find("photos").textContent = about.photos
    ? "an image, or keypoints as JSON, .npy or .npz"
    : "keypoints as JSON, .npy or .npz (this server has no detector for images)";
  find("files").accept = about.photos ? "image/jpeg,image/png,image/webp,.json,.npy,.npz" : ".json,.npy,.npz";
  find("model").textContent = `${about.model}, version ${about.version}`;
}

function acceptDrops(send) {
  let depth = 0; // dragenter and dragleave fire for every element passed
  const mark = (change) => {
    depth = change === 0 ? 0 : depth + change;
    find("drop").classList.toggle("over", depth > 0);
  };
  addEventListener("dragenter", () => mark(1));
  addEventListener("dragleave", () => mark(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    mark(0);
    if (event.dataTransfer.files.length) send([...event.dataTransfer.files]);
  });
}

let last = null; // the latest request, which another camera repeats
let turn = 0; // number of the latest request: responses to earlier ones are dropped

async function recover(files, about, fixed = {}) {
  const mine = ++turn;
  last = { files, fixed };
  say("Working …", "busy");
  const options = new URLSearchParams(fixed);
  if (!fixed.joints) options.set("joints", find("joints").value);
  if (find("height").value) options.set("height", find("height").value);
  if (find("crop").checked) options.set("intrinsics", "none");
  else if (find("focal").value) options.set("intrinsics", `${find("focal").value}mm`);
  const form = new FormData();
  for (const file of files) form.append("file", file);
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  try {
    const most = about.limits.upload_bytes; // checked here: not every browser reads the response of a server that stops reading
    if (bytes > most) throw new Error(`${megabytes(bytes)} are too many: this server accepts ${megabytes(most)} at once.`);
    const result = await ask(`api/people?${options}`, { method: "POST", body: form });
    if (mine !== turn) return;
    await showResult(result, about);
    find("camera").textContent = describeCamera(result.frames[0].camera);
    const count = result.frames.reduce((sum, frame) => sum + frame.people.length, 0);
    const skipped = result.frames.flatMap((frame) => frame.skipped);
    const left = skipped.length ? ` ${skipped.length} left out: ${skipped[0].reason}.` : "";
    say(count ? `${describeCount(result.frames, count)}.${left}` : `No person was detected.${left}`, "done");
  } catch (error) {
    if (mine === turn) say(error.message, "error");
  }
}

const SOURCES = { given: "as given", metadata: "by the metadata of the image", nominal: "a guess from the size of the image" };

function describeCamera(camera) {
  if (!camera?.intrinsics) return "Camera: none, as for a crop; bodies are shown as seen by a camera that faces them.";
  const [across, down] = camera.field_of_view_deg ?? [];
  const size = across ? `, ${camera.focal_length_35mm.toFixed(0)} mm (35 mm equivalent), field of view ${across.toFixed(0)}° × ${down.toFixed(0)}°` : "";
  return `Camera: ${SOURCES[camera.source]}${size}.`;
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;

function describeCount(frames, count) {
  const bodies = count === 1 ? "1 body" : `${count} bodies`;
  return frames.length === 1 ? `${bodies} recovered` : `${bodies} recovered in ${frames.length} pictures`;
}

async function showResult(result, about) {
  const address = `api/results/${result.id}`;
  const host = find("result");
  host.hidden = false;
  delete host.dataset.ready;
  const scene = await ask(`${address}/scene`);
  const shown = () => Number(host.dataset.frame ?? 0);
  await openWorkspace(host, scene, result.frames.map((frame) => frame.stem),
    (number) => ask(`${address}/frames/${number}/scene`), [downloads(about, address, shown)]);
  host.scrollIntoView({ block: "start" });
}

function downloads(about, address, shown) {
  const links = about.formats.map((format) => {
    const link = element("a", { download: true, text: format.name === "overlay" ? "PNG" : format.name.toUpperCase(), title: format.title, "data-format": format.name });
    const point = () => { link.href = format.name === "html" ? `${address}/html` : `${address}/frames/${shown()}/${format.name}`; };
    for (const kind of ["pointerdown", "focus", "click"]) link.addEventListener(kind, point);
    point();
    return link;
  });
  return element("nav", { class: "downloads", "aria-label": "Downloads" }, element("h2", { text: "Download" }), ...links);
}

function say(text, state) {
  const status = find("status");
  status.textContent = text;
  status.dataset.state = state;
}

async function ask(address, options = {}) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error("The server does not respond.");
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error ?? `The server responded with status ${answer.status}.`);
  return body;
}
