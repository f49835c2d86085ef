// The grid of photos: as many rows in the document as can be seen, of however many there are.
import { make, say } from "./edit-words.js";
import { CAPTION, GAP, HEADING, layout, rowAt, rowOf } from "./library-layout.js";
import { dateName, dayName, monthName, number } from "./library-server.js";

/** @typedef {import("./library-photos.js").Thumb} Thumb */
/** @typedef {import("./library-layout.js").Row} Row */

const BEYOND = 500; // px above and below the window that are drawn, too
const FAST = 2.5; // windows a second, beyond which nothing is fetched until it gets slower
const SETTLED = 90; // milliseconds

export class Grid {
  /** @param {HTMLElement} scroller what scrolls
   * @param {HTMLElement} root what holds the rows
   * @param {{open: (number: number) => void, moved: (date: string) => void, failed: (error: unknown) => void}} hooks */
  constructor(scroller, root, hooks) {
    this.scroller = scroller;
    this.root = root;
    this.hooks = hooks;
    /** @type {import("./library-photos.js").Photos | null} */
    this.photos = null;
    /** @type {import("./library-layout.js").Day[]} */
    this.days = [];
    this.plan = layout([], 800);
    /** @type {Map<number, HTMLElement>} */
    this.drawn = new Map();
    this.active = 0; // the photo that the keyboard is on
    this.lastTop = 0;
    this.lastTime = 0;
    this.frame = 0;
    this.timer = 0;
    this.width = 0; // that it was laid out for
    this.keyed = false; // somebody goes through it by keyboard
    scroller.addEventListener("scroll", () => this.soon(), { passive: true });
    new ResizeObserver(() => this.arrange()).observe(scroller);
    root.addEventListener("keydown", (event) => this.key(event));
    root.addEventListener("click", (event) => {
      const cell = /** @type {HTMLElement} */ (event.target).closest("button");
      if (cell) hooks.open(Number(cell.dataset.number));
    });
    root.addEventListener("focusin", (event) => {
      const cell = /** @type {HTMLElement} */ (event.target).closest("button");
      if (cell) this.at(Number(cell.dataset.number), false);
    });
  }

  /** Show these photos; the place on the screen stays.
   * @param {import("./library-photos.js").Photos} photos */
  show(photos) {
    this.photos = photos;
    this.days = photos.index.days.map(([date, count]) => ({ date, photos: count }));
    this.active = Math.min(this.active, Math.max(0, photos.index.photos - 1));
    this.root.setAttribute("aria-rowcount", "-1");
    this.arrange(true);
  }

  /** Lay out anew where the width, or what there is, has changed.
   * @param {boolean} [anew] */
  arrange(anew = false) {
    const width = this.scroller.clientWidth - 2 * 12;
    if (!this.photos || width <= 0 || (!anew && width === this.width)) { if (this.photos) this.soon(); return; }
    const first = this.firstSeen();
    this.width = width;
    this.plan = layout(this.days, width);
    this.root.style.height = `${this.plan.height + 24}px`;
    this.root.style.setProperty("--side", `${this.plan.side}px`);
    this.clear();
    if (first > 0) this.scroller.scrollTop = this.plan.rows[rowOf(this.plan.rows, first)]?.top ?? 0;
    this.draw();
  }

  /** The first photo that can be seen. */
  firstSeen() {
    const { rows } = this.plan;
    return rows.length ? rows[rowAt(rows, this.scroller.scrollTop + 1)].first : 0;
  }

  clear() {
    for (const element of this.drawn.values()) drop(element);
    this.drawn.clear();
  }

  /** Draw what is here by now of photos that were not, or were without a picture. */
  again() {
    this.clear();
    this.draw();
  }

  soon() {
    if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }

