// The editor: one page of a finished job in a window of its own, to be put right by hand.
//
//   canvas.js        a page as arrays, and how they become pixels     edit-palette.js  the colours
//   edit-stage.js    the page on the screen, and the pointer           edit-review.js   the doubtful places, in turn
//   edit-server.js   questions, wishes, pages fetched ahead            edit-book.js     all pages, their palette as a file, learning
//   edit-pick.js     colours from pictures                             edit-keys.js     keys
//
// What is changed is drawn here at once and sent to the server, which keeps it and writes the page; what the server then says
// of the page is compared with what is shown, so that two windows on one page see the same.
import { anchors, around, changed, colorOf, enclosed, hex, inside, labelAt, OWN, rgbOf, snapped, thinned } from "./canvas.js";
import { dropped, learn, paletteFrom, showLeaves } from "./edit-book.js";
import { listen, showKeys } from "./edit-keys.js";
import { Palette } from "./edit-palette.js";
import { colorAt, showTab } from "./edit-pick.js";
import { Review } from "./edit-review.js";
import {
  askBook, askFlats, askNews, askPalette, askReview, askSheet, askStandingFast, flush, forgetAhead, isSent, outgoing, post, prefetch,
  Refused, send,
} from "./edit-server.js";
import { Stage } from "./edit-stage.js";
import { $, make, say, tell, toast } from "./edit-words.js";

/** @typedef {import("./canvas.js").Rgb} Rgb */
/** @typedef {import("./edit-stage.js").Tool} Tool */

const POLL = 1500, SOON = 500; // milliseconds between questions how the page stands
/** @type {import("./edit-server.js").Book} */
let book;
/** @type {import("./edit-server.js").Leaf} */
let leaf;
/** @type {import("./edit-server.js").News | null} */
let news = null;
/** @type {Map<number, Rgb>} */
let drawn = new Map();
let turn = 0; // of opening pages: what comes late is for another
let way = 1; // in which pages were turned last
let acts = 0, synced = 0; // edits made here, and those that the page has been compared after
let given = 0; // the edit that gave a colour last
let reading = false; // a stroke is on its way to the server

const stage = new Stage({
  click: (x, y, more, whole) => clicked(x, y, more, whole),
  twice: (x, y) => { const label = at(x, y); if (label) chooseAll(idOf(label)); },
  loop: (points, more) => { if (stage.flats) choose([...(more ? stage.chosen : []), ...inside(stage.flats, points)]); },
  stroke: (points) => void stroked(points),
  hover: (label) => describe(label ? new Set([label]) : stage.chosen),
  pick: (x, y) => void picked(x, y),
});
const palette = new Palette({ give: (id) => give(id), all: (id) => void takeAll(id), change: (wish) => void change(wish), go: (number, id) => void openAt(number, id) });
const review = new Review({
  open: (number) => open(number),
  find: (place) => findPlace(place),
  show: (label) => { choose([label]); const box = stage.boxOf([label]); if (box) stage.frame(box); },
  choose: (labels) => choose(labels),
  accept: () => accept(),
  approve: () => void approveAll(),
  ended: () => { stage.framed = null; choose([]); },
});

const at = (/** @type {number} */ x, /** @type {number} */ y) => (stage.flats ? labelAt(stage.flats, x, y) : 0);
const regions = () => stage.flats?.regions ?? [];
const idOf = (/** @type {number} */ label) => regions()[label - 1].id;
const color = (/** @type {number} */ id) => colorOf(id, drawn, shownOf());
const editable = () => Boolean(stage.flats);

/** What the references show for each id, on this page or in the book. */
function shownOf() {
  const shown = new Map([...palette.swatches].map(([id, swatch]) => [id, swatch.reference]));
  for (const [id, rgb] of stage.flats?.shown ?? []) shown.set(id, rgb);
  return shown;
}

// -- pages -----------------------------------------------------------------------------------------------------

/** Show a page of the book.
 * @param {number} number
 * @param {boolean} [again] also where it is the one that is shown */
