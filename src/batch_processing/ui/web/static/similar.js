// Copies and similar photos side by side: which stays, which go to the trash, and how they come back.
//
// Nothing goes before a dialog has named how many photos and bytes; the server compares both with what it finds itself.
import { $, make, say, tell, toast } from "./edit-words.js";
import { showLook } from "./library-look.js";
import { ask, begin, dateName, fault, number, ready, send, size, wait } from "./library-server.js";

/** @typedef {{name: string, value: string, differs: boolean}} Fact */
/** @typedef {{id: number, role: "keep" | "going" | "stays" | "absent", why: string, name: string, folder: string, mark: string,
 *   shape: number, size: number, keepable: boolean, facts: Fact[]}} Card */
/** @typedef {{kind: string, number: number, photo: number, ticked: boolean, cards: Card[], more: number}} Group */
/** @typedef {{doing: string, total: number, done: number, gain: number, left: {path: string, why: string}[], gone: number[],
 *   log: string, ended: boolean, problem: string}} Now */
/** @typedef {{name: string, when: string, photos: number, bytes: number, back: number, refused: number}} Past */

const BEAT = 500; // milliseconds

let of = new URLSearchParams(location.search).get("of") === "similar" ? "similar" : "copies";
/** @type {string | number} where the next groups begin, "" or 0 for the end */
let next = "";
let turn = 0, moving = false;
/** @type {Map<HTMLElement, {group: Group, ticked: Set<number>}>} */
const shown = new Map();

const list = $("#groups");
const dialog = /** @type {HTMLDialogElement} */ ($("#dialog"));
const rule = () => /** @type {HTMLSelectElement} */ ($(`#keep-${of}`)).value;
const under = () => (rule() === "under" ? /** @type {HTMLInputElement} */ ($("#under")).value.trim() : "");

// -- groups ------------------------------------------------------------------------------------------------------

/** Show the groups anew, from the first one on. */
async function load() {
  const mine = (turn += 1);
  shown.clear();
  list.replaceChildren();
  next = "";
  $("#more").hidden = true;
  $("#state").replaceChildren();
  for (const tab of ["copies", "similar"]) {
    const button = /** @type {HTMLElement} */ ($(`#tab-${tab}`));
    button.setAttribute("aria-selected", String(tab === of));
    button.tabIndex = tab === of ? 0 : -1;
    $(`#keep-${tab}`).hidden = tab !== of;
  }
  list.setAttribute("aria-labelledby", `tab-${of}`);
  $("#under-label").hidden = rule() !== "under";
  $("#turned-label").hidden = $("#find").hidden = of !== "similar";
  count();
  if (rule() === "under" && !under()) { $("#under").focus(); return; }
  await more(mine);
}

/** Show the groups that come after those that are shown.
 * @param {number} mine */
async function more(mine) {
  const asked = new URLSearchParams({ keep: rule(), under: under() });
  const button = /** @type {HTMLButtonElement} */ ($("#more"));
  button.disabled = true;
  try {
    let told;
    if (of === "copies") {
      told = await ask(`copies?${asked}&after=${next}`);
    } else {
      told = await ask(`similar?${asked}&from=${next || 0}`);
      if (told.state === "finding" && mine === turn) return void finding(mine);
      if (told.state === "none" && mine === turn) return empty("not-compared", say("not-compared-text"));
      $("#find").textContent = say("again");
    }
    if (mine !== turn) return;
    for (const group of /** @type {Group[]} */ (told.groups)) add(group);
    next = told.next;
    button.hidden = !next;
    if (!shown.size && !next) empty(`none-${of}`, of === "copies" ? say("none-copies-text") : "");
    count();
  } catch (error) {
    if (mine === turn) fault(error);
  } finally {
    button.disabled = false;
  }
}

/** @param {string} title
 * @param {string} text */
function empty(title, text) {
  $("#state").replaceChildren(make("div", { class: "empty" }, make("h2", {}, say(title)), ...(text ? [make("p", {}, text)] : [])));
}