  draw() {
    const { rows } = this.plan, photos = this.photos;
    if (!photos || !rows.length) { this.clear(); return; }
    const top = this.scroller.scrollTop, height = this.scroller.clientHeight, now = performance.now();
    const speed = Math.abs(top - this.lastTop) / Math.max(1, now - this.lastTime) * 1000 / Math.max(1, height);
    const fast = this.lastTime > 0 && now - this.lastTime < 400 && speed > FAST;
    this.lastTop = top;
    this.lastTime = now;
    const from = rowAt(rows, top - BEYOND), to = rowAt(rows, top + height + BEYOND);
    for (const [at, element] of this.drawn) {
      if (at < from || at > to) { drop(element); this.drawn.delete(at); }
    }
    const held = document.activeElement;
    for (let at = from; at <= to; at += 1) {
      if (!this.drawn.has(at)) this.place(at);
    }
    if (!fast) this.fill(from, to);
    clearTimeout(this.timer);
    if (fast) this.timer = setTimeout(() => this.draw(), SETTLED);
    if (held && !held.isConnected && this.hadFocus) this.focus(this.active);
    this.hooks.moved(this.dateAt(top + HEADING));
  }

  /** The day of the row at `y`.
   * @param {number} y */
  dateAt(y) {
    const row = this.plan.rows[rowAt(this.plan.rows, y)];
    let day = 0;
    for (let low = 0, high = this.plan.starts.length; high - low > 1;) {
      const middle = (low + high) >> 1;
      if (this.plan.starts[middle] <= row.first) low = day = middle; else high = middle;
    }
    return this.days[day]?.date ?? "";
  }

  /** Put a row into the document, in its place.
   * @param {number} at */
  place(at) {
    const row = this.plan.rows[at];
    const element = row.month === undefined ? this.row(row) : heading(row);
    element.style.transform = `translateY(${row.top}px)`;
    element.setAttribute("aria-rowindex", String(at + 1));
    this.drawn.set(at, element);
    // In the order in which they are read.
    let next = at + 1;
    while (next < at + 80 && !this.drawn.has(next)) next += 1;
    this.root.insertBefore(element, this.drawn.get(next) ?? null);
  }

  /** @param {Row} row
   * @returns {HTMLElement} */
  row(row) {
    const starts = new Map(row.days.map((first) => [first, this.dayWith(first)]));
    const cells = Array.from({ length: row.photos }, (_, place) => {
      const photo = row.first + place, day = starts.get(photo);
      const button = make("button", { type: "button", class: "photo empty", tabindex: photo === this.active ? "0" : "-1", "data-number": photo });
      const cell = make("div", { role: "gridcell", class: "cell" }, ...(day ? [make("h3", {}, day)] : []), button);
      return cell;
    });
    return make("div", { role: "row", class: row.days.length ? "row captioned" : "row", "data-waits": "" }, ...cells);
  }

