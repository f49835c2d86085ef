// Questions to the server and wishes to it; pages that were fetched, or will be wanted next.
import { flatsOf, sheetOf } from "./canvas.js";

/** @typedef {{number: number, key: string, kind: string, item: number, done: boolean, approved: boolean, edited: boolean,
 *   picture: string, small: string, before: string}} Leaf */
/** @typedef {{state: "saved" | "saving" | "waiting" | "failed", text: string}} Saving */
/** @typedef {{job: number, name: string, leaves: Leaf[], references: {name: string, picture: string}[], refused: string,
 *   saving: Saving}} Book */
/** @typedef {{key: string, mark: string, digest: string, undo: number, redo: number, approved: boolean, done: boolean,
 *   output: string, drawn: [number, number, number, number][], names: [number, string][], trouble: string, saving: Saving}} News */
/** @typedef {{item: number, number: number, key: string, box: number[], id: number, confidence: number, doubt: number, why: string,
 *   at: [number, number] | null, crop: string}} Place */
/** @typedef {{pages: number, places: number, seconds: number, edited: number, approved: number}} Lesson */
/** @typedef {{id: number, rgb: import("./canvas.js").Rgb, reference: import("./canvas.js").Rgb, name: string, locked: boolean,
 *   pages: number[], crop: string}} Swatch */

const job = Number(document.body.dataset.job);
const base = `/lote/edit/${job}`;
const KEPT = 6; // pages

/** The server said no, in a sentence. */
export class Refused extends Error {}

/** @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<any>} */
async function ask(path, options) {
  const reply = await fetch(base + path, options);
  const kind = reply.headers.get("content-type") ?? "";
  if (!reply.ok) {
    const told = kind.includes("json") ? await reply.json() : {};
    throw new Refused(told.error || reply.statusText || String(reply.status));
  }
  return kind.includes("json") ? reply.json() : reply.arrayBuffer();
}

/** @returns {Promise<Book>} */
export const askBook = () => ask("");
/** @param {number} item
 * @returns {Promise<News>} */
export const askPage = (item) => ask(`/page/${item}`);
/** @param {number} item
 * @returns {Promise<News>} */
export const askNews = (item) => ask(`/news/${item}`);
/** @returns {Promise<{colors: Swatch[]}>} */
export const askPalette = () => ask("/palette");
/** @returns {Promise<{places: Place[]}>} */
export const askReview = () => ask("/review");

/** @returns {Promise<Lesson>} */
export const askLesson = () => ask("/lesson");
/** The address of the book's `palette.json`. */
export const paletteFile = `${base}/palette.json`;

/** The regions of a page with its edits, as they are now.
 * @param {number} item */
export const askFlats = async (item) => flatsOf(await ask(`/labels/${item}`));

/** @type {Map<number, Promise<import("./canvas.js").Sheet>>} */
const sheets = new Map();
/** A page as it was some moments ago.
 * @typedef {{told: News, flats: import("./canvas.js").Flats}} Standing */
/** @type {Map<number, Promise<Standing>>} */
const ahead = new Map();

/** What lies above the flats of a page.
 * @param {number} item
 * @returns {Promise<import("./canvas.js").Sheet>} */
export function askSheet(item) {
  let coming = sheets.get(item);
  if (!coming) {
    coming = ask(`/sheet/${item}`).then(sheetOf);
    coming.catch(() => sheets.delete(item));
  }
  sheets.delete(item);
  sheets.set(item, coming); // the newest last
  for (const old of [...sheets.keys()].slice(0, -KEPT)) sheets.delete(old);
  return coming;
}

/** @param {number} item
 * @returns {Promise<Standing>} */
async function askStanding(item) {
  const [told, flats] = await Promise.all([askPage(item), askFlats(item)]);
  return { told, flats };
}

/** Fetch a page before it is asked for.
 * @param {Leaf | undefined} leaf */
export function prefetch(leaf) {
  if (!leaf) return;
  new Image().src = leaf.picture;
  if (!leaf.item || !leaf.done) return;
  askSheet(leaf.item).catch(() => undefined);
  if (ahead.has(leaf.item)) return;
  const coming = askStanding(leaf.item);
  coming.catch(() => ahead.delete(leaf.item));
  ahead.set(leaf.item, coming);
  for (const old of [...ahead.keys()].slice(0, -KEPT)) ahead.delete(old);
}

/** What was fetched ahead is not true any more: more than the page that is shown has changed. */
export const forgetAhead = () => ahead.clear();

/** How a page stands, perhaps as it did some moments ago.
 * @param {number} item */
export function askStandingFast(item) {
  const coming = ahead.get(item) ?? askStanding(item);
  ahead.delete(item);
  return coming;
}

// -- wishes: those that change a page wait here until the server has them, also over a reload ------------------

const STORE = `lote-edits-${job}`;
/** @type {Record<string, any>[]} */
let outbox = JSON.parse(sessionStorage.getItem(STORE) ?? "[]");
/** @type {Promise<void> | null} */
let sending = null;
export const outgoing = { lost: false, failed: (/** @type {string} */ _text) => undefined };

const keep = () => (outbox.length ? sessionStorage.setItem(STORE, JSON.stringify(outbox)) : sessionStorage.removeItem(STORE));
addEventListener("beforeunload", (event) => { if (outbox.length) event.preventDefault(); });

/** @param {Record<string, any>} wish
 * @returns {Promise<any>} */
export const send = (wish) =>
  ask("/do", { method: "POST", headers: { "X-Lote": "1", "Content-Type": "application/json" }, body: JSON.stringify(wish) });

/** A name that nobody else gives: with it an edit is done once, also when it is sent again since no answer came (a lost
 * connection, or a page that was left meanwhile). */
const named = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Have an edit done, after those before it; resolves when the server has all of them.
 * @param {Record<string, any>} wish */
export function post(wish) {
  outbox.push({ name: named(), ...wish });
  keep();
  return flush();
}

/** Whether everything was sent. */
export const isSent = () => outbox.length === 0;

/** Send what waits. */
export function flush() {
  sending ??= sent().finally(() => { sending = null; });
  return sending;
}

async function sent() {
  while (outbox.length) {
    try {
      await send(outbox[0]);
    } catch (error) {
      if (!(error instanceof Refused)) { // no answer: it is kept, and tried again
        outgoing.lost = true;
        await new Promise((resolve) => setTimeout(resolve, 1000));
        continue;
      }
      outgoing.failed(error.message);
    }
    outgoing.lost = false;
    outbox.shift();
    keep();
  }
}
