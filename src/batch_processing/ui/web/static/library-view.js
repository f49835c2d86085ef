// One photo as large as the window, with what is known of it.
import { $, make, say } from "./edit-words.js";
import { ask, dateName, fault } from "./library-server.js";

/** @typedef {import("./library-photos.js").Thumb} Thumb */
/** @typedef {{id: number, key: string, name: string, folder: string, date: string, told_by: string, trouble: string,
 *   facts: {name: string, value: string}[], copies: string[], large: string}} Known */

const SOON = 120; // milliseconds: who turns pages fast asks for none of them

export class Viewer {
  /** @param {{count: () => number, photo: (number: number) => Promise<Thumb | undefined>, closed: (number: number) => void}} hooks */
  constructor(hooks) {
    this.hooks = hooks;
    this.box = /** @type {HTMLDialogElement} */ ($("#viewer"));
    this.small = /** @type {HTMLImageElement} */ ($("#viewer-small"));
    this.large = /** @type {HTMLImageElement} */ ($("#viewer-large"));
    this.number = 0;
    this.turn = 0;
    this.timer = 0;
    this.box.addEventListener("close", () => { this.leave(); hooks.closed(this.number); });
    this.box.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by) { event.preventDefault(); void this.step(by); }
      if (event.key === "Home") void this.show(0);
      if (event.key === "End") void this.show(hooks.count() - 1);
    });
    this.box.addEventListener("click", (event) => { if (event.target === this.box) this.box.close(); });
    addEventListener("popstate", () => { if (this.box.open) this.box.close(); });
    this.large.addEventListener("load", () => { this.large.hidden = false; });
    this.large.addEventListener("error", () => { this.large.hidden = true; });
    this.swipe();
  }

  /** @param {number} number */
  open(number) {
    history.pushState({ photo: true }, ""); // going back closes it, as people of phones expect
    this.box.showModal();
    void this.show(number);
  }

  leave() {
    this.turn += 1;
    clearTimeout(this.timer);
    this.small.removeAttribute("src");
    this.large.removeAttribute("src");
    this.large.hidden = this.small.hidden = true;
    if (history.state?.photo) history.back();
  }

  /** @param {number} by */
  step(by) {
    const next = this.number + by;
    return next >= 0 && next < this.hooks.count() ? this.show(next) : undefined;
  }

  /** @param {number} number */
  async show(number) {
    const mine = (this.turn += 1);
    this.number = number;
    /** @type {HTMLButtonElement} */ ($("[data-do=previous]", this.box)).disabled = number === 0;
    /** @type {HTMLButtonElement} */ ($("[data-do=next]", this.box)).disabled = number === this.hooks.count() - 1;
    clearTimeout(this.timer);
    try {
      const thumb = await this.hooks.photo(number);
      if (mine !== this.turn || !thumb) return;
      this.large.hidden = true;
      this.large.removeAttribute("src");
      this.picture(thumb);
      $("#viewer-name").textContent = thumb.name;
      $("#viewer-date").textContent = thumb.date ? say("taken", { date: dateName(thumb.date) }) : say("no-date");
      for (const name of ["folder", "facts", "copies"]) $(`#viewer-${name}`).replaceChildren();
      $("#viewer-trouble").hidden = true;
      this.timer = setTimeout(() => void this.more(thumb, mine), SOON);
    } catch (error) {
      fault(error);
    }
  }

  /** @param {Thumb} thumb */
  picture(thumb) {
    const none = $("#viewer-none");
    this.small.hidden = !thumb.shape;
    none.hidden = Boolean(thumb.shape);
    none.textContent = say(thumb.video ? "no-picture" : "no-preview");
    this.small.alt = thumb.name;
    if (!thumb.shape) { this.small.removeAttribute("src"); return; }
    const show = $(".show", this.box), wide = Math.min(show.clientWidth, show.clientHeight * thumb.shape);
    for (const image of [this.small, this.large]) {
      image.style.width = `${Math.round(wide)}px`;
      image.style.height = `${Math.round(wide / thumb.shape)}px`;
    }
    this.small.src = `/lote/library/photo/${thumb.id}/preview?v=${thumb.mark}`;
  }

  /** What takes longer: the large picture, and what is known.
   * @param {Thumb} thumb
   * @param {number} mine */
  async more(thumb, mine) {
    try {
      const known = /** @type {Known} */ (await ask(`photo/${thumb.id}`));
      if (mine !== this.turn) return;
      if (known.large) {
        this.large.alt = "";
        this.large.src = known.large;
        if (!thumb.shape) { this.large.style.width = this.large.style.height = ""; $("#viewer-none").hidden = true; }
      }
      $("#viewer-folder").textContent = known.folder;
      $("#viewer-name").textContent = known.name;
      if (known.date) $("#viewer-date").textContent = say("taken", { date: dateName(known.date) }) + (known.told_by ? `, ${known.told_by}` : "");
      const trouble = $("#viewer-trouble");
      trouble.hidden = !known.trouble;
      trouble.textContent = known.trouble;
      $("#viewer-facts").replaceChildren(...known.facts.map(({ name, value }) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
      if (known.copies.length) {
        $("#viewer-copies").replaceChildren(make("h3", {}, say("copies")), make("ul", {}, ...known.copies.map((path) => make("li", { class: "path" }, path))));
      }
      const next = await this.hooks.photo(Math.min(this.number + 1, this.hooks.count() - 1));
      if (mine === this.turn && next?.shape) new Image().src = `/lote/library/photo/${next.id}/preview?v=${next.mark}`;
    } catch (error) {
      if (mine === this.turn) fault(error);
    }
  }

  /** A finger to the side turns to the next photo. */
  swipe() {
    const show = $(".show", this.box);
    /** @type {{x: number, y: number} | null} */
    let begun = null;
    show.addEventListener("pointerdown", (event) => { begun = event.pointerType === "touch" ? { x: event.clientX, y: event.clientY } : null; });
    show.addEventListener("pointerup", (event) => {
      if (!begun) return;
      const x = event.clientX - begun.x, y = event.clientY - begun.y;
      begun = null;
      if (Math.abs(x) > 50 && Math.abs(x) > 2 * Math.abs(y)) void this.step(x < 0 ? 1 : -1);
    });
  }
}
