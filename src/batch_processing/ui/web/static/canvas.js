// A page as arrays: its regions, what lies above them, and how they become pixels. No document, so that node can test it.

/** Half-open: left, top, right, bottom.
 * @typedef {[number, number, number, number]} Box */

/** @typedef {[number, number, number]} Rgb */

/** @typedef {{box: Box, id: number, confidence: number, why: string, area: number}} Region */

/** What lies above the flats of a page. `own` has 1 or 3 samples a pixel.
 * @typedef {{width: number, height: number, page: [number, number], over: Uint8Array, ink: Uint8Array, own: Uint8Array}} Sheet */

/** The regions of a page: label i stands for `regions[i - 1]`. Boxes are in pixels of the planes.
 * @typedef {{width: number, height: number, page: [number, number], labels: Uint16Array | Uint32Array, regions: Region[],
 *   shown: Map<number, Rgb>, mark: string}} Flats */

/** @typedef {"after" | "flats" | "doubt"} View */

const PAPER = 200; // of 255: what lies above the flats is so light where no line is
const OPEN = 1 / 90; // of a page's width: regions that meet on paper for so long are one area, shorter is a gap of a line

export const OWN = 1 << 24; // ids from here on are this and the colour
export const SAME = 5; // CIE 1976 difference up to which a colour is the palette's
const SURE = 0.75; // regions less sure are doubtful

/** A file of the server: a header in JSON, then planes.
 * @param {ArrayBuffer} buffer */
function opened(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  let at = 8 + length;
  const count = header.width * header.height;
  /** @type {Record<string, Uint8Array | Uint16Array | Uint32Array>} */
  const planes = {};
  for (const [name, type] of header.planes) {
    const samples = name === "own" ? 3 * count : count;
    if (type === "uint16") planes[name] = new Uint16Array(buffer, at, samples);
    else if (type === "uint32") planes[name] = new Uint32Array(buffer, at, samples);
    else planes[name] = new Uint8Array(buffer, at, samples);
    at += planes[name].byteLength;
  }
  return { header, planes };
}

/** @param {ArrayBuffer} buffer
 * @returns {Sheet} */
export function sheetOf(buffer) {
  const { header, planes } = opened(buffer);
  const { width, height, page } = header;
  const own = /** @type {Uint8Array} */ (planes.own ?? planes.gray);
  const [over, ink] = [/** @type {Uint8Array} */ (planes.over), /** @type {Uint8Array} */ (planes.ink)];
  return { width, height, page, over, ink, own };
}

/** @param {ArrayBuffer} buffer
 * @returns {Flats} */
export function flatsOf(buffer) {
  const { header, planes } = opened(buffer);
  const { width, height, page, mark } = header;
  const [sx, sy] = [width / page[0], height / page[1]];
  const regions = header.regions.map((/** @type {any[]} */ row) => ({
    box: /** @type {Box} */ ([
      Math.max(0, Math.floor(row[0] * sx) - 3), Math.max(0, Math.floor(row[1] * sy) - 3),
      Math.min(width, Math.ceil(row[2] * sx) + 3), Math.min(height, Math.ceil(row[3] * sy) + 3),
    ]),
    id: row[4], confidence: row[5], why: row[6], area: row[7],
  }));
  const shown = new Map(header.shown.map((/** @type {number[]} */ [id, r, g, b]) => [id, [r, g, b]]));
  const labels = /** @type {Uint16Array | Uint32Array} */ (planes.labels);
  return { width, height, page, labels, regions, shown, mark };
}

/** The colour of an id: what it is drawn in, else what the references show.
 * @param {number} id
 * @param {Map<number, Rgb>} drawn
 * @param {Map<number, Rgb>} shown
 * @returns {Rgb} */
export function colorOf(id, drawn, shown) {
  return drawn.get(id) ?? shown.get(id) ?? (id >= OWN ? [(id >> 16) & 255, (id >> 8) & 255, id & 255] : [255, 255, 255]);
}

