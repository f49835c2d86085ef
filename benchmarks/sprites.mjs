// Figures for benchmarks/flats_styles.py, from openly licensed vector art (DiceBear; see that module for the licences).
//   npm install @dicebear/core @dicebear/{big-smile,dylan,big-ears,personas,micah,miniavs} @resvg/resvg-js
//   node benchmarks/sprites.mjs node_modules OUT [SERIES]
// A character keeps hair, clothes and colours through its variants; the rest of the face changes. No anti-aliasing.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, out, seriesCount = "8"] = process.argv.slice(2);
const root = path.resolve(modules);
const { Resvg } = createRequire(path.join(root, "any.js"))("@resvg/resvg-js");
const library = (name) => import(pathToFileURL(path.join(root, name, "lib/index.js")));
const { createAvatar } = await library("@dicebear/core");

const CHARACTERS = 4;
const VARIANTS = 6;
const SIZE = 520;
const STYLES = ["big-smile", "dylan", "big-ears", "personas", "micah", "miniavs"];
const SKINS = ["f2d3b1", "ecad80", "c98a5b", "9e5622", "763900", "ffdbb4", "ae5d29", "fd9841"];
const KEPT = /^(top|hair|rearHair|frontHair|head|base|face|cloth|body|shirt|facialHair|beard|mustache|accessor|glasses|sideburn|ear|nose|hat)/;

let state = 777;
const random = () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648;
const pick = (list) => list[Math.floor(random() * list.length)];

function color() {
  const [hue, saturation, value] = [random(), 0.25 + 0.65 * random(), 0.35 + 0.6 * random()];
  const channel = (n) => {
    const k = (n + hue * 6) % 6;
    return Math.round(255 * value * (1 - saturation * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return [5, 3, 1].map((n) => channel(n).toString(16).padStart(2, "0")).join("");
}

function character(properties) {
  const fixed = { backgroundColor: [] };
  for (const [key, { items }] of Object.entries(properties)) {
    if (key === "backgroundColor") continue;
    if (key.endsWith("Color")) fixed[key] = [/skin|base/i.test(key) ? pick(SKINS) : color()];
    else if (key.endsWith("Probability")) fixed[key] = /^(hair|top)/i.test(key) || random() < 0.25 ? 100 : 0;
    else if (KEPT.test(key) && items?.enum) fixed[key] = [pick(items.enum.filter((name) => !/graphic/i.test(name)))];
  }
  return fixed;
}

fs.mkdirSync(out, { recursive: true });
for (const name of STYLES) {
  const style = await library(`@dicebear/${name}`);
  const properties = style.schema.properties;
  const short = name.replaceAll("-", "");
  for (let series = 0; series < Number(seriesCount); series++)
    for (let who = 0; who < CHARACTERS; who++) {
      const fixed = character(properties);
      for (let variant = 0; variant < VARIANTS; variant++) {
        const options = { ...fixed };
        for (const [key, { items }] of Object.entries(properties))
          if (!(key in options) && items?.enum) options[key] = [pick(items.enum)];
        const svg = createAvatar(style, { seed: `${short}${series}${who}${variant}`, size: SIZE, ...options }).toString();
        const picture = new Resvg(svg, { fitTo: { mode: "width", value: SIZE }, shapeRendering: 0 }).render().asPng();
        fs.writeFileSync(path.join(out, `${short}_s${series}c${who}v${variant}_c.png`), picture);
      }
    }
}