async function open(number, again = false) {
  if (book.leaves[number - 1]?.done === false) book = await askBook().catch(() => book); // it may be by now
  const wanted = book.leaves[number - 1];
  if (!wanted || (wanted === leaf && !again && (stage.flats || !leaf.item))) return;
  const mine = (turn += 1);
  way = leaf && wanted.number < leaf.number ? -1 : 1;
  leaf = wanted;
  news = null;
  palette.forget();
  history.replaceState(null, "", `/edit/${book.job}/${number}`);
  document.title = `${leaf.key} · ${book.name} · Lote`;
  $("#title").textContent = leaf.key;
  $("#title").title = leaf.key;
  $("#count").textContent = say("page", { number, count: book.leaves.length });
  stage.show(leaf.picture, null, false);
  const coming = leaf.item && !leaf.done && book.saving.state === "waiting";
  hintOf(!leaf.item ? say("passed") : coming ? "" : !leaf.done ? book.refused || say("unfinished") : book.refused);
  wait(coming ? say("coloring") : "");
  describe(new Set());
  controls();
  if (leaf.item && leaf.done && !book.refused) {
    const slow = setTimeout(() => wait(say("opening")), 400);
    try {
      const [sheet, { told, flats }] = await Promise.all([askSheet(leaf.item), askStandingFast(leaf.item)]);
      if (mine !== turn) return;
      hear(told);
      stage.color = color;
      stage.open(sheet, flats);
      if (stage.view === "before") stage.look("before", leaf.before);
      synced = acts;
      palette.page(flats);
      describe(new Set());
      sync(true).catch(() => undefined); // it may have been fetched some time ago
    } catch (error) {
      if (mine === turn) toast(error instanceof Error ? error.message : String(error), true);
    } finally {
      clearTimeout(slow);
      if (mine === turn) wait("");
    }
  } else palette.page(null);
  if (mine !== turn) return;
  controls();
  tell(`${leaf.key}, ${say("page", { number, count: book.leaves.length })}`);
  // The server makes first what it is asked for last.
  for (const by of [2 * way, -way, way]) prefetch(book.leaves[number - 1 + by]);
}

/** @param {number} number
 * @param {number} id */
async function openAt(number, id) {
  await open(number);
  chooseAll(id);
}

/** Take in what the server says of the page.
 * @param {import("./edit-server.js").News} told */
function hear(told) {
  const colors = JSON.stringify(told.drawn), before = JSON.stringify(news?.drawn);
  const names = JSON.stringify(told.names) !== JSON.stringify(news?.names);
  news = told;
  leaf.approved = told.approved;
  drawn = new Map(told.drawn.map(([id, r, g, b]) => [id, [r, g, b]]));
  palette.names = new Map(told.names);
  palette.color = color;
  if (colors !== before || names) {
    palette.render();
    stage.redraw();
  }
  controls();
}

/** Compare what is shown with what the server has.
 * @param {boolean} [quietly] what is shown was fetched before it was wanted: that it has changed since is no news */
async function sync(quietly = false) {
  if (!leaf?.item || !stage.flats || !isSent() || reading) return;
  const mine = turn, made = acts;
  const told = await askNews(leaf.item);
  outgoing.lost = false;
  if (mine !== turn || made !== acts || !isSent() || reading) return;
  hear(told);
  if (told.digest === stage.flats.mark) { synced = acts; return; }
  const flats = await askFlats(leaf.item);
  if (mine !== turn || made !== acts || !isSent() || reading || !stage.flats) return;
  const theirs = synced === acts;
  take(flats);
  synced = acts;
  if (theirs && !quietly) toast(say("more"));
}

/** Show other regions of the same page.
 * @param {import("./canvas.js").Flats} flats */
