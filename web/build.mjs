// Bundles the view into src/pose2mesh/web/static: `npm install && npm run build`, in this folder.
import { readFileSync } from "node:fs";
import { build } from "esbuild";

const out = "../src/pose2mesh/web/static";
const licence = readFileSync("node_modules/three/LICENSE", "utf8").trim();
const shared = { bundle: true, minify: true, charset: "utf8", target: "es2022", logLevel: "info" };

await build({
  ...shared,
  entryPoints: ["main.js"],
  outfile: `${out}/pose2mesh.js`,
  format: "iife",
  legalComments: "none", // its licence stands whole at the top, once
  banner: { js: `/*! The 3D view of pose2mesh (Apache-2.0), with three.js 0.187.0:\n\n${licence}\n*/` },
});
await build({ ...shared, entryPoints: ["style.css"], outfile: `${out}/style.css` });