/** Draw a part of a page into RGBA of the part's size, a number a pixel (little-endian).
 * @param {Uint32Array} out
 * @param {Sheet} sheet
 * @param {Flats} flats
 * @param {(id: number) => Rgb} color
 * @param {View} view
 * @param {Box} box */
export function draw(out, sheet, flats, color, view, [left, top, right, bottom]) {
  const count = flats.regions.length + 1;
  const [red, green, blue, doubt] = [new Uint8Array(count), new Uint8Array(count), new Uint8Array(count), new Uint8Array(count)];
  const plain = new Uint32Array(count); // of a region where nothing lies above it
  const opaque = 255 << 24;
  flats.regions.forEach((region, index) => {
    const at = index + 1;
    const [r, g, b] = color(region.id);
    doubt[at] = region.confidence < SURE ? 24 + 200 * (1 - region.confidence / SURE) ** 1.5 : 0;
    [red[at], green[at], blue[at]] = [r, g, b];
    plain[at] = view === "doubt" ? tinted(r, g, b, doubt[at]) : opaque | (b << 16) | (g << 8) | r;
  });
  const { over, ink, own, width } = sheet;
  const samples = own.length === over.length ? 1 : 3;
  const labels = flats.labels, flat = view === "flats";
  let to = 0;
  for (let y = top; y < bottom; y += 1) {
    for (let at = y * width + left, end = y * width + right; at < end; at += 1, to += 1) {
      const label = labels[at], share = over[at];
      if (flat || (share === 255 && ink[at] === 0)) {
        out[to] = plain[label];
        continue;
      }
      let r = red[label], g = green[label], b = blue[label];
      const place = at * samples, ownRed = own[place];
      const ownGreen = samples === 1 ? ownRed : own[place + 1], ownBlue = samples === 1 ? ownRed : own[place + 2];
      if (ink[at] !== 0 && ownRed <= r && ownGreen <= g && ownBlue <= b) {
        r = ownRed; g = ownGreen; b = ownBlue;
      } else {
        // Rounded as the server does: x / 255 for x below 65,536.
        let product = r * share + 128;
        r = (product + (product >> 8)) >> 8;
        product = g * share + 128;
        g = (product + (product >> 8)) >> 8;
        product = b * share + 128;
        b = (product + (product >> 8)) >> 8;
      }
      out[to] = view === "doubt" ? tinted(r, g, b, doubt[label]) : opaque | (b << 16) | (g << 8) | r;
    }
  }
}

/** Gray, and the redder the more doubtful.
 * @param {number} r
 * @param {number} g
 * @param {number} b
 * @param {number} tint 0 to 255 */
function tinted(r, g, b, tint) {
  const gray = 110 + ((r * 77 + g * 150 + b * 29) >> 8) * 0.55;
  const mix = (/** @type {number} */ to) => Math.round(gray + ((to - gray) * tint) / 255);
  return (255 << 24) | (mix(20) << 16) | (mix(62) << 8) | mix(226);
}

/** The smallest box around all of these.
 * @param {Box[]} boxes
 * @returns {Box | null} */
export function around(boxes) {
  if (!boxes.length) return null;
  return boxes.reduce((a, b) => [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])]);
}

/** Where two pages of labels, of one size, differ in label or colour.
 * @param {Flats} a
 * @param {Flats} b
 * @returns {Box | null} */
export function changed(a, b) {
  let left = a.width, top = a.height, right = 0, bottom = 0;
  const now = b.regions.map((region) => region.id), before = a.regions.map((region) => region.id);
  const sure = b.regions.map((region, at) => region.confidence === a.regions[at]?.confidence);
  for (let y = 0, at = 0; y < a.height; y += 1) {
    for (let x = 0; x < a.width; x += 1, at += 1) {
      const was = a.labels[at], is = b.labels[at];
      if (was === is && before[was - 1] === now[is - 1] && sure[is - 1]) continue;
      if (x < left) left = x;
      if (x >= right) right = x + 1;
      if (y < top) top = y;
      bottom = y + 1;
    }
  }
  return right > left ? [left, top, right, bottom] : null;
}

/** The border of some regions, as line segments between pixels: x0, y0, x1, y1, one after the other.
 * @param {Flats} flats
 * @param {Set<number>} chosen labels
 * @returns {Float32Array} */
