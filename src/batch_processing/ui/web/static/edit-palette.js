// The panel of colours: those of the page with their keys, those of the book, and one of them to be changed.
import { hex, rgbOf } from "./canvas.js";
import { $, make, say, sign } from "./edit-words.js";

/** @typedef {import("./canvas.js").Rgb} Rgb */

/** What the panel does by others.
 * @typedef {{give: (id: number) => void, all: (id: number) => void, change: (wish: Record<string, any>) => void,
 *   go: (number: number, id: number) => void}} Hooks */

const TWICE = 450; // milliseconds between two clicks that are one

export class Palette {
  /** @param {Hooks} hooks */
  constructor(hooks) {
    this.hooks = hooks;
    this.list = $("#palette");
    /** @type {Map<number, import("./edit-server.js").Swatch>} */
    this.swatches = new Map();
    /** @type {Map<number, string>} */
    this.names = new Map();
    /** The colours of this page, those of most of it first: keys 1 to 9.
     * @type {number[]} */
    this.here = [];
    this.current = -1;
    /** @type {(id: number) => Rgb} */
    this.color = () => [255, 255, 255];
  }

  /** What a person calls a colour.
   * @param {number} id */
  name(id) {
    const named = this.names.get(id) || this.swatches.get(id)?.name;
    if (named) return named;
    if (id === 0) return say("paper");
    return id >= 1 << 24 ? `${say("own")} ${hex(this.color(id))}` : say("color", { number: id });
  }

  /** The colours of a page, by how much of it they cover.
   * @param {import("./canvas.js").Flats | null} flats */
  page(flats) {
    /** @type {Map<number, number>} */
    const area = new Map();
    for (const region of flats?.regions ?? []) {
      if (region.area > 0) area.set(region.id, (area.get(region.id) ?? 0) + region.area);
    }
    const before = this.here.filter((id) => area.has(id));
    const fresh = [...area.keys()].filter((id) => !before.includes(id));
    fresh.sort((a, b) => (area.get(b) ?? 0) - (area.get(a) ?? 0));
    this.here = [...before, ...fresh]; // what has a key keeps it
    this.render();
  }

  /** Another page: its colours are ordered anew. */
  forget() {
    this.here = [];
  }

  render() {
    const elsewhere = [...this.swatches.keys()].filter((id) => !this.here.includes(id)).sort((a, b) => a - b);
    const held = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.swatch : undefined;
    this.list.replaceChildren(
      ...(this.here.length ? [make("h2", { class: "group" }, say("here"))] : []),
      ...this.here.map((id, at) => this.#row(id, at < 9 ? at + 1 : 0)),
      ...(elsewhere.length ? [make("h2", { class: "group" }, say("elsewhere"))] : []),
      ...elsewhere.map((id) => this.#row(id, 0)),
    );
    const again = held === undefined ? null : this.list.querySelector(`[data-swatch="${held}"]`);
    if (again instanceof HTMLElement) again.focus({ preventScroll: true });
  }

  /** @param {number} id
   * @param {number} key */
  #row(id, key) {
    const color = this.color(id), known = this.swatches.get(id);
    const chip = make("span", { class: "chip" });
    chip.style.background = hex(color);
    const pages = known?.pages.length ?? 0;
    const button = make(
      "button",
      {
        type: "button", class: "swatch", "data-swatch": id, "aria-pressed": String(id === this.current),
        title: say("give"), "aria-keyshortcuts": key || undefined,
        onclick: () => this.#clicked(id),
      },
      ...(known?.crop ? [make("img", { class: "seen", src: known.crop, alt: "", loading: "lazy", width: 36, height: 36 })] : []),
      chip,
      make("span", { class: "name" }, this.name(id)),
      ...(known?.locked ? [sign("lock")] : []),
      ...(key ? [make("kbd", { "aria-hidden": "true" }, String(key))] : pages ? [make("small", {}, say("pages", { count: pages }))] : []),
    );
    const edit = make(
      "button",
      { type: "button", class: "btn icon edit", "aria-label": `${say("edit")}: ${this.name(id)}`, title: say("edit"), onclick: () => this.edit(id) },
      sign("edit"),
    );
    return make("div", { class: "item" }, button, edit);
  }

  /** The second click of two takes all of a colour. No event says so: the first one has made the buttons anew.
   * @param {number} id */
  #clicked(id) {
    const twice = this.#last.id === id && performance.now() - this.#last.at < TWICE;
    this.#last = { id, at: twice ? -Infinity : performance.now() };
    if (twice) this.hooks.all(id);
    else this.hooks.give(id);
  }