/** Wait while the pictures are compared.
 * @param {number} mine */
async function finding(mine) {
  $("#state").replaceChildren(make("p", { class: "row" }, make("span", { class: "spin" }), say("finding")));
  /** @type {HTMLButtonElement} */ ($("#find")).disabled = true;
  await wait(BEAT);
  /** @type {HTMLButtonElement} */ ($("#find")).disabled = false;
  if (mine === turn) await load();
}

async function find() {
  try {
    await send("similar/do", { do: "find", turned: /** @type {HTMLInputElement} */ ($("#turned")).checked });
    await load();
  } catch (error) {
    fault(error);
  }
}

/** @param {Group} group */
function add(group) {
  const last = /** @type {HTMLElement | null} */ (list.lastElementChild)?.dataset.kind;
  if (group.kind !== last) {
    list.append(make("header", { class: "kind", "data-kind": group.kind }, make("h2", {}, say(`kind-${group.kind}`)), make("p", { class: "muted" }, say(`about-${group.kind}`))));
  }
  const place = make("section", { class: "group", "data-kind": group.kind });
  const ticked = new Set(group.ticked ? group.cards.filter((card) => card.role === "going").map((card) => card.id) : []);
  shown.set(place, { group, ticked });
  draw(place);
  list.append(place);
}

/** @param {HTMLElement} place */
function draw(place) {
  const { group, ticked } = /** @type {{group: Group, ticked: Set<number>}} */ (shown.get(place));
  const first = group.cards.find((card) => card.role === "keep") ?? group.cards[0];
  place.setAttribute("aria-label", say("group", { names: first.name }));
  place.replaceChildren(
    make("div", { class: "cards" }, ...group.cards.map((card) => cardOf(place, group, card, ticked))),
    ...(group.more ? [make("p", { class: "muted" }, say("more-cards", { count: group.more }))] : []),
  );
}

/** @param {HTMLElement} place
 * @param {Group} group
 * @param {Card} card
 * @param {Set<number>} ticked */
function cardOf(place, group, card, ticked) {
  const picture = make("button", { type: "button", class: "picture", "aria-label": say("enlarge", { name: card.name }), onclick: () => enlarge(card) },
    card.shape
      ? make("img", { loading: "lazy", decoding: "async", alt: "", src: `/lote/library/photo/${card.id}/preview?v=${card.mark}` })
      : make("span", { class: "muted" }, say("no-preview")));
  const state = make("div", { class: "state" });
  if (card.role === "going") {
    const box = make("input", { type: "checkbox", checked: ticked.has(card.id), "aria-label": say("tick", { name: card.name }) });
    box.addEventListener("change", () => {
      if (box.checked) ticked.add(card.id); else ticked.delete(card.id);
      element.classList.toggle("goes", box.checked);
      count();
    });
    state.append(make("label", { class: "check" }, box, say("going")));
  } else state.append(make("strong", { class: card.role }, say(card.role)));
  const element = make("article", { class: `card ${card.role}${ticked.has(card.id) ? " goes" : ""}` },
    picture, state,
    make("bdi", { class: "name" }, card.name), make("bdi", { class: "path" }, card.folder),
    ...(card.why ? [make("p", { class: "why" }, card.why)] : []),
    make("dl", {}, ...card.facts.map(({ name, value, differs }) => make("div", { class: differs ? "differs" : undefined }, make("dt", {}, name), make("dd", {}, value)))),
    ...(card.role !== "keep" && card.keepable
      ? [make("button", { type: "button", class: "btn small", onclick: () => void choose(place, card.id) }, say("keep-this"))] : []),
  );
  return element;
}

/** Have another photo of a group stay.
 * @param {HTMLElement} place
 * @param {number} kept */