export function outline(flats, chosen) {
  const box = around([...chosen].flatMap((label) => flats.regions[label - 1]?.box ? [flats.regions[label - 1].box] : []));
  if (!box) return new Float32Array(0);
  const { labels, width, height } = flats;
  const [left, top, right, bottom] = box;
  const inside = new Uint8Array(flats.regions.length + 1);
  for (const label of chosen) inside[label] = 1;
  /** @type {number[]} */
  const found = [];
  const at = (/** @type {number} */ x, /** @type {number} */ y) =>
    x >= 0 && y >= 0 && x < width && y < height ? inside[labels[y * width + x]] : 0;
  for (let y = top; y <= bottom; y += 1) {
    for (let x = left, from = -1; x <= right; x += 1) {
      const edge = x < right && at(x, y - 1) !== at(x, y);
      if (edge && from < 0) from = x;
      else if (!edge && from >= 0) { found.push(from, y, x, y); from = -1; }
    }
  }
  for (let x = left; x <= right; x += 1) {
    for (let y = top, from = -1; y <= bottom; y += 1) {
      const edge = y < bottom && at(x - 1, y) !== at(x, y);
      if (edge && from < 0) from = y;
      else if (!edge && from >= 0) { found.push(x, from, x, y); from = -1; }
    }
  }
  return new Float32Array(found);
}

/** Points deep inside of a region, the deepest first, in pixels of the page: where an edit says what it means. The same region
 * gives the same points.
 * @param {Flats} flats
 * @param {number} label
 * @param {number} most
 * @returns {[number, number][]} */
export function anchors(flats, label, most = 5) {
  const { labels, width, height, page } = flats;
  const [left, top, right, bottom] = flats.regions[label - 1].box;
  const wide = right - left + 2, high = bottom - top + 2; // a border of what is outside
  const depth = new Float32Array(wide * high);
  for (let y = top; y < bottom; y += 1) {
    for (let x = left; x < right; x += 1) {
      if (labels[y * width + x] === label) depth[(y - top + 1) * wide + x - left + 1] = 1e6;
    }
  }
  // Chamfer distances, forth and back: 1 to the side, 1.4 across.
  for (let y = 1; y < high - 1; y += 1) {
    for (let at = y * wide + 1, end = at + wide - 2; at < end; at += 1) {
      if (depth[at]) depth[at] = Math.min(depth[at], depth[at - 1] + 1, depth[at - wide] + 1, depth[at - wide - 1] + 1.4, depth[at - wide + 1] + 1.4);
    }
  }
  for (let y = high - 2; y > 0; y -= 1) {
    for (let at = y * wide + wide - 2, end = y * wide; at > end; at -= 1) {
      if (depth[at]) depth[at] = Math.min(depth[at], depth[at + 1] + 1, depth[at + wide] + 1, depth[at + wide + 1] + 1.4, depth[at + wide - 1] + 1.4);
    }
  }
  const [sx, sy] = [page[0] / width, page[1] / height];
  /** @type {[number, number][]} */
  const points = [];
  /** @type {[number, number, number][]} */
  const taken = [];
  const free = (/** @type {number} */ x, /** @type {number} */ y) =>
    taken.every(([tx, ty, far]) => (x - tx) ** 2 + (y - ty) ** 2 > far * far);
  while (points.length < most) {
    let best = 0, bx = 0, by = 0;
    for (let y = 1; y < high - 1; y += 1) {
      for (let x = 1; x < wide - 1; x += 1) {
        const deep = depth[y * wide + x];
        if (deep > best && free(x, y)) { best = deep; bx = x; by = y; }
      }
    }
    if (!best || (points.length && best < 0.25 * depth[taken[0][1] * wide + taken[0][0]])) break;
    taken.push([bx, by, Math.max(4, 3 * best)]);
    points.push([Math.floor((bx + left - 1 + 0.5) * sx), Math.floor((by + top - 1 + 0.5) * sy)]);
  }
  return points;
}

