// Unit tests of the editor's canvas work, under node's own runner: `node --test tests/ui/scripts`.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  anchors, around, changed, colorOf, draw, enclosed, flatsOf, hex, inside, lab, labelAt, outline, OWN, rgbOf, sheetOf, snapped,
} from "../../../src/batch_processing/ui/web/static/canvas.js";

/** A file as the server writes it. */
function file(header, ...planes) {
  let text = JSON.stringify(header);
  text += " ".repeat((8 - (text.length % 8)) % 8);
  const bodies = planes.map((plane) => new Uint8Array(plane.buffer));
  const bytes = new Uint8Array(8 + text.length + bodies.reduce((sum, body) => sum + body.length, 0));
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(new TextEncoder().encode(text), 8);
  let at = 8 + text.length;
  for (const body of bodies) { bytes.set(body, at); at += body.length; }
  return bytes.buffer;
}

/** A page of 8 x 4: region 1 left, 2 right, 3 a pixel in the right one. */
function page({ kind = Uint16Array, name = "uint16" } = {}) {
  const labels = new kind(32).map((_, at) => (at % 8 < 4 ? 1 : 2));
  labels[8 + 6] = 3;
  const regions = [[0, 0, 4, 4, 0, 1, "paper", 16], [4, 0, 8, 4, 5, 0.3, "reference", 15], [6, 1, 7, 2, 6, 0.9, "reference", 1]];
  const shown = [[0, 255, 255, 255], [5, 200, 100, 50], [6, 10, 20, 30]];
  return flatsOf(file({ width: 8, height: 4, page: [8, 4], planes: [["labels", name]], mark: "m", regions, shown }, labels));
}

function sheet(samples = 1) {
  const over = new Uint8Array(32).fill(255), ink = new Uint8Array(32), own = new Uint8Array(32 * samples);
  over[9] = 128; // a soft edge
  over[13] = 60; ink[13] = 1; // ink over region 2
  own.fill(20, 13 * samples, 14 * samples);
  over[14] = 100; ink[14] = 1; // ink that is lighter than region 3: multiplied
  own.fill(90, 14 * samples, 15 * samples);
  const planes = [["over", "uint8"], ["ink", "uint8"], [samples === 1 ? "gray" : "own", "uint8"]];
  return sheetOf(file({ width: 8, height: 4, page: [8, 4], planes }, over, ink, own));
}

const pixels = (view, box = [0, 0, 8, 4], samples = 1) => {
  const flats = page(), out = new Uint32Array((box[2] - box[0]) * (box[3] - box[1]));
  draw(out, sheet(samples), flats, (id) => colorOf(id, new Map(), flats.shown), view, box);
  return [...new Uint8Array(out.buffer)].reduce((rows, value, at) => { if (at % 4 < 3) (rows[at >> 2] ??= []).push(value); return rows; }, []);
};

for (const samples of [1, 3]) {
  test(`a pixel is flat, multiplied, or the page's own (${samples} samples)`, () => {
    const drawn = pixels("after", undefined, samples);
    assert.deepEqual(drawn[0], [255, 255, 255]);
    assert.deepEqual(drawn[4], [200, 100, 50]);
    assert.deepEqual(drawn[9], [128, 128, 128]);
    assert.deepEqual(drawn[13], [20, 20, 20]);
    assert.deepEqual(drawn[14], [4, 8, 12]); // round(10 * 100 / 255) and so on
  });
}

test("the area around a region goes as far as no line parts it", () => {
  // 180 wide: regions 1 and 2 meet on paper, 2 and 3 at a line with a gap of one pixel.
  const width = 180, height = 10, labels = new Uint16Array(width * height).map((_, at) => Math.min(3, 1 + Math.floor((at % width) / 60)));
  const regions = [1, 2, 3].map((n) => [60 * (n - 1), 0, 60 * n, height, n, 1, "reference", 600]);
  const flats = flatsOf(file({ width, height, page: [width, height], planes: [["labels", "uint16"]], mark: "m", regions, shown: [] }, labels));
  const over = new Uint8Array(width * height).fill(255), none = new Uint8Array(width * height);
  for (let y = 1; y < height; y += 1) over[y * width + 119] = over[y * width + 120] = 10;
  const planes = [["over", "uint8"], ["ink", "uint8"], ["gray", "uint8"]];
  const above = sheetOf(file({ width, height, page: [width, height], planes }, over, none, none));
  assert.deepEqual(enclosed(flats, above, [1]).sort(), [1, 2]);
  assert.deepEqual(enclosed(flats, above, [3]), [3]);
  assert.deepEqual(enclosed(flats, above, [1, 3]).sort(), [1, 2, 3]);
});

