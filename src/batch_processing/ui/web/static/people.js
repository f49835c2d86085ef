// Who is on photos: names in place, two that are one, faces that are somebody else's; all of it can be undone.
import { $, make, say, tell, toast } from "./edit-words.js";
import { ask, begin, dateName, fault, number, ready, send } from "./library-server.js";

/** @typedef {{id: number, name: string, hidden: boolean, faces: number, photos: number, since: string, until: string, face: number}} Person */
/** @typedef {{id: number, photo: number, name: string, date: string, said: boolean, mark: string}} Face */

const WINDOW = 120; // people drawn at once
const IGNORED = -1; // stands for the person whom ignored faces belong to

/** @type {Person[]} */
let everybody = [];
/** @type {Set<number>} */
const ticked = new Set();
let many = WINDOW, nextFace = 0, asPhotos = false;
let one = asked(); // 0 for everybody

const dialog = /** @type {HTMLDialogElement} */ ($("#dialog"));
const called = (/** @type {Person} */ person) => person.name || say("person", { number: person.id });
const crop = (/** @type {number} */ face) => `/lote/library/face/${face}/crop`;

/** Whom the address names. */
function asked() {
  const query = new URLSearchParams(location.search);
  return query.has("ignored") ? IGNORED : Number(query.get("person")) || 0;
}

async function load() {
  const told = await ask("people");
  everybody = told.people;
  $("#unasked").hidden = told.known;
  $("#undo").hidden = !told.undo;
  $("#undo").textContent = say("undo", { what: told.undo });
  $("#names").replaceChildren(...everybody.filter((person) => person.name).map((person) => make("option", { value: person.name })));
  $("#hidden-label").hidden = Boolean(one) || !everybody.some((person) => person.hidden);
  $("#ignored").hidden = one === IGNORED || !told.ignored;
  $("#ignored").textContent = say("ignored", { count: told.ignored });
  if (one === IGNORED) await showIgnored(); else if (one) await showOne(); else showAll(told.known);
}

// -- everybody ---------------------------------------------------------------------------------------------------

const visible = () => everybody.filter((person) => !person.hidden || /** @type {HTMLInputElement} */ ($("#show-hidden")).checked);

/** @param {boolean} [known] */
function showAll(known = true) {
  const shown = visible();
  $("#one").hidden = true;
  $("#people").hidden = false;
  $("#title").textContent = say("title");
  document.title = `${say("title")} · Lote`;
  $("#count").textContent = shown.length ? say("people", { count: shown.length }) : known ? say("nobody") : "";
  for (const id of [...ticked]) if (!shown.some((person) => person.id === id)) ticked.delete(id);
  $("#people").replaceChildren(...shown.slice(0, many).map(personCard));
  $("#more").hidden = shown.length <= many;
  count();
}

/** @param {Person} person */
function personCard(person) {
  const name = make("input", { type: "text", value: person.name, list: "names", maxlength: 200, autocomplete: "off", placeholder: say("who"), "aria-label": say("name-of", { number: person.id }) });
  naming(name, person);
  const box = make("input", { type: "checkbox", checked: ticked.has(person.id), "aria-label": say("tick", { name: called(person) }) });
  box.addEventListener("change", () => { if (box.checked) ticked.add(person.id); else ticked.delete(person.id); card.classList.toggle("on", box.checked); count(); });
  const card = make("article", { class: `face${person.hidden ? " faint" : ""}${ticked.has(person.id) ? " on" : ""}`, "data-person": person.id },
    make("a", { href: `/library/people?person=${person.id}`, class: "crop", "aria-label": say("see", { name: called(person) }), onclick: (/** @type {MouseEvent} */ event) => { event.preventDefault(); void go(person.id); } }, picture(person.face)),
    make("label", { class: "tick" }, box),
    name,
    make("p", { class: "muted" }, say("photos", { count: person.photos }).replace(String(person.photos), number(person.photos))));
  return card;
}

/** @param {number} face */
function picture(face) {
  const image = make("img", { alt: "", loading: "lazy", decoding: "async", src: face ? crop(face) : undefined });
  image.addEventListener("error", () => image.replaceWith(make("span", { class: "none", "aria-hidden": "true" }, "☺")));
  return image;
}