function take(flats) {
  if (!stage.flats) return;
  if (flats.width !== stage.flats.width || flats.height !== stage.flats.height) {
    void open(leaf.number, true);
    return;
  }
  const before = stage.flats, box = changed(before, flats);
  // Numbers of regions are those of one answer: what is taken is found again by its place.
  const places = [...stage.chosen].flatMap((label) => anchors(before, label, 1));
  stage.flats = flats;
  if (stage.hovered > flats.regions.length) stage.hovered = 0;
  const [sx, sy] = [flats.width / flats.page[0], flats.height / flats.page[1]];
  stage.choose(places.map(([x, y]) => at((x + 0.5) * sx, (y + 0.5) * sy)).filter((label) => label > 0));
  if (box) stage.redraw(box);
  palette.page(flats);
  describe(stage.chosen);
}

async function poll() {
  let colors = 0;
  for (;;) {
    const busy = news?.saving.state === "saving";
    await new Promise((resolve) => setTimeout(resolve, busy || acts !== synced ? SOON : POLL));
    if (document.hidden) continue;
    try {
      if (!leaf || (leaf.item && !leaf.done)) await lookAgain();
      const before = news?.saving.state;
      await sync();
      if (before === "saving" && news?.saving.state === "saved" && (colors += 1)) void loadPalette();
    } catch (error) {
      outgoing.lost = !(error instanceof Refused);
    }
    controls();
  }
}

/** Whether the page that is waited for is there by now. */
async function lookAgain() {
  const before = book.saving.state;
  book = await askBook();
  if (!leaf) await openFirst();
  else if (book.leaves[leaf.number - 1]?.done || book.saving.state !== before) {
    await open(leaf.number, true);
    void loadPalette();
    await frameDoubt();
  }
}

/** Show the page that was asked for; while it is coloured for the first time there may be none. */
async function openFirst() {
  const coming = book.saving.state === "waiting";
  wait(coming ? say("coloring") : "");
  if (!book.leaves.length) hintOf(coming ? "" : book.refused);
  await open(firstPage());
  await frameDoubt();
}

/** Of a page that is tried, show what is most doubtful, once. */
async function frameDoubt() {
  if (!("trial" in document.body.dataset) || !stage.flats) return;
  delete document.body.dataset.trial;
  const { places } = await askReview();
  const label = places.map((place) => findPlace(place)).find((found) => found > 0);
  if (label) review.hooks.show(label);
}

const firstPage = () => Math.min(book.leaves.length, Math.max(1, Number(document.body.dataset.page)));

async function loadPalette() {
  try {
    const { colors } = await askPalette();
    palette.swatches = new Map(colors.map((swatch) => [swatch.id, swatch]));
    palette.color = color;
    palette.render();
  } catch { /* the next save brings it */ }
}

// -- regions and colours ----------------------------------------------------------------------------------------

/** @param {Iterable<number>} labels */
function choose(labels) {
  stage.choose(labels);
  palette.anew();
  describe(stage.chosen);
}

/** @param {number} x
 * @param {number} y
 * @param {boolean} more
 * @param {boolean} whole the area up to the lines */
function clicked(x, y, more, whole) {
  if (!editable()) { if (leaf && !leaf.item) void picked(x, y); return; }
  const label = at(x, y);
  if (!label) { if (!more) choose([]); return; }
  if (whole) choose([...(more ? stage.chosen : []), ...area([label])]);
  else if (!more) choose([label]);
  else choose(stage.chosen.has(label) ? [...stage.chosen].filter((one) => one !== label) : [...stage.chosen, label]);
}

/** Regions with all that no line parts from them.
 * @param {Iterable<number>} labels */
const area = (labels) => (stage.flats && stage.sheet ? enclosed(stage.flats, stage.sheet, labels) : []);

/** @param {number} id */
function chooseAll(id) {
  const found = regions().flatMap((region, index) => (region.id === id && region.area > 0 ? [index + 1] : []));
  if (found.length) choose(found);
}

/** Say what is taken.
 * @param {Set<number>} labels */
