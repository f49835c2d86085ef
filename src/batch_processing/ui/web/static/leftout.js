// What is not in the library, or not whole: the paths behind each line are fetched when it is opened.
import { $, make, say } from "./edit-words.js";
import { ask, begin, fault, ready } from "./library-server.js";

/** @param {HTMLDetailsElement} place */
async function more(place) {
  const list = $("ul", place), button = /** @type {HTMLButtonElement} */ ($("button", place));
  const after = place.dataset.next ?? "0";
  button.disabled = true;
  try {
    const { rows, next } = await ask(`left-out?${place.dataset.query}&after=${encodeURIComponent(after)}`);
    for (const { id, path, text } of rows) list.append(make("li", { "data-id": id }, make("span", { class: "path" }, path), ...(text && text !== place.dataset.text ? [` ${text}`] : [])));
    place.dataset.next = next;
    button.hidden = !next;
    if (!next && !list.children.length) list.append(make("li", { class: "muted" }, say("none-now")));
  } catch (error) {
    fault(error);
  }
  button.disabled = false;
}

begin({ more: (button) => void more(/** @type {HTMLDetailsElement} */ (button.closest("details"))) });
for (const place of document.querySelectorAll("details")) {
  place.addEventListener("toggle", () => { if (place.open && !$("ul", place).children.length) void more(place); });
}
ready();