/** The label at a place of the planes, 0 outside.
 * @param {Flats} flats
 * @param {number} x
 * @param {number} y */
export function labelAt(flats, x, y) {
  const [column, row] = [Math.floor(x), Math.floor(y)];
  const outside = column < 0 || row < 0 || column >= flats.width || row >= flats.height;
  return outside ? 0 : flats.labels[row * flats.width + column];
}

/** A stroke with no more points than its shape needs.
 * @param {[number, number][]} trail */
export function thinned(trail) {
  const found = [trail[0]];
  for (const point of trail) {
    const last = found[found.length - 1];
    if (Math.hypot(point[0] - last[0], point[1] - last[1]) >= 1.5) found.push(point);
  }
  return found.slice(0, 5000);
}

/** Regions, and all that no line parts from them: what a person sees as one area is often several regions.
 * @param {Flats} flats
 * @param {Sheet} sheet
 * @param {Iterable<number>} chosen
 * @returns {number[]} labels */
export function enclosed(flats, sheet, chosen) {
  const { width, height, labels } = flats, { over } = sheet;
  /** @type {Map<number, number>} */
  const met = new Map(); // pixels at which two regions meet on paper, by both labels
  const count = flats.regions.length + 1;
  const meet = (/** @type {number} */ one, /** @type {number} */ other) => {
    if (!one || !other) return;
    const pair = Math.min(one, other) * count + Math.max(one, other);
    met.set(pair, (met.get(pair) ?? 0) + 1);
  };
  for (let at = 0, end = width * height; at < end; at += 1) {
    if (over[at] < PAPER) continue;
    const label = labels[at];
    if (at + width < end && labels[at + width] !== label && over[at + width] >= PAPER) meet(label, labels[at + width]);
    if ((at + 1) % width && labels[at + 1] !== label && over[at + 1] >= PAPER) meet(label, labels[at + 1]);
  }
  /** @type {Map<number, number[]>} */
  const beside = new Map();
  for (const [pair, long] of met) {
    if (long < OPEN * width) continue;
    const [one, other] = [Math.floor(pair / count), pair % count];
    beside.set(one, [...(beside.get(one) ?? []), other]);
    beside.set(other, [...(beside.get(other) ?? []), one]);
  }
  const found = new Set(chosen);
  for (const label of found) for (const other of beside.get(label) ?? []) found.add(other); // a Set goes on with what is added
  return [...found];
}

/** The regions most of which lies inside of a drawn loop.
 * @param {Flats} flats
 * @param {[number, number][]} loop in pixels of the planes
 * @returns {Set<number>} */
export function inside(flats, loop) {
  const count = new Uint32Array(flats.regions.length + 1);
  const low = Math.max(0, Math.floor(Math.min(...loop.map((point) => point[1]))));
  const high = Math.min(flats.height, Math.ceil(Math.max(...loop.map((point) => point[1]))));
  for (let y = low; y < high; y += 1) {
    const cuts = [];
    for (let i = 0; i < loop.length; i += 1) {
      const [x0, y0] = loop[i], [x1, y1] = loop[(i + 1) % loop.length];
      if (y0 <= y + 0.5 !== y1 <= y + 0.5) cuts.push(x0 + ((y + 0.5 - y0) * (x1 - x0)) / (y1 - y0));
    }
    cuts.sort((a, b) => a - b);
    for (let i = 0; i + 1 < cuts.length; i += 2) {
      const from = Math.max(0, Math.ceil(cuts[i] - 0.5)), to = Math.min(flats.width, Math.ceil(cuts[i + 1] - 0.5));
      for (let x = from; x < to; x += 1) count[flats.labels[y * flats.width + x]] += 1;
    }
  }
  const scale = (flats.width * flats.height) / (flats.page[0] * flats.page[1]);
  const found = new Set();
  flats.regions.forEach((region, at) => {
    if (region.area > 0 && count[at + 1] > 0.5 * region.area * scale) found.add(at + 1);
  });
  return found;
}

/** CIE Lab (D65) of sRGB.
 * @param {Rgb} rgb */