async function choose(place, kept) {
  const { group } = /** @type {{group: Group}} */ (shown.get(place));
  try {
    const made = /** @type {Group} */ (await ask(`group?${new URLSearchParams({ of, number: String(group.number), kept: String(kept), under: under() })}`));
    shown.set(place, { group: made, ticked: new Set(made.ticked ? made.cards.filter((card) => card.role === "going").map((card) => card.id) : []) });
    draw(place);
    count();
    /** @type {HTMLElement | null} */ (place.querySelector(".card.keep .picture"))?.focus();
  } catch (error) {
    fault(error);
  }
}

/** @param {Card} card */
function enlarge(card) {
  open(card.name,
    make("img", { class: "enlarged", alt: card.name, src: `/lote/library/photo/${card.id}/large?v=${card.mark}` }),
    make("p", { class: "path" }, card.folder),
    make("div", { class: "row end" }, make("button", { type: "button", class: "btn", onclick: () => dialog.close() }, say("close"))));
  dialog.classList.add("wide");
}

// -- what goes ---------------------------------------------------------------------------------------------------

/** What is ticked: photos and bytes. */
function sum() {
  let photos = 0, bytes = 0;
  for (const { group, ticked } of shown.values()) {
    for (const card of group.cards) if (ticked.has(card.id)) { photos += 1; bytes += card.size; }
  }
  return { photos, bytes };
}

function count() {
  const { photos, bytes } = sum();
  $("#ticked").hidden = !shown.size || moving;
  $("#sum").textContent = say("sum", { count: photos, size: size(bytes) });
  /** @type {HTMLButtonElement} */ ($("[data-do=trash]")).disabled = !photos;
  /** @type {HTMLButtonElement} */ ($("[data-do=none]")).disabled = !photos;
}

function none() {
  for (const [place, { ticked }] of shown) { if (ticked.size) { ticked.clear(); draw(place); } }
  count();
}

/** @param {string} title
 * @param {...Node} body */
function open(title, ...body) {
  dialog.classList.remove("wide");
  $("#dialog-title").textContent = title;
  $("#dialog-body").replaceChildren(...body);
  if (!dialog.open) dialog.showModal();
}

function trash() {
  const { photos, bytes } = sum();
  if (!photos) { toast(say("nothing")); return; }
  const places = { count: number(photos), size: size(bytes) };
  const sure = make("button", { type: "button", class: "btn primary", onclick: () => { sure.disabled = true; void go(photos, bytes); } },
    say("do-it", { count: photos }).replace(String(photos), number(photos)));
  open(say("ask", { ...places, count: photos }).replace(String(photos), number(photos)),
    make("p", {}, say("ask-text")),
    ...(of === "similar" ? [make("p", {}, say("ask-picture"))] : []),
    make("div", { class: "row end" }, make("button", { type: "button", class: "btn", autofocus: true, onclick: () => dialog.close() }, say("not-now")), sure));
}

/** @param {number} photos
 * @param {number} bytes */
async function go(photos, bytes) {
  const groups = [];
  for (const { group, ticked } of shown.values()) {
    const kept = group.cards.find((card) => card.role === "keep");
    if (kept && ticked.size) groups.push({ number: group.number, kept: kept.id, going: [...ticked] });
  }
  try {
    await send("similar/do", { do: "trash", of, groups, photos, bytes, under: under() });
    await follow();
  } catch (error) {
    dialog.close();
    fault(error);
  }
}

/** Show how moving goes on, to its end. */
async function follow() {
  moving = true;
  count();
  let now = await news();
  while (!now.ended) {
    const text = say(now.doing === "back" ? "backing" : "moving", { done: number(now.done), total: number(now.total) });
    if (!$("#dialog-body").querySelector("progress")) {
      open(text, make("progress", { max: now.total, value: now.done, "aria-label": text }),
        make("div", { class: "row end" }, make("button", { type: "button", class: "btn", onclick: () => void send("similar/do", { do: "stop" }).catch(fault) }, say("stop"))));
    }
    $("#dialog-title").textContent = text;
    /** @type {HTMLProgressElement} */ ($("#dialog-body progress")).value = now.done + now.left.length;
    await wait(BEAT);
    now = await news().catch(() => now);
  }
  moving = false;
  over(now);
}

