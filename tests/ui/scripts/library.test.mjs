// Where everything is in the grid of photos.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CAPTION, columnsOf, dayOf, GAP, HEADING, layout, rowAt, rowOf } from "../../../src/batch_processing/ui/web/static/library-layout.js";

/** Days as chance has them, the same on every run. */
function chance(seed) {
  let state = seed;
  const random = () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648;
  const days = [];
  for (let number = 0; number < 200; number += 1) {
    days.push({ date: new Date(Date.UTC(2019, 11, 31) - number * 86400000 * Math.ceil(3 * random())).toISOString().slice(0, 10), photos: 1 + Math.floor(random() ** 4 * 60) });
  }
  days.push({ date: "", photos: 33 });
  return days;
}

test("every photo stands in exactly one row, in order, and no row is wider than the window", () => {
  for (const width of [366, 700, 1240, 3000]) {
    const days = chance(width), plan = layout(days, width);
    let photo = 0, top = 0;
    for (const row of plan.rows) {
      assert.equal(row.top, top);
      assert.equal(row.first, photo);
      assert.ok(row.photos <= plan.columns);
      if (row.month === undefined) assert.ok(row.photos > 0);
      photo += row.photos;
      top += row.height;
    }
    assert.equal(photo, days.reduce((sum, day) => sum + day.photos, 0));
    assert.equal(top, plan.height);
    assert.ok(plan.columns * plan.side + (plan.columns - 1) * GAP <= width);
  }
});

test("a day begins in a row of its own, or beside others that it has room with", () => {
  const plan = layout([{ date: "2019-07-04", photos: 2 }, { date: "2019-07-03", photos: 3 }, { date: "2019-07-02", photos: 4 }], 7 * 164 + 6 * GAP);
  assert.equal(plan.columns, 7);
  assert.deepEqual(plan.rows.map((row) => [row.first, row.photos, row.days]), [[0, 0, []], [0, 5, [0, 2]], [5, 4, [5]]]);
  assert.deepEqual(plan.rows.map((row) => row.height), [HEADING, plan.side + GAP + CAPTION, plan.side + GAP + CAPTION]);
});

test("months have headings, and so have the photos without a date", () => {
  const plan = layout([{ date: "2019-08-01", photos: 1 }, { date: "2019-07-31", photos: 1 }, { date: "2018", photos: 1 }, { date: "", photos: 1 }], 800);
  assert.deepEqual(plan.rows.filter((row) => row.month !== undefined).map((row) => row.month), ["2019-08", "2019-07", "2018", ""]);
});

test("rows, photos and days are found again", () => {
  const plan = layout(chance(7), 1240);
  for (const [number, row] of plan.rows.entries()) {
    assert.equal(rowAt(plan.rows, row.top), number);
    assert.equal(rowAt(plan.rows, row.top + row.height - 1), number);
    for (let photo = row.first; photo < row.first + row.photos; photo += 1) assert.equal(rowOf(plan.rows, photo), number);
  }
  assert.equal(rowAt(plan.rows, -100), 0);
  for (const [number, first] of plan.starts.entries()) assert.equal(dayOf(plan.starts, first), number);
});

test("a hundred thousand photos are laid out at once", () => {
  const days = Array.from({ length: 7000 }, (_, number) => ({ date: new Date(Date.UTC(2024, 0, 1) - number * 86400000).toISOString().slice(0, 10), photos: 1 + (number * 7) % 29 }));
  const begun = performance.now();
  layout(days, 1240);
  assert.ok(performance.now() - begun < 200);
});

test("a phone has three photos in a row", () => {
  assert.equal(columnsOf(366).columns, 3);
});
