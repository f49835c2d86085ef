// Review: the doubtful places of the book, one after the other, the most doubtful first.
import { askReview } from "./edit-server.js";
import { $, make, say, tell } from "./edit-words.js";

/** @typedef {import("./edit-server.js").Place} Place */
/** What the review does by others: `find` gives the label of a place on the page that is shown, 0 where it is not one any more.
 * @typedef {{open: (number: number) => Promise<void>, find: (place: Place) => number, show: (label: number) => void,
 *   choose: (labels: number[]) => void, accept: () => void, approve: () => void, ended: () => void}} Hooks */

const EACH = 10; // seconds that a place takes
const SIZES = 3, FORMS = 1.8; // how many times larger, or longer, a place may be that is like another
const SHOWN = 24; // of those that are like one
const FIRST = 0.8; // of what is expected to be wrong: the places that hold it come first, the rest where a person goes on

export class Review {
  /** @param {Hooks} hooks */
  constructor(hooks) {
    this.hooks = hooks;
    this.panel = $("#review");
    this.on = false;
    /** @type {Place[]} */
    this.places = [];
    /** Smaller ones, for whoever goes on.
     * @type {Place[]} */
    this.rest = [];
    this.skipped = 0;
    /** Places that are looked at now: the one that is shown, then those like it that were taken with it.
     * @type {Place[]} */
    this.now = [];
    this.turn = 0;
  }

  async begin() {
    const { places } = await askReview();
    this.on = true;
    let left = FIRST * places.reduce((sum, place) => sum + place.doubt, 0);
    const first = places.findIndex((place) => (left -= place.doubt) <= 0) + 1;
    this.places = first ? places.slice(0, first) : places;
    this.rest = first ? places.slice(first) : [];
    this.skipped = 0;
    $("[data-do=review]").setAttribute("aria-pressed", "true");
    await this.next();
  }

  end() {
    this.on = false;
    this.now = [];
    this.turn += 1;
    this.panel.hidden = true;
    $("[data-do=review]").setAttribute("aria-pressed", "false");
    this.hooks.ended();
  }

  /** Go to the next place; those that are settled meanwhile are passed over. */
  async next() {
    const turn = (this.turn += 1);
    while (this.places.length) {
      const place = this.places[0];
      await this.hooks.open(place.number);
      if (turn !== this.turn || !this.on) return;
      const label = this.hooks.find(place);
      if (label) {
        this.now = [place];
        this.#asked.clear();
        this.hooks.show(label);
        this.#render();
        return;
      }
      this.places.shift();
    }
    this.now = [];
    this.#render();
  }

  /** It was accepted or mended: on to the next. */
  settled() {
    if (!this.on || !this.now.length) return;
    this.places = this.places.filter((place) => !this.now.includes(place));
    this.rest = this.rest.filter((place) => !this.now.includes(place));
    void this.next();
  }

  accept() {
    if (this.now.length) this.hooks.accept();
  }

  skip() {
    if (!this.now.length) return;
    this.skipped += this.now.length;
    this.places = this.places.filter((place) => !this.now.includes(place));
    void this.next();
  }