/** @returns {Promise<Now>} */
async function news() {
  const told = await ask("cleaning");
  past(told.past, told.told);
  return told.now;
}

/** Say what became of it.
 * @param {Now} now */
function over(now) {
  const back = now.doing === "back";
  const title = back ? say("returned", { count: now.done }) : say("moved", { count: now.done, size: size(now.gain) });
  open(title,
    ...(now.problem ? [make("p", { class: "problem" }, now.problem)] : []),
    ...(now.left.length ? [make("p", {}, say("left-alone", { count: now.left.length })), make("ul", { class: "refused" },
      ...now.left.map(({ path, why }) => make("li", {}, make("bdi", { class: "path" }, path), ` ${why}`)))] : []),
    make("div", { class: "row end" },
      ...(!back && now.done && canTakeBack ? [make("button", { type: "button", class: "btn", onclick: () => void takeBack(now.log) }, say("back"))] : []),
      make("button", { type: "button", class: "btn primary", autofocus: true, onclick: () => dialog.close() }, say("close"))));
  tell(title);
  if (back) { void load(); return; }
  const gone = new Set(now.gone);
  for (const [place, known] of shown) {
    const cards = known.group.cards.filter((card) => !gone.has(card.id));
    if (cards.length === known.group.cards.length) continue;
    if (cards.length < 2) {
      shown.delete(place);
      place.remove();
    } else {
      known.group = { ...known.group, cards };
      for (const id of gone) known.ticked.delete(id);
      draw(place);
    }
  }
  for (const head of list.querySelectorAll("header.kind")) if (!head.nextElementSibling?.matches(".group")) head.remove();
  if (!shown.size && !next) empty(`none-${of}`, "");
  count();
}

let canTakeBack = true;

/** The removals of before, each of which can be undone.
 * @param {Past[]} rows
 * @param {boolean} told */
function past(rows, told) {
  canTakeBack = told;
  if (moving && !rows.length) return;
  $("#past").hidden = !rows.length;
  $("#past ul").replaceChildren(...rows.map((row) => make("li", { class: "row" },
    make("span", {}, say("past-row", { count: row.photos, when: dateName(row.when), size: size(row.bytes) })),
    ...(row.back ? [make("span", { class: "muted" }, row.back >= row.photos ? say("all-back") : say("some-back", { count: row.back }))] : []),
    ...(told && row.back < row.photos ? [make("button", { type: "button", class: "btn small", onclick: () => void takeBack(row.name) }, say("back"))] : []))));
}

/** @param {string} log */
async function takeBack(log) {
  try {
    await send("similar/do", { do: "back", log });
    $("#dialog-body").replaceChildren();
    await follow();
  } catch (error) {
    fault(error);
  }
}

// -- the window --------------------------------------------------------------------------------------------------

/** @param {string} tab */
function turnTo(tab) {
  if (tab === of) return;
  of = tab;
  history.replaceState(null, "", tab === "similar" ? "?of=similar" : location.pathname);
  void load();
}

begin({ more: () => void more(turn), find: () => void find(), none, trash });
for (const tab of ["copies", "similar"]) {
  $(`#tab-${tab}`).addEventListener("click", () => turnTo(tab));
  $(`#tab-${tab}`).addEventListener("keydown", (event) => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    const other = tab === "copies" ? "similar" : "copies";
    $(`#tab-${other}`).focus();
    turnTo(other);
  });
  $(`#keep-${tab}`).addEventListener("change", () => void load());
}
$("#under").addEventListener("change", () => void load());
dialog.addEventListener("cancel", (event) => { if (moving) event.preventDefault(); });
dialog.addEventListener("click", (event) => { if (event.target === dialog && !moving) dialog.close(); });
async function start() {
  await load();
  const { unseen } = await ask("beside").catch(() => ({ unseen: 0 }));
  void showLook(unseen, () => void load()).catch(fault);
  const now = await news();
  if (!now.ended) void follow();
}
start().then(ready, (error) => { fault(error); ready(); });
