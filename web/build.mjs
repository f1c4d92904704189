// Bundles the view into src/pose2mesh/visualization/static: `npm install && npm run build`, in this folder.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { build } from "esbuild";

const out = "../src/pose2mesh/visualization/static";
const licence = readFileSync("node_modules/three/LICENSE", "utf8").trim();
// By this the tests see whether the bundle is that of the sources beside it.
const hash = createHash("sha256");
for (const name of readdirSync(".").filter((name) => /\.(js|css)$/.test(name)).sort()) hash.update(readFileSync(name));
const shared = { bundle: true, minify: true, charset: "utf8", target: "es2022", logLevel: "warning" };

await build({
  ...shared,
  entryPoints: ["main.js"],
  outfile: `${out}/pose2mesh.js`,
  format: "iife",
  legalComments: "none", // its licence stands whole at the top, once
  banner: {
    js: `/*! The 3D view of pose2mesh (Apache-2.0), with three.js 0.187.0:\n\n${licence}\n\nSources: ${hash.digest("hex")} */`,
  },
});
await build({ ...shared, entryPoints: ["style.css"], outfile: `${out}/style.css` });
