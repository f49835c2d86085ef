// The texts of the editor, in the reader's language: the server has put them into the page.

/** @type {Map<string, {one: string, many: string}>} */
const words = new Map();
const template = /** @type {HTMLTemplateElement | null} */ (document.querySelector("#words"));
for (const place of template?.content.querySelectorAll("i") ?? []) {
  const { name = "", one, many } = /** @type {HTMLElement} */ (place).dataset;
  const text = place.textContent ?? "";
  words.set(name, { one: one ?? text, many: many ?? text });
}

/** A text with its {places} filled. With a `count` in one of its two forms.
 * @param {string} name
 * @param {Record<string, string | number>} [places] */
export function say(name, places = {}) {
  const { one, many } = words.get(name) ?? { one: name, many: name };
  const text = places.count === 1 ? one : many;
  return text.replace(/\{(\w+)\}/g, (whole, place) => String(places[place] ?? whole));
}

/** @param {string} selector
 * @param {ParentNode} [root]
 * @returns {HTMLElement} */
export function $(selector, root = document) {
  const found = root.querySelector(selector);
  if (!found) throw new Error(`there is no ${selector}`);
  return /** @type {HTMLElement} */ (found);
}

/** An element with attributes and children; `onclick` and the like are listeners.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string)} children
 * @returns {any} */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/** A sign of editor.svg.
 * @param {string} name */
export function sign(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `/lote/assets/editor.svg#${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

let timer = 0;

/** Show a sentence for some seconds.
 * @param {string} text
 * @param {boolean} [bad] */
export function toast(text, bad = false) {
  const place = $("#said");
  place.textContent = text;
  place.classList.toggle("bad", bad);
  place.hidden = !text;
  clearTimeout(timer);
  timer = setTimeout(() => { place.hidden = true; }, bad ? 9000 : 3500);
}

/** Tell who listens what has happened.
 * @param {string} text */
export const tell = (text) => { $("#told").textContent = text; };
