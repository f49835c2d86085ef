// Questions to the server about the library, and what every window of it has: the theme, sizes and dates as a reader writes them.
import { $, say, toast } from "./edit-words.js";

/** The server said no, in a sentence. */
export class Refused extends Error {}

/** @param {string} path below /lote/library/
 * @param {RequestInit} [options]
 * @returns {Promise<any>} */
export async function ask(path, options) {
  const reply = await fetch(`/lote/library/${path}`, options);
  const body = (reply.headers.get("content-type") ?? "").includes("json") ? await reply.json() : {};
  if (!reply.ok) throw new Refused(body.error || reply.statusText || String(reply.status));
  return body;
}

/** @param {string} path
 * @param {Record<string, any>} wish
 * @returns {Promise<any>} */
export const send = (path, wish) =>
  ask(path, { method: "POST", headers: { "X-Lote": "1", "Content-Type": "application/json" }, body: JSON.stringify(wish) });

/** Say what went wrong; a server that does not answer has a sentence of its own.
 * @param {unknown} error */
export const fault = (error) => toast(error instanceof Refused ? error.message : error instanceof TypeError ? say("lost") : String(error), true);

/** @param {number} ms */
export const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const asked = document.documentElement.lang || "en";
const language = navigator.language.startsWith(asked) ? navigator.language : asked; // dates as the reader writes them

/** Bytes in the largest unit that suits.
 * @param {number} bytes */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (bytes >= 999.5 && at < units.length - 1) { bytes /= 1000; at += 1; }
  return `${bytes.toLocaleString(language, { maximumFractionDigits: at && bytes < 99.95 ? 1 : 0 })} ${units[at]}`;
}

/** @param {number} value */
export const number = (value) => value.toLocaleString(language);

/** A span of time, roughly.
 * @param {number} seconds */
export const span = (seconds) => (seconds < 90 ? `${Math.ceil(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`);

/** @param {string} text ISO 8601, or the beginning of it */
function moment(text) {
  const [year, month = 1, day = 1, hour = 0, minute = 0] = text.slice(0, 16).split(/[-T:]/).map(Number);
  return new Date(Date.UTC(year, month - 1, day, hour, minute));
}

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();
/** @param {string} text
 * @param {Intl.DateTimeFormatOptions} options */
function written(text, options) {
  const name = JSON.stringify(options);
  const format = formats.get(name) ?? new Intl.DateTimeFormat(language, { ...options, timeZone: "UTC" });
  formats.set(name, format);
  const at = moment(text);
  return Number.isNaN(at.getTime()) ? text : format.format(at);
}

/** The name of a month. @param {string} text YYYY-MM */
export const monthName = (text) => (text.length < 7 ? text : written(text, { month: "long", year: "numeric" }));
/** A day of its month. @param {string} text YYYY-MM-DD */
export const dayName = (text) => (text.length < 10 ? monthName(text) : written(text, { weekday: "short", day: "numeric", month: "short" }));
/** All of a date that is known. @param {string} text */
export const dateName = (text) =>
  written(text, { year: "numeric", month: text.length < 7 ? undefined : "long", day: text.length < 10 ? undefined : "numeric",
    ...(text.length >= 16 ? { hour: "2-digit", minute: "2-digit" } : {}) });

/** Light or dark, as the other windows have it. */
function theme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("lote-theme", root.dataset.theme);
}

/** What every window listens to: its buttons marked data-do, by name.
 * @param {Record<string, (button: HTMLElement) => void>} actions */
export function begin(actions) {
  const kept = localStorage.getItem("lote-theme");
  if (kept) document.documentElement.dataset.theme = kept;
  document.addEventListener("click", (event) => {
    const button = /** @type {HTMLElement} */ (event.target).closest?.("[data-do]");
    if (!button) return;
    const name = /** @type {HTMLElement} */ (button).dataset.do ?? "";
    if (name === "theme") theme();
    else actions[name]?.(/** @type {HTMLElement} */ (button));
  });
}

export const ready = () => { document.documentElement.dataset.lote = "ready"; };
export { $ };
