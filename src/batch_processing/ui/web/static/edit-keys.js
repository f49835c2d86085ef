// The keys of the editor, and the list of them.
import { dialog } from "./edit-palette.js";
import { make, say } from "./edit-words.js";

/** @typedef {Record<string, (event: KeyboardEvent) => void>} Map */

const LIST = [
  ["1 – 9", "key-swatch"], ["V L B E I", "key-tools"], ["[ ]", "key-size"], ["key-click-name", "key-add"], ["key-double-name", "key-double"],
  ["key-whole-name", "key-whole"], ["key-like-name", "key-like"],
  ["N, Shift+N", "key-next"], ["Ctrl+Z, Ctrl+Shift+Z", "key-undo"], ["+ − 0", "key-zoom"], ["key-space-name", "key-space"], ["← →", "key-pages"],
  ["X O D", "key-views"], ["R", "key-review"], ["T", "key-alike"], ["A", "key-approve"], ["F", "key-screen"], ["Esc", "key-escape"],
];

export function showKeys() {
  const rows = LIST.map(([key, what]) =>
    make("div", { class: "key" }, make("dt", {}, make("kbd", {}, key.startsWith("key-") ? say(key) : key)), make("dd", {}, say(what))));
  dialog(say("keys"), make("dl", { class: "keys" }, ...rows));
}

/** What a pressed key is called in the map: modifiers, then the key.
 * @param {KeyboardEvent} event */
function named(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const command = event.ctrlKey || event.metaKey ? "Ctrl+" : "";
  const shift = event.shiftKey && (command || /^[a-z]$/.test(key)) ? "Shift+" : "";
  return command + shift + key;
}

/** @param {Map} map
 * @param {(down: boolean) => void} space */
export function listen(map, space) {
  addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest("dialog, select, input:not([type=range], [type=color])")) return;
    const button = target.closest("button, a, [role=tab]");
    if (button && ["Enter", " ", "ArrowLeft", "ArrowRight"].includes(event.key) && (event.key !== "ArrowLeft" && event.key !== "ArrowRight" || button.matches("[role=tab]"))) return;
    if (target.matches("input[type=range]") && event.key.startsWith("Arrow")) return;
    if (event.altKey) return;
    if (event.key === " ") {
      space(true);
      event.preventDefault();
      return;
    }
    const act = map[named(event)];
    if (!act) return;
    event.preventDefault();
    act(event);
  });
  addEventListener("keyup", (event) => { if (event.key === " ") space(false); });
  addEventListener("blur", () => space(false));
}
