// The page on the screen: where it lies, how it is drawn, and what the pointer does on it.
import { around, draw, labelAt, outline } from "./canvas.js";
import { $ } from "./edit-words.js";

/** @typedef {"select" | "lasso" | "brush" | "eraser" | "pick"} Tool */
/** What the stage tells: places are in pixels of the planes, `more` is Shift.
 * @typedef {{click: (x: number, y: number, more: boolean, whole: boolean) => void, twice: (x: number, y: number) => void,
 *   loop: (points: [number, number][], more: boolean) => void, stroke: (points: [number, number][]) => void,
 *   hover: (label: number) => void, pick: (x: number, y: number) => void}} Hooks */

const FARTHEST = 16, NEAREST = 0.05; // of the zoom
const MOVED = 4; // pixels of the screen that a hand may tremble

export class Stage {
  /** @param {Hooks} hooks */
  constructor(hooks) {
    this.hooks = hooks;
    this.root = $("#stage");
    this.paper = $("#paper");
    this.picture = /** @type {HTMLImageElement} */ ($("#picture"));
    this.drawn = /** @type {HTMLCanvasElement} */ ($("#drawn"));
    this.marks = /** @type {HTMLCanvasElement} */ ($("#marks"));
    this.pen = /** @type {CanvasRenderingContext2D} */ (this.marks.getContext("2d"));
    /** @type {import("./canvas.js").Sheet | null} */
    this.sheet = null;
    /** @type {import("./canvas.js").Flats | null} */
    this.flats = null;
    /** @type {(id: number) => import("./canvas.js").Rgb} */
    this.color = () => [255, 255, 255];
    /** @type {import("./canvas.js").View | "before"} */
    this.view = "after";
    /** @type {Tool} */
    this.tool = "select";
    this.size = [1, 1];
    this.place = { x: 0, y: 0, scale: 1 };
    this.fitted = true;
    this.hovered = 0;
    /** @type {Set<number>} */
    this.chosen = new Set();
    /** @type {import("./canvas.js").Box | null} */
    this.framed = null;
    this.brush = { size: 12, color: "#d9480f" };
    /** @type {[number, number][]} */
    this.trail = [];
    this.waiting = false;
    this.space = false;
    /** @type {[number, number] | null} */
    this.pointer = null;
    this.lastDraw = 0; // milliseconds of the last drawing of the page
    this.#listen();
    new ResizeObserver(() => this.#resized()).observe(this.root);
  }

  /** Show a picture of a page until there is more of it, at a size that is known or its own.
   * @param {string} source
   * @param {[number, number] | null} size
   * @param {boolean} stay whether the view stays where it is */
  show(source, size, stay = false) {
    this.sheet = this.flats = null;
    this.drawn.hidden = true;
    this.chosen = new Set();
    this.framed = null;
    this.hovered = 0;
    this.picture.hidden = false;
    if (this.picture.getAttribute("src") !== source) this.picture.src = source;
    const sized = () => this.#sized(size ?? [this.picture.naturalWidth || 1, this.picture.naturalHeight || 1], stay);
    if (size || (this.picture.complete && this.picture.naturalWidth)) sized();
    else this.picture.onload = () => { this.picture.onload = null; if (!this.sheet) sized(); };
  }

  /** Show a page that can be edited.
   * @param {import("./canvas.js").Sheet} sheet
   * @param {import("./canvas.js").Flats} flats */
  open(sheet, flats) {
    this.sheet = sheet;
    this.flats = flats;
    this.drawn.width = sheet.width;
    this.drawn.height = sheet.height;
    this.#sized([sheet.width, sheet.height], false);
    this.redraw();
    this.#shown();
  }

  /** @param {import("./canvas.js").View | "before"} view
   * @param {string} before address of the line art */
  look(view, before) {
    this.view = view;
    if (view === "before" && this.picture.getAttribute("src") !== before) this.picture.src = before;
    this.redraw();
    this.#shown();
  }

  #shown() {
    this.drawn.hidden = !this.sheet || this.view === "before";
    this.picture.hidden = !this.drawn.hidden;
  }