export function lab(rgb) {
  const [r, g, b] = rgb.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  const f = (/** @type {number} */ t) => (t > (6 / 29) ** 3 ? Math.cbrt(t) : t / (3 * (6 / 29) ** 2) + 4 / 29);
  const x = f((0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047);
  const y = f(0.2126729 * r + 0.7151522 * g + 0.072175 * b);
  const z = f((0.0193339 * r + 0.119192 * g + 0.9503041 * b) / 1.08883);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

/** The id of a palette that a picked colour is: the nearest within SAME, else the colour's own.
 * @param {Rgb} rgb
 * @param {Iterable<[number, Rgb]>} palette
 * @returns {number} */
export function snapped(rgb, palette) {
  const here = lab(rgb);
  let best = SAME, found = OWN + ((rgb[0] << 16) | (rgb[1] << 8) | rgb[2]);
  for (const [id, color] of palette) {
    const there = lab(color);
    const away = Math.hypot(here[0] - there[0], here[1] - there[1], here[2] - there[2]);
    if (away <= best) { best = away; found = id; }
  }
  return found;
}

/** A colour of a `palette.json`.
 * @typedef {{id: number, rgb: Rgb, reference: Rgb, name?: string, locked?: boolean}} Entry */

const ALIKE = 9; // CIE 1976 difference up to which a colour of the references is the series' (see docs/colours.md)

/** The colours of a `palette.json`. An Error where it is none.
 * @param {string} text
 * @returns {Entry[]} */
export function paletteOf(text) {
  const rgb = (/** @type {any} */ value) => {
    if (typeof value === "string" && /^#[0-9a-f]{6}$/i.test(value)) return rgbOf(value);
    const right = Array.isArray(value) && value.length === 3 && value.every((one) => Number.isInteger(one) && one >= 0 && one <= 255);
    if (!right) throw new TypeError("no colour");
    return /** @type {Rgb} */ (value);
  };
  const { colors } = JSON.parse(text);
  return colors.map((/** @type {any} */ one) => {
    if (!Number.isInteger(one.id) || one.id < 0) throw new TypeError("no id");
    return {
      id: one.id, rgb: rgb(one.rgb), reference: rgb(one.reference ?? one.rgb), name: one.name === undefined ? undefined : String(one.name),
      locked: one.locked === undefined ? undefined : Boolean(one.locked),
    };
  });
}

/** What the colours of another chapter's palette say of those of this book: each is the one that looks the same in the
 * references, by its id where that is it, else the nearest; what this book has not comes as a colour of its own.
 * @param {Entry[]} entries
 * @param {Map<number, Rgb>} known what the references of this book show for its ids
 * @returns {Entry[]} */
export function matched(entries, known) {
  /** @type {Map<number, {away: number, entry: Entry}>} */
  const found = new Map();
  const far = (/** @type {Rgb} */ a, /** @type {Rgb} */ b) => {
    const [here, there] = [lab(a), lab(b)];
    return Math.hypot(here[0] - there[0], here[1] - there[1], here[2] - there[2]);
  };
  for (const entry of entries) {
    const { reference } = entry;
    const same = known.get(entry.id);
    let id = entry.id, away = same ? far(same, reference) : Infinity;
    if (away > ALIKE && entry.id !== 0) {
      for (const [other, color] of known) {
        const there = other === 0 ? Infinity : far(color, reference);
        if (there < away) [id, away] = [other, there];
      }
      if (away > ALIKE) [id, away] = [OWN + ((reference[0] << 16) | (reference[1] << 8) | reference[2]), 0];
    }
    const before = found.get(id);
    if (!before || away < before.away) found.set(id, { away, entry: { ...entry, id, reference: known.get(id) ?? reference } });
  }
  return [...found.values()].map(({ entry }) => entry);
}

/** @param {Rgb} rgb */
export const hex = (rgb) => "#" + rgb.map((value) => value.toString(16).padStart(2, "0")).join("");

/** @param {string} text
 * @returns {Rgb} */
export const rgbOf = (text) => [parseInt(text.slice(1, 3), 16), parseInt(text.slice(3, 5), 16), parseInt(text.slice(5, 7), 16)];
