// The library: all photos by date, of which only those that can be seen are in the browser.
//
//   library-layout.js   where everything is       library-view.js     one photo, large
//   library-photos.js   what was fetched          library-look.js     photos that nobody has looked at
//   library-grid.js     rows on the screen        library-server.js   questions, dates and sizes
import { $, make, say } from "./edit-words.js";
import { Grid } from "./library-grid.js";
import { showLook } from "./library-look.js";
import { Photos } from "./library-photos.js";
import { ask, begin, dayName, fault, monthName, number, ready } from "./library-server.js";
import { Viewer } from "./library-view.js";

const AGAIN = 3000; // milliseconds between two looks whether the library has changed

/** @type {Photos} */
let photos;
let asked = 0;
const grid = new Grid($("#scroller"), $("#grid"), { open: (at) => viewer.open(at), moved: (date) => moved(date), failed: fault });
const viewer = new Viewer({
  count: () => photos.index.photos,
  photo: async (at) => { await photos.need(at, at); return photos.at(at); },
  closed: (at) => { if (photos.index.photos) grid.focus(at); },
});

/** Show what there is now. */
async function load() {
  asked = performance.now();
  const index = /** @type {import("./library-photos.js").Index} */ (await ask("index"));
  photos = new Photos(index, () => { if (performance.now() - asked > AGAIN) void load().catch(fault); });
  const counted = index.photos ? say("photos", { count: index.photos }).replace(String(index.photos), number(index.photos)) : "";
  $("#count").textContent = counted;
  $("#scroller").hidden = !index.photos;
  jumps(index);
  grid.show(photos);
  const beside = /** @type {import("./library-photos.js").Beside} */ (await ask("beside"));
  $("#empty").hidden = index.photos + beside.outside > 0;
  if (beside.copies) $("#count").textContent = `${counted} · ${say("hidden", { count: beside.copies }).replace(String(beside.copies), number(beside.copies))}`;
  $("#outside").hidden = !beside.outside;
  $("#outside").textContent = say("outside", { count: beside.outside }).replace(String(beside.outside), number(beside.outside));
  void showLook(beside.unseen, () => void load().catch(fault), () => { photos.chunks.clear(); grid.again(); }).catch(fault);
}

/** The months that can be gone to, by their years.
 * @param {import("./library-photos.js").Index} index */
function jumps(index) {
  const select = /** @type {HTMLSelectElement} */ ($("#jump"));
  const months = [...new Set(index.days.map(([date]) => date.slice(0, 7)))];
  /** @type {Map<string, HTMLElement>} */
  const years = new Map();
  for (const month of months) {
    const year = month.slice(0, 4);
    const option = make("option", { value: month }, month ? monthName(month) : say("undated"));
    if (!month) { years.set("", option); continue; }
    const group = years.get(year) ?? make("optgroup", { label: year });
    group.append(option);
    years.set(year, group);
  }
  select.replaceChildren(...years.values());
  /** @type {HTMLElement} */ (select.closest("label")).hidden = months.length < 2;
}

let faded = 0, shown = "";

/** The photos at the top of the window are of another day.
 * @param {string} date */
function moved(date) {
  const month = date.slice(0, 7);
  /** @type {HTMLSelectElement} */ ($("#jump")).value = month;
  const place = $("#when"), text = date ? (date.length >= 10 ? `${dayName(date)} ${date.slice(0, 4)}` : monthName(month)) : say("undated");
  if (text !== shown && shown) {
    place.hidden = false;
    clearTimeout(faded);
    faded = setTimeout(() => { place.hidden = true; }, 900);
  }
  shown = text;
  place.textContent = text;
}

begin({ previous: () => void viewer.step(-1), next: () => void viewer.step(1), close: () => viewer.box.close() });
$("#jump").addEventListener("change", (event) => grid.jump(/** @type {HTMLSelectElement} */ (event.target).value));
load().then(ready, (error) => { fault(error); ready(); });
/** @type {any} */ (window).loteLibrary = { grid, viewer, load };