  /** Draw the page again, or a part of it.
   * @param {import("./canvas.js").Box | null} [box] */
  redraw(box) {
    if (!this.sheet || !this.flats || this.view === "before") return;
    const began = performance.now();
    const [left, top, right, bottom] = box ?? [0, 0, this.sheet.width, this.sheet.height];
    if (right <= left || bottom <= top) return;
    const image = new ImageData(right - left, bottom - top);
    draw(new Uint32Array(image.data.buffer), this.sheet, this.flats, this.color, this.view, [left, top, right, bottom]);
    this.drawn.getContext("2d")?.putImageData(image, left, top);
    this.lastDraw = performance.now() - began;
    this.mark();
  }

  // -- where it lies ---------------------------------------------------------------------------------------

  /** @param {number[]} size
   * @param {boolean} stay */
  #sized(size, stay) {
    const same = size[0] === this.size[0] && size[1] === this.size[1];
    this.size = size;
    this.paper.style.width = `${size[0]}px`;
    this.paper.style.height = `${size[1]}px`;
    if (!same && !stay) this.fit();
    else this.#placed();
  }

  #resized() {
    const { width, height } = this.root.getBoundingClientRect();
    const fine = devicePixelRatio || 1;
    this.marks.width = Math.round(width * fine);
    this.marks.height = Math.round(height * fine);
    if (this.fitted) this.fit();
    else this.mark();
  }

  #placed() {
    const { x, y, scale } = this.place;
    this.paper.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    this.paper.classList.toggle("near", scale >= 2.5);
    $("#percent").textContent = `${Math.round(scale * 100)} %`;
    this.mark();
  }

  fit() {
    const { width, height } = this.root.getBoundingClientRect();
    const scale = Math.max(NEAREST, Math.min((width - 24) / this.size[0], (height - 24) / this.size[1], 4));
    this.place = { scale, x: (width - this.size[0] * scale) / 2, y: (height - this.size[1] * scale) / 2 };
    this.fitted = true;
    this.#placed();
  }

  /** Larger or smaller, around a point of the stage or its middle.
   * @param {number} factor
   * @param {number} [x]
   * @param {number} [y] */
  zoom(factor, x, y) {
    const { width, height } = this.root.getBoundingClientRect();
    const [cx, cy] = [x ?? width / 2, y ?? height / 2];
    const scale = Math.min(FARTHEST, Math.max(NEAREST, this.place.scale * factor));
    const ratio = scale / this.place.scale;
    this.place = { scale, x: cx - (cx - this.place.x) * ratio, y: cy - (cy - this.place.y) * ratio };
    this.fitted = false;
    this.#placed();
  }

  /** @param {number} dx
   * @param {number} dy */
  pan(dx, dy) {
    this.place = { ...this.place, x: this.place.x + dx, y: this.place.y + dy };
    this.fitted = false;
    this.#placed();
  }

  /** Bring a box into view, with some of what is around it.
   * @param {import("./canvas.js").Box} box */
  frame(box) {
    this.framed = box;
    const { width, height } = this.root.getBoundingClientRect();
    const [left, top, right, bottom] = box;
    const whole = Math.min((width - 24) / this.size[0], (height - 24) / this.size[1]);
    const scale = Math.min(3, width / (2.2 * (right - left)), height / (2.2 * (bottom - top)));
    if (scale <= whole) { this.fit(); return; }
    // Where the page is larger than the stage, no side of it comes inside.
    const along = (/** @type {number} */ room, /** @type {number} */ size, /** @type {number} */ middle) =>
      size * scale <= room ? (room - size * scale) / 2 : Math.min(12, Math.max(room - size * scale - 12, room / 2 - middle * scale));
    this.place = { scale, x: along(width, this.size[0], (left + right) / 2), y: along(height, this.size[1], (top + bottom) / 2) };
    this.fitted = false;
    this.#placed();
  }

  /** @param {{clientX: number, clientY: number}} event
   * @returns {[number, number]} */
  #at(event) {
    const { left, top } = this.root.getBoundingClientRect();
    const { x, y, scale } = this.place;
    return [(event.clientX - left - x) / scale, (event.clientY - top - y) / scale];
  }

  // -- marks ------------------------------------------------------------------------------------------------

  /** Draw what lies over the page, with the next picture of the screen. */
  mark() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.#marked(); });
  }

  #marked() {
    const { pen, marks, place } = this;
    const fine = devicePixelRatio || 1;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, marks.width, marks.height);
    pen.setTransform(place.scale * fine, 0, 0, place.scale * fine, place.x * fine, place.y * fine);
    pen.lineCap = pen.lineJoin = "round";
    if (this.flats && this.hovered && !this.chosen.has(this.hovered)) this.#border(new Set([this.hovered]), ["#fff", "#2b2b2b"], 1.5);
    if (this.flats && this.chosen.size) this.#border(this.chosen, ["#fff", "#e8590c"], 2.5);
    if (this.trail.length) {
      pen.beginPath();
      this.trail.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      if (this.tool === "lasso") {
        pen.closePath();
        pen.lineWidth = 3 / place.scale; pen.strokeStyle = "#fff"; pen.stroke();
        pen.lineWidth = 1.5 / place.scale; pen.strokeStyle = "#e8590c"; pen.stroke();
      } else {
        if (this.trail.length === 1) pen.lineTo(this.trail[0][0] + 0.01, this.trail[0][1]);
        pen.lineWidth = this.brush.size;
        pen.strokeStyle = this.tool === "eraser" ? "#ffffffb0" : this.brush.color;
        pen.stroke();
      }
    }
    if (this.pointer && (this.tool === "brush" || this.tool === "eraser")) {
      pen.beginPath();
      pen.arc(...this.pointer, this.brush.size / 2, 0, 7);
      pen.lineWidth = 2.5 / place.scale; pen.strokeStyle = "#fff"; pen.stroke();
      pen.lineWidth = 1 / place.scale; pen.strokeStyle = "#222"; pen.stroke();
    }
  }

  /** @param {Set<number>} labels
   * @param {string[]} colors
   * @param {number} wide */
  #border(labels, colors, wide) {
    if (!this.flats) return;
    const lines = this.#outlined(labels, this.flats);
    const path = new Path2D();
    for (let i = 0; i < lines.length; i += 4) {
      path.moveTo(lines[i], lines[i + 1]);
      path.lineTo(lines[i + 2], lines[i + 3]);
    }
    colors.forEach((color, i) => {
      this.pen.lineWidth = (wide * (i ? 1 : 2)) / this.place.scale;
      this.pen.strokeStyle = color;
      this.pen.stroke(path);
    });
  }

  /** @type {{name: string, flats: import("./canvas.js").Flats | null, lines: Float32Array}[]} */
  #known = [];

  /** @param {Set<number>} labels
   * @param {import("./canvas.js").Flats} flats */
  #outlined(labels, flats) {
    const name = [...labels].join();
    let found = this.#known.find((one) => one.name === name && one.flats === flats);
    if (!found) {
      found = { name, flats, lines: outline(flats, labels) };
      this.#known = [found, ...this.#known.slice(0, 3)];
    }
    return found.lines;
  }

  /** @param {Iterable<number>} labels */
  choose(labels) {
    this.chosen = new Set(labels);
    this.mark();
  }

  /** The box of some regions. @param {Iterable<number>} labels */
  boxOf(labels) {
    return around([...labels].map((label) => /** @type {any} */ (this.flats).regions[label - 1].box));
  }

  // -- the pointer ------------------------------------------------------------------------------------------

  #listen() {
    /** @type {Map<number, {x: number, y: number}>} */
    const held = new Map();
    let from = { x: 0, y: 0 }, moved = false, hand = false, acting = false;
    let last = { at: 0, x: 0, y: 0, label: 0 };
    const stage = this.root;
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = stage.getBoundingClientRect();
      const step = event.deltaMode ? 16 * event.deltaY : event.deltaY;
      this.zoom(Math.exp(-step * (event.ctrlKey ? 0.01 : 0.0016)), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    stage.addEventListener("pointerdown", (event) => {
      if (event.target instanceof Element && event.target.closest("button")) return;
      stage.focus({ preventScroll: true });
      stage.setPointerCapture(event.pointerId);
      held.set(event.pointerId, { x: event.clientX, y: event.clientY });
      event.preventDefault();
      if (held.size > 1) { // two fingers move the page
        acting = false;
        this.trail = [];
        hand = moved = true;
        return;
      }
      [from, moved] = [{ x: event.clientX, y: event.clientY }, false];
      hand = this.space || event.button === 1;
      acting = !hand && event.button === 0;
      if (acting && ["brush", "eraser", "lasso"].includes(this.tool) && this.sheet) {
        this.trail = [this.#at(event)];
        this.mark();
      }
    });
    stage.addEventListener("pointermove", (event) => {
      this.pointer = this.#at(event);
      const before = held.get(event.pointerId);
      if (!before) {
        this.#hover(event.pointerType === "touch" ? 0 : this.#labelAt(event));
        if (this.tool !== "select") this.mark();
        return;
      }
      const now = { x: event.clientX, y: event.clientY };
      if (held.size === 2) this.#pinch(held, event.pointerId, now);
      held.set(event.pointerId, now);
      if (held.size > 1) return;
      moved ||= Math.hypot(now.x - from.x, now.y - from.y) > MOVED;
      if (this.trail.length) {
        const points = event.getCoalescedEvents?.() ?? [];
        for (const one of points.length ? points : [event]) this.trail.push(this.#at(one));
        this.mark();
      } else if (moved && (hand || this.tool === "select" || this.tool === "pick" || !this.sheet)) {
        this.pan(now.x - before.x, now.y - before.y);
        stage.classList.add("moving");
      }
    });
    const end = (/** @type {PointerEvent} */ event) => {
      if (!held.delete(event.pointerId)) return;
      stage.classList.remove("moving");
      const trail = this.trail;
      this.trail = [];
      if (event.type === "pointerup" && acting && !held.size) this.#acted(event, trail, moved, last);
      if (!held.size) acting = hand = false;
      last = { at: event.timeStamp, x: event.clientX, y: event.clientY, label: this.#under(event) };
      this.mark();
    };
    stage.addEventListener("pointerup", end);
    stage.addEventListener("pointercancel", end);
    stage.addEventListener("pointerleave", () => { this.pointer = null; this.#hover(0); this.mark(); });
  }

  /** @param {PointerEvent} event
   * @param {[number, number][]} trail
   * @param {boolean} moved
   * @param {{at: number, x: number, y: number, label: number}} last */
  #acted(event, trail, moved, last) {
    const [x, y] = this.#at(event);
    if (this.tool === "lasso" && trail.length > 2) this.hooks.loop(trail, event.shiftKey);
    else if ((this.tool === "brush" || this.tool === "eraser") && trail.length) this.hooks.stroke(trail);
    else if (moved) return;
    else if (this.tool === "pick" || event.altKey) this.hooks.pick(x, y);
    else if (this.#isSecond(event, last)) this.hooks.twice(x, y);
    else this.hooks.click(x, y, event.shiftKey, event.ctrlKey || event.metaKey);
  }

  /** Whether a click is the second of two on one region: somebody quick clicks on two small ones beside each other, too.
   * @param {PointerEvent} event
   * @param {{at: number, x: number, y: number, label: number}} last */
  #isSecond(event, last) {
    const near = event.timeStamp - last.at < 350 && Math.hypot(event.clientX - last.x, event.clientY - last.y) < 8;
    return near && !event.shiftKey && !event.ctrlKey && !event.metaKey && this.#under(event) === last.label;
  }

  /** The region under the pointer, 0 for none.
   * @param {PointerEvent} event */
  #under(event) {
    const [x, y] = this.#at(event);
    return this.flats ? labelAt(this.flats, x, y) : 0;
  }

  /** @param {Map<number, {x: number, y: number}>} held
   * @param {number} moving
   * @param {{x: number, y: number}} now */
  #pinch(held, moving, now) {
    const [[, other]] = [...held].filter(([id]) => id !== moving);
    const before = /** @type {{x: number, y: number}} */ (held.get(moving));
    const { left, top } = this.root.getBoundingClientRect();
    const far = (/** @type {{x: number, y: number}} */ a) => Math.max(10, Math.hypot(a.x - other.x, a.y - other.y));
    this.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
    this.zoom(far(now) / far(before), (now.x + other.x) / 2 - left, (now.y + other.y) / 2 - top);
  }

  /** @param {{clientX: number, clientY: number}} event */
  #labelAt(event) {
    return this.flats && this.view !== "before" ? labelAt(this.flats, ...this.#at(event)) : 0;
  }

  /** @param {number} label */
  #hover(label) {
    if (label === this.hovered) return;
    this.hovered = label;
    this.hooks.hover(label);
    this.mark();
  }
}