function describe(labels) {
  const place = $("#chosen");
  if (!labels.size || !stage.flats) {
    place.replaceChildren(make("p", { class: "muted" }, editable() ? say("nothing") : " "));
    return;
  }
  const [first] = labels;
  const region = regions()[first - 1];
  const one = labels.size === 1;
  const same = [...labels].every((label) => idOf(label) === region.id);
  const chip = make("span", { class: "chip large" });
  chip.style.background = hex(color(region.id));
  const sure = region.why === "hint" ? say("said") : say("sure", { share: Math.floor(100 * region.confidence) });
  place.replaceChildren(
    ...(same ? [chip] : []),
    make("div", {}, make("strong", {}, same ? palette.name(region.id) : say("regions", { count: labels.size })),
      make("div", { class: "muted" }, one ? sure : say("regions", { count: labels.size }))),
  );
}

/** Make a colour the brush's.
 * @param {number} id */
function hold(id) {
  palette.current = id;
  stage.brush.color = hex(color(id));
  if (stage.flats && !stage.flats.shown.has(id)) stage.flats.shown.set(id, color(id));
  palette.render();
  stage.mark();
}

/** Give what is taken a colour; where nothing is, it is the brush's.
 * @param {number} id */
function give(id) {
  hold(id);
  const flats = stage.flats;
  if (!flats || !stage.chosen.size || stage.tool === "brush") return;
  const labels = [...stage.chosen].filter((label) => flats.regions[label - 1].area > 0);
  const points = labels.flatMap((label) => anchors(flats, label));
  for (const label of labels) {
    const region = flats.regions[label - 1];
    region.id = id;
    region.confidence = 1;
    region.why = "hint";
  }
  const box = stage.boxOf(labels);
  if (box) stage.redraw(box);
  acts += 1;
  given = acts;
  palette.page(flats);
  describe(stage.chosen);
  const elsewhere = review.elsewhere();
  if (elsewhere.length) forgetAhead();
  void done(post({ do: "give", pages: [{ key: leaf.key, points }, ...elsewhere], color: { id, rgb: natural(id) } }));
  review.settled();
}

/** Take all regions of a colour of the panel: the first click of two has given it, which is taken back.
 * @param {number} id */
async function takeAll(id) {
  const mine = given;
  given = 0;
  if (mine === acts) await step("undo");
  chooseAll(id);
}

/** What the references show for an id: what is drawn may be another.
 * @param {number} id
 * @returns {Rgb} */
const natural = (id) => colorOf(id, new Map(), shownOf());

function accept() {
  const [first] = stage.chosen;
  if (first) {
    const before = palette.current;
    give(idOf(first));
    palette.current = before;
  }
}

/** @param {Promise<void>} sent */
async function done(sent) {
  controls();
  await sent;
  controls();
}

/** A stroke was drawn, in pixels of the planes.
 * @param {[number, number][]} trail */
async function stroked(trail) {
  const flats = stage.flats;
  if (!flats) return;
  if (stage.tool === "brush" && palette.current < 0) { toast(say("no-color")); return; }
  const [sx, sy] = [flats.page[0] / flats.width, flats.page[1] / flats.height];
  const clip = (/** @type {number} */ value, /** @type {number} */ most) => Math.min(most - 1, Math.max(0, Math.round(value * 10) / 10));
  const points = thinned(trail).map(([x, y]) => [clip(x * sx, flats.page[0]), clip(y * sy, flats.page[1])]);
  const id = Math.max(0, palette.current);
  acts += 1;
  const mine = turn, kept = trail;
  stage.trail = kept; // until the answer is there
  reading = true;
  stage.mark();
  try {
    await post({
      do: stage.tool === "eraser" ? "erase" : "stroke", page: { key: leaf.key, points }, color: { id, rgb: natural(id) },
      size: Math.max(1, stage.brush.size * sx),
    });
    if (mine !== turn) return;
    const fresh = await askFlats(leaf.item);
    if (mine === turn) take(fresh);
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), true);
  } finally {
    reading = false;
    if (stage.trail === kept) stage.trail = [];
    stage.mark();
    controls();
  }
}