  #goOn() {
    this.places = this.rest;
    this.rest = [];
    void this.next();
  }

  /** Other doubtful places of the book that look like the one that is shown: of its colour, about as large, and as long. */
  #alike() {
    const [first] = this.now;
    const shape = (/** @type {Place} */ { box: [x0, y0, x1, y1], doubt, confidence }) =>
      [doubt / Math.max(0.01, 1 - confidence), (x1 - x0) / Math.max(1, y1 - y0)];
    const [area, long] = shape(first);
    const near = (/** @type {number} */ a, /** @type {number} */ b, /** @type {number} */ times) => a < times * b && b < times * a;
    return [...this.places, ...this.rest].filter((place) => {
      if (place === first || place.id !== first.id || this.#asked.has(place)) return false;
      const [size, form] = shape(place);
      if (!near(size, area, SIZES) || !near(form, long, FORMS)) return false;
      return place.item === first.item ? this.hooks.find(place) > 0 : place.at !== null;
    });
  }

  /** Places that a person has left out of those alike to the one that is shown.
   * @type {Set<Place>} */
  #asked = new Set();

  /** What of the places that are taken lies on other pages: their keys, and points.
   * @returns {{key: string, points: [number, number][]}[]} */
  elsewhere() {
    if (!this.on || !this.now.length) return [];
    /** @type {Map<string, [number, number][]>} */
    const found = new Map();
    for (const place of this.now) {
      if (place.item !== this.now[0].item && place.at) found.set(place.key, [...(found.get(place.key) ?? []), place.at]);
    }
    return [...found].map(([key, points]) => ({ key, points }));
  }

  /** Take these places with the one that is shown.
   * @param {Place[]} places */
  #take(places) {
    this.now = [this.now[0], ...places];
    const here = this.now.filter((place) => place.item === this.now[0].item);
    this.hooks.choose(here.map((place) => this.hooks.find(place)));
    this.#render();
  }

  /** Pictures of the places like the one that is shown; each can be left out.
   * @param {Place[]} alike
   * @returns {Node[]} */
  #likes(alike) {
    const [first, ...taken] = this.now;
    const all = [...new Set([...taken, ...alike])];
    if (!all.length) return [];
    const pages = new Set([first, ...all].map((place) => place.number)).size;
    const pictures = all.slice(0, SHOWN).map((place) => {
      const on = taken.includes(place);
      return make(
        "button",
        {
          type: "button", class: "like", "aria-pressed": String(on), "data-item": place.item,
          "aria-label": say("like", { number: place.number }), title: say("like", { number: place.number }),
          onclick: () => {
            if (on) this.#asked.add(place);
            this.#take(on ? taken.filter((one) => one !== place) : [...taken, place]);
          },
        },
        make("img", { src: place.crop, alt: "", loading: "lazy" }),
      );
    });
    return [
      make("p", { id: "alike" }, say("alike", { count: all.length }), ...(pages > 1 ? [" ", say("on-pages", { count: pages })] : [])),
      make("div", { class: "likes" }, ...pictures),
      ...(alike.length
        ? [make("button", { type: "button", class: "btn", "data-review": "alike", "aria-keyshortcuts": "T", onclick: () => this.all() }, say("take-alike"), make("kbd", { "aria-hidden": "true" }, "T"))]
        : []),
    ];
  }

  /** Take all that are like the one that is shown. */
  all() {
    if (this.now.length) this.#take([...this.now.slice(1), ...this.#alike().filter((place) => !this.now.includes(place))]);
  }

  #render() {
    this.panel.hidden = !this.on;
    if (!this.on) return;
    if (!this.now.length) {
      this.panel.replaceChildren(
        make("h2", {}, say("reviewed")),
        ...(this.skipped ? [make("p", { class: "muted" }, say("skipped", { count: this.skipped }))] : []),
        make(
          "div", { class: "row" },
          make("button", { type: "button", class: "btn primary", id: "approve-all", onclick: () => { this.hooks.approve(); this.end(); } }, say("approve-all")),
          ...(this.rest.length ? [make("button", { type: "button", class: "btn", id: "go-on", onclick: () => this.#goOn() }, say("smaller", { count: this.rest.length }))] : []),
          make("button", { type: "button", class: "btn", onclick: () => this.end() }, say("leave")),
        ),
      );
      tell(say("reviewed"));
      $("#approve-all").focus({ preventScroll: true });
      return;
    }
    const count = this.places.length, alike = this.#alike().filter((place) => !this.now.includes(place));
    const button = (/** @type {string} */ name, /** @type {string} */ key, /** @type {() => void} */ act, kind = "") =>
      make("button", { type: "button", class: `btn ${kind}`, "data-review": name, "aria-keyshortcuts": key, onclick: act }, say(name), make("kbd", { "aria-hidden": "true" }, key));
    this.panel.replaceChildren(
      make("h2", { id: "left" }, say("places", { count })),
      make("p", { class: "muted" }, say("minutes", { count: Math.max(1, Math.round((count * EACH) / 60)) })),
      make("div", { class: "row" }, button("accept", "Enter", () => this.accept(), "primary"), button("skip", "S", () => this.skip())),
      ...this.#likes(alike),
      make("p", { class: "muted" }, say("mend")),
      make("button", { type: "button", class: "btn quiet", onclick: () => this.end() }, say("leave")),
    );
  }
}