test("flats alone, and doubt where a region is not sure", () => {
  assert.deepEqual(pixels("flats")[13], [200, 100, 50]);
  const doubt = pixels("doubt");
  assert.ok(doubt[4][0] > doubt[4][1] + 40, "red where it is doubtful");
  assert.equal(doubt[0][0], doubt[0][1], "gray where it is sure");
});

test("a part is drawn as it is drawn in the whole", () => {
  const whole = pixels("after");
  assert.deepEqual(pixels("after", [4, 1, 8, 3]), [...whole.slice(12, 16), ...whole.slice(20, 24)]);
});

test("rounding is the server's for every flat and share", () => {
  const flats = page(), out = new Uint32Array(32);
  for (let value = 0; value < 256; value += 1) {
    const lying = sheet();
    lying.ink.fill(0);
    for (let share = 0; share < 256; share += 32) {
      for (let at = 0; at < 32; at += 1) lying.over[at] = Math.min(255, share + at);
      draw(out, lying, flats, () => [value, value, value], "after", [0, 0, 8, 4]);
      for (let at = 0; at < 32; at += 1) assert.equal(out[at] & 255, Math.round((value * lying.over[at]) / 255));
    }
  }
});

test("labels of 32 bits are read, and places outside are none", () => {
  const flats = page({ kind: Uint32Array, name: "uint32" });
  assert.deepEqual([labelAt(flats, 6.5, 1.5), labelAt(flats, 0, 0), labelAt(flats, -0.5, 0), labelAt(flats, 8, 0)], [3, 1, 0, 0]);
});

test("an outline runs around a region and its holes, in long pieces", () => {
  const lines = outline(page(), new Set([2]));
  const length = (every) => [...lines].reduce((sum, _, at) => (at % 4 ? sum : sum + every(lines[at], lines[at + 1], lines[at + 2], lines[at + 3])), 0);
  assert.equal(length((x0, y0, x1, y1) => Math.abs(x1 - x0) + Math.abs(y1 - y0)), 16 + 4);
  assert.equal(lines.length / 4, 8);
  assert.equal(outline(page(), new Set()).length, 0);
});

test("points of a region lie in it, the deepest first, and are the same each time", () => {
  const flats = page();
  const found = anchors(flats, 1);
  assert.ok(found.length >= 1 && found.every(([x, y]) => labelAt(flats, x, y) === 1));
  assert.ok(found[0][0] === 1 || found[0][0] === 2);
  assert.deepEqual(found, anchors(flats, 1));
  assert.deepEqual(anchors(flats, 3), [[6, 1]]);
});

test("a lasso takes what lies mostly inside of it", () => {
  assert.deepEqual([...inside(page(), [[3, 0], [8, 0], [8, 4], [3, 4]])], [2, 3]);
  assert.deepEqual([...inside(page(), [[5.5, 0.5], [7.5, 0.5], [7.5, 2.5], [5.5, 2.5]])], [3]);
});

test("what changed is a box, and nothing is none", () => {
  const before = page(), after = page();
  assert.equal(changed(before, after), null);
  after.regions[2].id = 5;
  assert.deepEqual(changed(before, after), [6, 1, 7, 2]);
  assert.deepEqual(around([[0, 0, 2, 2], [5, 1, 6, 9]]), [0, 0, 6, 9]);
});

test("a picked colour is the palette's within Delta-E 5, else its own", () => {
  const palette = [[0, [255, 255, 255]], [5, [200, 100, 50]]];
  assert.equal(snapped([202, 101, 50], palette), 5);
  assert.equal(snapped([120, 100, 50], palette), OWN + ((120 << 16) | (100 << 8) | 50));
  const [l, a, b] = lab([255, 0, 0]); // a value of the CIE: 53.24, 80.09, 67.20
  assert.ok(Math.hypot(l - 53.24, a - 80.09, b - 67.2) < 0.1);
  assert.deepEqual(rgbOf(hex([1, 128, 255])), [1, 128, 255]);
  assert.deepEqual(colorOf(OWN + 0x102030, new Map(), new Map()), [16, 32, 48]);
});