/** A colour was clicked on the page.
 * @param {number} x
 * @param {number} y */
async function picked(x, y) {
  if (stage.flats) {
    const label = at(x, y);
    if (label) give(idOf(label));
    return;
  }
  const picture = stage.picture;
  await pickFrom(picture, `${leaf.picture}&pick=1`, x / stage.size[0], y / stage.size[1]);
}

/** Give the colour of a picture at a place, 0 to 1.
 * @param {HTMLImageElement} image
 * @param {string} source of its lossless form
 * @param {number} x
 * @param {number} y */
async function pickFrom(image, source, x, y) {
  const rgb = await colorAt(source, x, y);
  image.classList.add("taken");
  give(ownId(rgb));
}

/** The id of a colour: the palette's, where it has one so near.
 * @param {Rgb} rgb */
function ownId(rgb) {
  const id = snapped(rgb, [...shownOf()].filter(([known]) => known < OWN));
  if (id >= OWN) stage.flats?.shown.set(id, rgb);
  return id;
}

/** @param {"undo" | "redo"} way */
async function step(way) {
  if (!stage.flats) return;
  try {
    await flush();
    const mine = turn;
    acts += 1;
    const { pages } = await send({ do: way, key: leaf.key });
    if (mine !== turn) return;
    const [told, flats] = await Promise.all([askNews(leaf.item), askFlats(leaf.item)]);
    if (mine !== turn) return;
    take(flats);
    hear(told);
    if (pages.length) tell(say(way === "undo" ? "undone" : "redone"));
    if (pages.some((/** @type {string} */ key) => key !== leaf.key)) forgetAhead();
    if (pages.includes("")) void loadPalette();
  } catch (error) {
    toast(error instanceof Refused ? error.message : say("lost"), true);
  }
}

/** Change a colour of the book.
 * @param {Record<string, any>} wish */
async function change(wish) {
  for (const one of wish.colors ?? []) {
    if (one.rgb) drawn.set(one.id, one.rgb);
    if (one.name !== undefined) palette.names.set(one.id, one.name);
  }
  stage.redraw();
  palette.render();
  acts += 1;
  forgetAhead();
  await done(post(wish));
  forgetAhead(); // what was asked for meanwhile
  await loadPalette();
  await sync();
}

// -- the book ----------------------------------------------------------------------------------------------------

/** The label of a doubtful place on the page that is shown, 0 where a person has settled it.
 * @param {import("./edit-server.js").Place} place */
function findPlace(place) {
  const flats = stage.flats;
  if (!flats || leaf.item !== place.item) return 0;
  const [sx, sy] = [flats.width / flats.page[0], flats.height / flats.page[1]];
  const box = [
    Math.max(0, Math.floor(place.box[0] * sx) - 3), Math.max(0, Math.floor(place.box[1] * sy) - 3),
    Math.min(flats.width, Math.ceil(place.box[2] * sx) + 3), Math.min(flats.height, Math.ceil(place.box[3] * sy) + 3),
  ];
  const found = flats.regions.findIndex((region) => region.why !== "hint" && region.id === place.id && region.box.every((value, i) => value === box[i]));
  return found + 1;
}

async function approve(on = !leaf.approved) {
  if (!leaf.item || !leaf.done) return;
  try {
    await saved();
    await send({ do: "approve", key: leaf.key, on });
    leaf.approved = on;
    hear(await askNews(leaf.item));
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), true);
  }
  controls();
}

async function approveAll() {
  try {
    await saved();
    for (const one of book.leaves) {
      if (one.item && one.done && !one.approved) {
        await send({ do: "approve", key: one.key, on: true });
        one.approved = true;
      }
    }
    await sync();
    toast(say("approved"));
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), true);
  }
  controls();
}

/** Wait until everything is on disk: what is approved is what was written. */
async function saved() {
  await flush();
  for (;;) {
    const { saving } = await askNews(leaf.item);
    if (saving.state === "saved") return;
    if (saving.state === "failed") throw new Error(saving.text);
    await new Promise((resolve) => setTimeout(resolve, SOON));
  }
}