  #last = { id: -1, at: -Infinity };

  /** Other regions are taken: the next click is the first one. */
  anew() {
    this.#last.at = -Infinity;
  }

  /** Ask how a colour is to be changed.
   * @param {number} id */
  edit(id) {
    const known = this.swatches.get(id);
    const reference = known?.reference ?? this.color(id);
    const name = make("input", { type: "text", maxlength: 100, value: this.names.get(id) ?? known?.name ?? "", placeholder: this.name(id) });
    const rgb = make("input", { type: "color", value: hex(this.color(id)) });
    const locked = make("input", { type: "checkbox", checked: known?.locked ?? false });
    const others = [...this.swatches.keys()].filter((other) => other !== id && other !== 0);
    const merge = make(
      "select", {}, make("option", { value: "" }, say("apart")),
      ...others.map((other) => make("option", { value: other }, this.name(other))),
    );
    const used = (known?.pages ?? []).map((number) =>
      make("button", { type: "button", class: "btn small", onclick: () => { close(); this.hooks.go(number, id); } }, String(number)));
    const field = (/** @type {string} */ text, /** @type {HTMLElement} */ input) => make("label", { class: "field" }, make("span", {}, text), input);
    const close = () => /** @type {HTMLDialogElement} */ ($("#dialog")).close();
    const submit = (/** @type {Event} */ event) => {
      event.preventDefault();
      close();
      if (merge.value) {
        const into = Number(merge.value);
        this.hooks.change({ do: "merge", before: id, color: { id: into, rgb: this.swatches.get(into)?.reference } });
        return;
      }
      /** @type {Record<string, any>} */
      const wish = { id, reference };
      if (name.value !== (this.names.get(id) ?? known?.name ?? "")) wish.name = name.value;
      if (rgb.value !== hex(this.color(id))) wish.rgb = rgbOf(rgb.value);
      if (locked.checked !== (known?.locked ?? false)) wish.locked = locked.checked;
      if (Object.keys(wish).length > 2) this.hooks.change({ do: "colors", colors: [wish] });
    };
    const form = make(
      "form", { class: "change", onsubmit: submit },
      ...(known?.crop ? [make("img", { class: "seen large", src: known.crop, alt: say("seen"), width: 160 })] : []),
      field(say("name"), name),
      field(say("rgb"), rgb),
      make("label", { class: "check" }, locked, make("span", {}, say("lock"))),
      ...(id ? [field(say("merge"), merge)] : []),
      make("div", { class: "field" }, make("span", {}, say("used")), make("div", { class: "row" }, ...(used.length ? used : [make("span", { class: "muted" }, say("unused"))]))),
      make("p", { class: "muted" }, say("approved-stay")),
      make("div", { class: "row end" }, make("button", { class: "btn primary" }, say("save"))),
    );
    dialog(this.name(id), form);
    name.focus();
  }
}

/** Show something in the dialog.
 * @param {string} title
 * @param {...Node} content */
export function dialog(title, ...content) {
  const box = /** @type {HTMLDialogElement} */ ($("#dialog"));
  $("#dialog-title").textContent = title;
  $("#dialog-body").replaceChildren(...content);
  if (!box.open) box.showModal();
}
