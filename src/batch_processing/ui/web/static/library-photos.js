// The photos of the library as the browser has them: fetched by key ranges, some screens at a time, the oldest forgotten.
import { ask } from "./library-server.js";

/** @typedef {{id: number, name: string, date: string, mark: string, shape: number, copies: number, damaged: boolean, video: boolean}} Thumb */
/** @typedef {{photos: number, days: [string, number][], starts: string[], chunk: number}} Index */
/** What stands beside them.
 * @typedef {{copies: number, unseen: number, outside: number}} Beside */

const KEPT = 80; // chunks
const TOGETHER = 4; // chunks in one request

export class Photos {
  /** @param {Index} index
   * @param {() => void} changed what to do when the library is another one by now */
  constructor(index, changed) {
    this.index = index;
    this.changed = changed;
    /** @type {Map<number, Thumb[]>} */
    this.chunks = new Map();
    /** @type {Map<number, Promise<void>>} */
    this.coming = new Map();
  }

  /** A photo by its number, if it is here.
   * @param {number} number
   * @returns {Thumb | undefined} */
  at(number) {
    return this.chunks.get(Math.floor(number / this.index.chunk))?.[number % this.index.chunk];
  }

  /** Have the photos from `first` to `last` here.
   * @param {number} first
   * @param {number} last
   * @returns {Promise<void>} */
  async need(first, last) {
    const size = this.index.chunk, end = Math.min(Math.floor(last / size), this.index.starts.length - 1);
    const waiting = new Set();
    for (let at = Math.max(0, Math.floor(first / size)); at <= end; at += 1) {
      const chunk = this.chunks.get(at);
      if (chunk) { this.chunks.delete(at); this.chunks.set(at, chunk); continue; } // the last used last
      if (!this.coming.has(at)) {
        let until = at + 1;
        while (until <= end && until - at < TOGETHER && !this.chunks.has(until) && !this.coming.has(until)) until += 1;
        const fetched = this.fetch(at, until).finally(() => { for (let one = at; one < until; one += 1) this.coming.delete(one); });
        for (let one = at; one < until; one += 1) this.coming.set(one, fetched);
      }
      waiting.add(this.coming.get(at));
    }
    await Promise.all(waiting);
  }

  /** @param {number} from
   * @param {number} until */
  async fetch(from, until) {
    const { starts, chunk, photos } = this.index;
    const keys = new URLSearchParams({ from: starts[from], ...(until < starts.length ? { to: starts[until] } : {}) });
    const found = /** @type {Thumb[]} */ ((await ask(`photos?${keys}`)).photos);
    const expected = Math.min(until * chunk, photos) - from * chunk;
    if (found.length !== expected) { this.changed(); return; }
    for (let at = from; at < until; at += 1) this.chunks.set(at, found.slice((at - from) * chunk, (at - from + 1) * chunk));
    for (const old of [...this.chunks.keys()].slice(0, -KEPT)) this.chunks.delete(old);
  }

  /** The number of a photo with that key, by the order of keys.
   * @param {string} key
   * @param {number} id
   * @returns {Promise<number>} */
  async find(key, id) {
    const { starts, chunk } = this.index;
    let low = 0, high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (isBefore(key, starts[middle])) high = middle; else low = middle;
    }
    await this.need(low * chunk, low * chunk);
    const at = this.chunks.get(low)?.findIndex((thumb) => thumb.id === id) ?? -1;
    return at < 0 ? -1 : low * chunk + at;
  }
}

/** Whether a photo with key `one` comes before the one with key `other`.
 * @param {string} one
 * @param {string} other */
export function isBefore(one, other) {
  const [left, first] = one.split(","), [right, second] = other.split(",");
  if (left === right) return Number(first) < Number(second);
  const undated = left.startsWith("~"), others = right.startsWith("~");
  if (undated !== others) return others;
  return undated ? left < right : left > right;
}