// -- the frame of it --------------------------------------------------------------------------------------------

/** @param {string} text */
function wait(text) {
  $("#wait").hidden = !text;
  $("#wait-text").textContent = text;
}

/** @param {string} text */
function hintOf(text) {
  $("#hint").textContent = text;
  $("#hint").hidden = !text;
}

/** Bring buttons and states up to date. */
function controls() {
  const button = (/** @type {string} */ name) => /** @type {HTMLButtonElement} */ ($(`[data-do=${name}]`));
  button("previous").disabled = !leaf || leaf.number <= 1;
  button("next").disabled = !leaf || leaf.number >= book.leaves.length;
  button("undo").disabled = !stage.flats || !(news?.undo || acts !== synced);
  button("redo").disabled = !stage.flats || !news?.redo;
  button("approve").disabled = !leaf?.item || !leaf.done;
  button("approve").setAttribute("aria-pressed", String(Boolean(leaf?.approved)));
  button("approve").textContent = say(leaf?.approved ? "approved" : "approve");
  button("review").disabled = Boolean(book.refused);
  button("learn").disabled = Boolean(book.refused);
  for (const tool of document.querySelectorAll("[data-tool]")) {
    /** @type {HTMLButtonElement} */ (tool).disabled = !stage.flats && Boolean(leaf?.item);
  }
  const place = $("#saving");
  /** @type {string} */
  let state = !isSent() || acts !== synced ? "saving" : news?.saving.state ?? "saved";
  if (outgoing.lost) state = "lost";
  if (news?.trouble) state = "failed";
  if (place.dataset.state === state) return;
  place.dataset.state = state;
  place.replaceChildren(say(state));
  if (state === "failed") {
    place.title = news?.trouble || news?.saving.text || "";
    toast(place.title, true);
    place.append(" ", make("button", { type: "button", class: "btn small", onclick: () => void send({ do: "save" }) }, say("again")));
  } else place.removeAttribute("title");
}

/** @param {Tool} name */
function useTool(name) {
  stage.tool = name;
  stage.root.dataset.using = name;
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (button).dataset.tool === name));
  }
  $(".size").hidden = name !== "brush" && name !== "eraser";
  if (stage.flats) hintOf(name === "brush" ? say("split") : name === "eraser" ? say("erase") : name === "pick" ? say("picking") : "");
  stage.mark();
}

/** @param {string} name */
function look(name) {
  if (!stage.flats) return;
  const view = name === stage.view ? "after" : name;
  stage.look(/** @type {any} */ (view), leaf.before);
  for (const button of document.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (button).dataset.view === view));
  }
}

/** @param {number} by */
function sized(by) {
  stage.brush.size = Math.min(80, Math.max(2, stage.brush.size + by));
  /** @type {HTMLInputElement} */ ($("#size")).value = String(stage.brush.size);
  stage.mark();
}

/** The next region by keyboard, large ones first; with `more` back.
 * @param {number} by */
function walk(by) {
  const order = regions().map((region, index) => [index + 1, region.area]).filter(([, area]) => area > 0);
  order.sort((a, b) => b[1] - a[1]);
  if (!order.length) return;
  const last = [...stage.chosen].pop() ?? 0;
  const here = order.findIndex(([label]) => label === last);
  const [label] = order[(here + by + order.length) % order.length];
  choose([label]);
  tell(`${palette.name(idOf(label))}`);
}

function toggleTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  localStorage.setItem("lote-theme", document.documentElement.dataset.theme);
}

function escape() {
  if (review.on) review.end();
  else choose([]);
}