/** A field in which somebody is named.
 * @param {HTMLInputElement} field
 * @param {Person} person */
function naming(field, person) {
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") field.blur();
    if (event.key === "Escape") { field.value = person.name; field.blur(); }
  });
  field.addEventListener("change", () => void rename(person, field.value));
}

/** @param {Person} person
 * @param {string} name */
async function rename(person, name) {
  if (name.trim() === person.name) return;
  try {
    const told = await send("people/do", { do: "name", person: person.id, name });
    if (told.taken) { askWhether(person, told.taken, name.trim()); return; }
    await load();
  } catch (error) {
    fault(error);
    await load().catch(fault);
  }
}

/** Somebody else has that name: one person, or two of one name?
 * @param {Person} person
 * @param {number} other
 * @param {string} name */
function askWhether(person, other, name) {
  open(say("taken", { name }), make("p", {}, say("taken-text")),
    make("div", { class: "row" }, picture(person.face), picture(everybody.find((each) => each.id === other)?.face ?? 0)),
    make("div", { class: "row end" },
      make("button", { type: "button", class: "btn", onclick: () => { dialog.close(); void load().catch(fault); } }, say("other-name")),
      make("button", { type: "button", class: "btn primary", onclick: () => { dialog.close(); void wish({ do: "merge", person: other, others: [person.id] }, other); } }, say("one"))));
}

function count() {
  $("#ticked").hidden = !ticked.size || Boolean(one);
  $("#sum").textContent = say("sum", { count: ticked.size });
  /** @type {HTMLButtonElement} */ ($("#merge")).disabled = ticked.size < 2;
}

/** Make one person of those who are ticked: the one with a name stays, else who is on most photos. */
async function merge() {
  const people = everybody.filter((person) => ticked.has(person.id)).sort((left, right) => Number(!left.name) - Number(!right.name) || right.photos - left.photos);
  const [stays, ...others] = people;
  if (await wish({ do: "merge", person: stays.id, others: others.map((person) => person.id) })) { ticked.clear(); count(); toast(say("merged")); }
}

/** Say something of people, and show what comes of it. Whether it was done.
 * @param {Record<string, any>} what
 * @param {number} [then] whom to show */
async function wish(what, then) {
  try {
    const told = await send("people/do", what);
    if (told.undone) { toast(say("undone", { what: told.undone })); tell(told.undone); }
    if (then && one) one = then;
    await load();
    return true;
  } catch (error) {
    fault(error);
    return false;
  }
}

// -- somebody ----------------------------------------------------------------------------------------------------

/** @param {number} person 0 for everybody */
async function go(person) {
  one = person;
  history.pushState(null, "", person === IGNORED ? "?ignored" : person ? `?person=${person}` : location.pathname);
  await load().catch(fault);
  $("#title").focus();
}

/** What is there for a person, and not for ignored faces.
 * @param {boolean} ignored */
function frame(ignored) {
  $("#people").hidden = $("#more").hidden = true;
  $("#ticked").hidden = true;
  for (const name of ["#name-field", "#hide", "#ignore"]) $(name).hidden = ignored;
  $("#one").hidden = false;
  $("#as-faces").setAttribute("aria-pressed", String(!asPhotos));
  $("#as-photos").setAttribute("aria-pressed", String(asPhotos));
}

async function showIgnored() {
  const { faces, next } = await ask("ignored");
  frame(true);
  $("#title").textContent = say("ignored-title");
  document.title = `${say("ignored-title")} · Lote`;
  $("#count").textContent = "";
  $("#one-about").textContent = say(faces.length ? "ignored-about" : "none-ignored");
  showFaces(faces, next);
}

/** @param {Face[]} faces
 * @param {number} next */
function showFaces(faces, next) {
  $("#faces").replaceChildren(...faces.map(faceCard));
  nextFace = next;
  $("#more").hidden = !next;
}

