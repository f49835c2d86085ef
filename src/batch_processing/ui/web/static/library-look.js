// The line about photos that nobody has looked at: what to run, a button that does it, and how far it is.
import { $, make, say } from "./edit-words.js";
import { ask, fault, number, send, span, wait } from "./library-server.js";

/** @typedef {{running: boolean, paused: boolean, ended: boolean, done: number, total: number, left: number, problem: string}} Look */

const BEAT = 1000; // milliseconds
let following = false;

/** Show it where there is something to say, and follow a look that is at work.
 * @param {number} unseen
 * @param {() => void} over what to do when a look has ended
 * @param {() => void} [grown] what to do when there is more to see, while it goes on */
export async function showLook(unseen, over, grown = () => undefined) {
  const place = $("#look");
  let look = /** @type {Look | null} */ ((await ask("news")).look);
  if (following) return;
  if (!look || look.ended || !(look.running || look.paused)) {
    place.hidden = !unseen;
    if (unseen) offer(place, unseen, look, over, grown);
    return;
  }
  following = true;
  try {
    for (let beat = 0; look && !look.ended && (look.running || look.paused); beat += 1) {
      draw(place, look);
      await wait(BEAT);
      if (document.hidden) continue;
      look = /** @type {Look | null} */ ((await ask("news").catch(() => ({ look }))).look);
      if (beat % 8 === 7 && look?.running) grown();
    }
  } finally {
    following = false;
  }
  place.hidden = true;
  over();
}

/** @param {HTMLElement} place
 * @param {number} unseen
 * @param {Look | null} look
 * @param {() => void} over
 * @param {() => void} grown */
function offer(place, unseen, look, over, grown) {
  const [before, after] = say("by-hand").split("{command}");
  const button = make("button", { type: "button", class: "btn primary", onclick: () => void start() }, say("look"));
  place.replaceChildren(
    make("p", {}, say("unseen", { count: unseen }).replace(String(unseen), number(unseen))),
    ...(look?.problem ? [make("p", { class: "problem" }, look.problem)] : []),
    make("div", { class: "row" }, button, make("span", { class: "muted" }, before, make("code", {}, "lote photos look"), after)),
  );
  async function start() {
    button.disabled = true;
    try {
      await send("do", { do: "look" });
      await showLook(unseen, over, grown);
    } catch (error) {
      fault(error);
      button.disabled = false;
    }
  }
}

/** @param {HTMLElement} place
 * @param {Look} look */
function draw(place, look) {
  const text = say("looking", { done: number(look.done), total: look.total ? number(look.total) : "…" });
  const left = look.running && look.left >= 0 && look.total ? ` · ${say("left", { time: span(look.left) })}` : "";
  const wish = (/** @type {string} */ name) => () => void send("do", { do: name }).catch(fault);
  const kept = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset?.wish;
  place.hidden = false;
  place.replaceChildren(
    make("p", { role: "status" }, text + left),
    make("progress", { max: Math.max(1, look.total), value: look.total ? look.done : undefined, "aria-label": text }),
    make("div", { class: "row" },
      look.paused
        ? make("button", { type: "button", class: "btn", "data-wish": "resume", onclick: wish("resume") }, say("resume"))
        : make("button", { type: "button", class: "btn", "data-wish": "pause", onclick: wish("pause") }, say("pause")),
      make("button", { type: "button", class: "btn", "data-wish": "cancel", onclick: wish("cancel") }, say("cancel"))),
  );
  if (kept) /** @type {HTMLElement | null} */ (place.querySelector(`[data-wish="${kept}"]`))?.focus();
}
