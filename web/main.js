// Entry point of both pages: a page from disk contains its scene, the app requests it from the server.

import { openApp } from "./app.js";
import { openPage } from "./page.js";

const scene = document.getElementById("scene");
if (scene) openPage(scene.textContent);
else openApp();