/** @type {Record<string, () => void>} */
const actions = {
  previous: () => void open(leaf.number - 1), next: () => void open(leaf.number + 1), leaves: () => showLeaves(book.leaves, leaf, (number) => void open(number)), smaller: () => stage.zoom(1 / 1.3),
  larger: () => stage.zoom(1.3), fit: () => stage.fit(), undo: () => void step("undo"), redo: () => void step("redo"), theme: toggleTheme,
  review: () => (review.on ? review.end() : void review.begin().catch((error) => toast(error.message, true))),
  approve: () => void approve(), learn: () => void learn(saved), keys: showKeys, "palette-load": () => $("#palette-file").click(), close: () => /** @type {HTMLDialogElement} */ ($("#dialog")).close(),
  screen: () => void (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()).catch(() => undefined),
};

function wire() {
  document.addEventListener("click", (event) => {
    const button = /** @type {HTMLElement} */ (event.target).closest?.("[data-do], [data-tool], [data-view], [role=tab]");
    if (!(button instanceof HTMLElement)) return;
    if (button.dataset.do) actions[button.dataset.do]?.();
    else if (button.dataset.tool) useTool(/** @type {Tool} */ (button.dataset.tool));
    else if (button.dataset.view) look(button.dataset.view);
    else if (button.id.startsWith("tab-")) showTab(button.id.slice(4), book.references, pickFrom);
  });
  $("[role=tablist]").addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = document.querySelector("[role=tab][aria-selected=false]");
    if (other instanceof HTMLElement) { showTab(other.id.slice(4), book.references, pickFrom); other.focus(); }
  });
  const dialogBox = /** @type {HTMLDialogElement} */ ($("#dialog"));
  dialogBox.addEventListener("click", (event) => { if (event.target === dialogBox) dialogBox.close(); });
  $("#size").addEventListener("input", (event) => { stage.brush.size = Number(/** @type {HTMLInputElement} */ (event.target).value); });
  $("#own").addEventListener("change", (event) => give(ownId(rgbOf(/** @type {HTMLInputElement} */ (event.target).value))));
  /** @type {import("./edit-keys.js").Map} */
  const map = {
    "+": () => stage.zoom(1.3), "=": () => stage.zoom(1.3), "-": () => stage.zoom(1 / 1.3), 0: () => stage.fit(),
    ArrowLeft: actions.previous, ArrowRight: actions.next, f: actions.screen, "?": showKeys, r: actions.review, a: actions.approve,
    v: () => useTool("select"), l: () => useTool("lasso"), b: () => useTool("brush"), e: () => useTool("eraser"), i: () => useTool("pick"),
    "[": () => sized(-2), "]": () => sized(2), x: () => look("before"), o: () => look("flats"), d: () => look("doubt"),
    w: () => choose(area(stage.chosen)), n: () => walk(1), "Shift+n": () => walk(-1), "Ctrl+z": actions.undo, "Ctrl+Shift+z": actions.redo, "Ctrl+y": actions.redo,
    Escape: escape, Enter: () => review.accept(), s: () => review.skip(), t: () => review.all(),
  };
  for (let key = 1; key <= 9; key += 1) map[key] = () => { if (palette.here[key - 1] !== undefined) give(palette.here[key - 1]); };
  listen(map, (down) => { stage.space = down; stage.root.classList.toggle("hand", down); });
  const load = (/** @type {File} */ file) => void paletteFrom(file, shownOf(), change);
  $("#palette-file").addEventListener("change", (event) => {
    const input = /** @type {HTMLInputElement} */ (event.target);
    if (input.files?.[0]) load(input.files[0]);
    input.value = "";
  });
  dropped(load);
  outgoing.failed = (text) => { toast(text, true); return undefined; };
}

async function begin() {
  const theme = localStorage.getItem("lote-theme");
  if (theme) document.documentElement.dataset.theme = theme;
  book = await askBook();
  wire();
  useTool("select");
  void flush();
  const colors = loadPalette();
  await openFirst();
  await colors;
  palette.page(stage.flats);
  document.documentElement.dataset.lote = "ready";
  void poll();
}

/** For tests, and for the curious. */
Object.assign(window, { loteEditor: { stage, palette, review, around, open, steps: () => news?.undo ?? 0, item: () => leaf?.item ?? 0 } });
begin().catch((error) => toast(error.message, true));