async function showOne() {
  const { person, faces, next } = await ask(`person/${one}`);
  frame(false);
  $("#title").textContent = called(person);
  document.title = `${called(person)} · Lote`;
  const field = /** @type {HTMLInputElement} */ ($("#one-name"));
  const fresh = /** @type {HTMLInputElement} */ (field.cloneNode());
  fresh.value = person.name;
  field.replaceWith(fresh); // without who listened to it
  naming(fresh, person);
  $("#count").textContent = say("photos", { count: person.photos });
  $("#one-about").textContent = person.since ? say("from-to", { since: dateName(person.since.slice(0, 10)), until: dateName(person.until.slice(0, 10)) }) : "";
  $("#hide").textContent = say(person.hidden ? "show" : "hide");
  $("#hide").dataset.on = String(!person.hidden);
  showFaces(faces, next);
}

async function moreFaces() {
  const { faces, next } = await ask(`${one === IGNORED ? "ignored" : `person/${one}`}?from=${nextFace}`);
  $("#faces").append(...faces.map(faceCard));
  nextFace = next;
  $("#more").hidden = !next;
}

/** @param {Face} face */
function faceCard(face) {
  const whole = asPhotos && face.photo ? make("img", { alt: "", loading: "lazy", decoding: "async", src: `/lote/library/photo/${face.photo}/preview?v=${face.mark}` }) : picture(face.id);
  return make("article", { class: "face", "data-face": face.id },
    make("button", { type: "button", class: `crop${asPhotos ? " whole" : ""}`, "aria-label": say("open-face", { name: face.name || String(face.id) }), onclick: () => openFace(face) }, whole),
    make("p", { class: "name" }, face.name || say("no-photo")),
    make("p", { class: "muted" }, [face.date ? dateName(face.date.slice(0, 10)) : "", face.said ? `✓ ${say("said")}` : ""].filter(Boolean).join(" · ")));
}

/** @param {Face} face */
function openFace(face) {
  const act = (/** @type {string} */ what) => make("button", { type: "button", class: "btn", onclick: () => {
    dialog.close();
    void wish(what === "ignore" || what === "heed" ? { do: what, face: face.id } : { do: what, person: one, face: face.id });
  } }, say(what));
  open(face.name || say(one === IGNORED ? "ignored-title" : "person", { number: one }),
    ...(face.photo ? [make("img", { class: "enlarged", alt: face.name, src: `/lote/library/photo/${face.photo}/large?v=${face.mark}` })] : [picture(face.id)]),
    make("div", { class: "row end" },
      ...(one === IGNORED ? ["heed"] : ["not", "split", "ignore"]).map(act),
      make("button", { type: "button", class: "btn primary", autofocus: true, onclick: () => dialog.close() }, say("close"))));
  dialog.classList.add("wide");
}

/** Ignore all faces of whom is shown. */
async function ignore() {
  const faces = everybody.find((person) => person.id === one)?.faces ?? 0;
  if (await wish({ do: "ignore-all", person: one })) { toast(say("ignored-now", { count: faces })); await go(0); }
}

/** @param {string} title
 * @param {...Node} body */
function open(title, ...body) {
  dialog.classList.remove("wide");
  $("#dialog-title").textContent = title;
  $("#dialog-body").replaceChildren(...body);
  dialog.showModal();
}

/** @param {boolean} photos */
function as(photos) {
  asPhotos = photos;
  void (one === IGNORED ? showIgnored() : showOne()).catch(fault);
}

begin({
  more: () => { if (one) void moreFaces().catch(fault); else { many += WINDOW; showAll(); } },
  none: () => { ticked.clear(); showAll(); },
  merge: () => void merge(),
  undo: () => void wish({ do: "undo" }),
  hide: (button) => void wish({ do: "hide", person: one, on: button.dataset.on === "true" }),
  ignore: () => void ignore(),
  ignored: () => void go(IGNORED),
  faces: () => as(false),
  photos: () => as(true),
});
$("#show-hidden").addEventListener("change", () => showAll());
$("#all").addEventListener("click", (event) => { event.preventDefault(); void go(0); });
addEventListener("popstate", () => { one = asked(); void load().catch(fault); });
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
load().then(ready, (error) => { fault(error); ready(); });