  /** The name of the day that begins with a photo.
   * @param {number} first */
  dayWith(first) {
    let low = 0, high = this.plan.starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.plan.starts[middle] <= first) low = middle; else high = middle;
    }
    const { date } = this.days[low];
    return date.length >= 10 ? dayName(date) : "";
  }

  /** Have the photos of these rows fetched, and show them.
   * @param {number} from
   * @param {number} to */
  fill(from, to) {
    const photos = this.photos;
    if (!photos) return;
    const { rows } = this.plan, last = rows[to];
    const fetched = photos.need(rows[from].first, last.first + Math.max(0, last.photos - 1));
    const dress = () => {
      for (const element of this.drawn.values()) {
        if (element.dataset.waits === undefined) continue;
        let whole = true;
        for (const button of element.querySelectorAll("button.empty")) {
          const thumb = photos.at(Number(/** @type {HTMLElement} */ (button).dataset.number));
          if (thumb) wear(/** @type {HTMLElement} */ (button), thumb); else whole = false;
        }
        if (whole) delete element.dataset.waits;
      }
    };
    dress();
    fetched.then(() => { if (this.photos === photos) dress(); }, this.hooks.failed);
  }

  // -- the keyboard ------------------------------------------------------------------------------------------------

  /** Have the keyboard be on a photo.
   * @param {number} photo
   * @param {boolean} [see] scroll to it */
  at(photo, see = true) {
    const before = this.button(this.active);
    if (before && photo !== this.active) before.tabIndex = -1;
    this.active = photo;
    if (see) {
      const { rows } = this.plan, at = rowOf(rows, photo), row = rows[at];
      const above = at > 0 && rows[at - 1].month !== undefined ? HEADING : 0;
      const top = this.scroller.scrollTop, bottom = top + this.scroller.clientHeight;
      if (row.top - above < top) this.scroller.scrollTop = row.top - above;
      else if (row.top + row.height > bottom) this.scroller.scrollTop = row.top + row.height - this.scroller.clientHeight;
      this.draw();
    }
    const now = this.button(photo);
    if (now) now.tabIndex = 0;
  }

  /** @param {number} photo */
  focus(photo) {
    this.at(photo);
    this.button(photo)?.focus({ preventScroll: true });
  }

  get hadFocus() {
    return document.activeElement === document.body && this.keyed;
  }

  /** @param {number} photo
   * @returns {HTMLElement | null} */
  button(photo) {
    return this.root.querySelector(`button[data-number="${photo}"]`);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (!this.photos || event.altKey || event.ctrlKey || event.metaKey) return;
    const count = this.photos.index.photos, { rows, columns } = this.plan;
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / (this.plan.side + CAPTION)) - 1);
    const at = this.active;
    /** @type {Record<string, () => number>} */
    const steps = {
      ArrowLeft: () => at - 1,
      ArrowRight: () => at + 1,
      ArrowUp: () => this.beside(at, -1),
      ArrowDown: () => this.beside(at, 1),
      PageUp: () => at - page * columns,
      PageDown: () => at + page * columns,
      Home: () => 0,
      End: () => count - 1,
    };
    if (!(event.key in steps) || !rows.length) return;
    event.preventDefault();
    this.keyed = true;
    this.focus(Math.min(count - 1, Math.max(0, steps[event.key]())));
  }

  /** The photo above or below one.
   * @param {number} photo
   * @param {number} by */
  beside(photo, by) {
    const { rows } = this.plan;
    let at = rowOf(rows, photo);
    const place = photo - rows[at].first;
    do at += by; while (rows[at] && !rows[at].photos);
    return rows[at] ? rows[at].first + Math.min(place, rows[at].photos - 1) : photo;
  }

  /** Scroll to a day or month.
   * @param {string} date YYYY-MM */
  jump(date) {
    const day = this.days.findIndex((one) => one.date.slice(0, date.length || 1) === date);
    if (day < 0) return;
    const at = rowOf(this.plan.rows, this.plan.starts[day]), head = this.plan.rows[at - 1];
    this.scroller.scrollTop = (head?.month !== undefined ? head : this.plan.rows[at]).top;
    this.at(this.plan.starts[day], false);
  }
}

/** @param {Row} row
 * @returns {HTMLElement} */
function heading(row) {
  const text = row.month ? monthName(row.month) : say("undated");
  return make("div", { role: "row", class: "month" }, make("div", { role: "gridcell" }, make("h2", {}, text)));
}

/** Take a row out of the document; its pictures that have not come are not waited for.
 * @param {HTMLElement} element */
function drop(element) {
  for (const image of element.querySelectorAll("img")) image.removeAttribute("src");
  element.remove();
}

/** Show a photo in its place.
 * @param {HTMLElement} button
 * @param {Thumb} thumb */
function wear(button, thumb) {
  button.classList.remove("empty");
  const when = thumb.date ? dateName(thumb.date) : say("undated");
  const marks = [];
  if (thumb.video) marks.push(say("video"));
  if (thumb.damaged) marks.push(say("damaged"));
  if (thumb.copies) marks.push(say("times", { count: thumb.copies }).replace(String(thumb.copies), number(thumb.copies)));
  button.setAttribute("aria-label", [thumb.name, when, ...marks].join(", "));
  button.title = thumb.name;
  if (thumb.shape) {
    const image = make("img", { alt: "", decoding: "async", draggable: "false", src: `/lote/library/photo/${thumb.id}/preview?v=${thumb.mark}` });
    image.addEventListener("error", () => { if (image.hasAttribute("src")) image.replaceWith(make("span", { class: "name" }, thumb.name)); });
    button.append(image);
  } else button.append(make("span", { class: "name" }, thumb.name));
  if (marks.length) {
    const shown = make("span", { class: "marks", "aria-hidden": "true" });
    if (thumb.video) shown.append(make("span", {}, "▶"));
    if (thumb.copies) shown.append(make("span", {}, `+${thumb.copies}`));
    if (thumb.damaged) shown.append(make("span", { class: "bad" }, "!"));
    button.append(shown);
  }
}

export { CAPTION, GAP };
