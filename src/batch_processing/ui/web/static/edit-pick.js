// Colours from pictures: what a picture shows at a place, and the references to pick from.
import { $, make } from "./edit-words.js";

/** The colour of a picture at a place, 0 to 1, from its lossless form.
 * @param {string} source
 * @param {number} x
 * @param {number} y
 * @returns {Promise<import("./canvas.js").Rgb>} */
export async function colorAt(source, x, y) {
  const exact = new Image();
  exact.src = source;
  await exact.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [exact.naturalWidth, exact.naturalHeight];
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  if (!pen) throw new Error("this browser draws no pictures");
  pen.drawImage(exact, 0, 0);
  const column = Math.min(canvas.width - 1, Math.max(0, Math.floor(x * canvas.width)));
  const row = Math.min(canvas.height - 1, Math.max(0, Math.floor(y * canvas.height)));
  const [r, g, b] = pen.getImageData(column, row, 1, 1).data;
  return [r, g, b];
}

/** Show the palette or the references.
 * @param {string} name
 * @param {import("./edit-server.js").Book["references"]} references
 * @param {(image: HTMLImageElement, source: string, x: number, y: number) => Promise<void>} pick */
export function showTab(name, references, pick) {
  for (const tab of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[role=tab]"))) {
    const on = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", String(on));
    tab.tabIndex = on ? 0 : -1;
    $(`#${tab.getAttribute("aria-controls")}`).hidden = !on;
  }
  if (name !== "references" || $("#references").childElementCount) return;
  $("#references").replaceChildren(...references.map((one) => {
    const image = make("img", { src: one.picture, alt: one.name, loading: "lazy" });
    return make("button", {
      type: "button", class: "reference", title: one.name,
      onclick: (/** @type {MouseEvent} */ event) => {
        const box = image.getBoundingClientRect();
        void pick(image, one.picture, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
      },
    }, image);
  }));
}
