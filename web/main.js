// One script for both: a page from disk has its scene in it, the app asks its server.

import { openApp } from "./app.js";
import { openPage } from "./page.js";

const scene = document.getElementById("scene");
if (scene) openPage(scene.textContent);
else openApp();
