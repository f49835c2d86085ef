// Where everything is in the grid of photos: computed from the numbers of photos a day alone, for any number of photos.

export const CAPTION = 26; // px above the first photo of a day
export const HEADING = 52; // px of the name of a month
export const GAP = 4; // px between photos
const LEAST = 3, WANTED = 164; // photos in a row at the least, px of a side that is wanted

/** `date`: YYYY-MM-DD, or as much of it as is known, "" for none.
 * @typedef {{date: string, photos: number}} Day */
/** A row of the grid. `month`: of a heading, else undefined; `first`: the number of its first photo, from 0; `days`: the numbers
 * of photos with which days begin here.
 * @typedef {{top: number, height: number, first: number, photos: number, month?: string, days: number[]}} Row */
/** @typedef {{rows: Row[], height: number, columns: number, side: number, starts: number[]}} Layout */

/** How many photos stand in a row, and how large they are.
 * @param {number} width */
export function columnsOf(width) {
  const columns = Math.max(LEAST, Math.floor((width + GAP) / (WANTED + GAP)));
  return { columns, side: Math.floor((width - GAP * (columns - 1)) / columns) };
}

/** Rows for these days, in their order: a heading for each month, days side by side where they fit into a row, and a new row
 * for one that does not.
 * @param {Day[]} days
 * @param {number} width
 * @returns {Layout} */
export function layout(days, width) {
  const { columns, side } = columnsOf(width);
  /** @type {Row[]} */
  const rows = [];
  /** @type {number[]} the number of each day's first photo */
  const starts = [];
  let top = 0, first = 0, month = "?";
  /** @type {Row | null} */
  let open = null;
  const close = () => {
    if (!open) return;
    open.height = side + GAP + (open.days.length ? CAPTION : 0);
    top += open.height;
    open = null;
  };
  const begin = () => {
    close();
    open = { top, height: 0, first, photos: 0, days: [] };
    rows.push(open);
    return open;
  };
  for (const day of days) {
    if (day.date.slice(0, 7) !== month) {
      close();
      month = day.date.slice(0, 7);
      rows.push({ top, height: HEADING, first, photos: 0, month, days: [] });
      top += HEADING;
    }
    starts.push(first);
    let left = day.photos;
    /** @type {Row} */
    let row = open && left <= columns - /** @type {Row} */ (open).photos ? open : begin();
    row.days.push(first);
    while (left) {
      if (row.photos === columns) row = begin();
      const more = Math.min(left, columns - row.photos);
      row.photos += more;
      first += more;
      left -= more;
    }
  }
  close();
  return { rows, height: top, columns, side, starts };
}

/** The number of the last row that begins at or above `y`.
 * @param {Row[]} rows
 * @param {number} y */
export function rowAt(rows, y) {
  return last(rows.length, (number) => rows[number].top <= y);
}

/** The number of the row that holds a photo.
 * @param {Row[]} rows
 * @param {number} photo */
export function rowOf(rows, photo) {
  let found = last(rows.length, (number) => rows[number].first <= photo);
  while (found > 0 && !rows[found].photos) found -= 1;
  return found;
}

/** The number of the day that holds a photo.
 * @param {number[]} starts
 * @param {number} photo */
export const dayOf = (starts, photo) => last(starts.length, (number) => starts[number] <= photo);

/** The last number below `count` that holds, 0 if none does; those that hold come first.
 * @param {number} count
 * @param {(number: number) => boolean} holds */
function last(count, holds) {
  let low = 0, high = count;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (holds(middle)) low = middle; else high = middle;
  }
  return low;
}
