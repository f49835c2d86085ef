// What a person does: every button marked data-do, by its name, and the few other things that are listened to.
import { act, closeTrial, colorSample, showDraft, upload } from "./chapter.js";
import { cut } from "./compare.js";
import { $, values } from "./dom.js";
import { goTo, openFolders, takeFolder } from "./folders.js";
import { clear, draw, isDrawing, pick, sendHints, toggleEraser, undo } from "./hints.js";
import { askToTell, filterPages, neighbour, openJob, showJob, wish } from "./job.js";
import { pollPhotos, scan } from "./photos.js";
import { fault } from "./server.js";
import { choose, chooseAll, chooseNone, doSeveral } from "./several.js";
import { lote, windows } from "./state.js";
import { dialog, enlarge, openPage, openSettings, shownItem, zoom } from "./viewer.js";

const SURE = 4000; // milliseconds in which a button that destroys something is pressed again

/** Whether a button was pressed twice: the first time it asks. */
function isSure(button) {
  if (button.dataset.sure) return true;
  const words = button.textContent;
  button.dataset.sure = "1";
  button.textContent = lote.words.sure;
  setTimeout(() => { delete button.dataset.sure; button.textContent = words; }, SURE);
  return false;
}

const simple = ({ do: what, key }) => act({ do: what, key });

async function control(data, button) {
  button.disabled = true;
  try {
    await wish({ do: data.do, key: data.key });
  } finally {
    button.disabled = false;
  }
}

/** By name: called with the button's data, the button, and the dialog. */
const actions = {
  // a chapter
  move: ({ key }) => act({ do: "move", keys: together(key) }),
  sample: colorSample,
  all: simple,
  none: simple,
  sort: simple,
  clear: (data, button) => { if (isSure(button)) { windows.page = windows.reference = 0; return simple(data); } },
  enlarge: (data) => enlarge(data.source, data.name),
  best: () => act({ do: "best", threshold: Number($(".threshold").value) / 100 }),
  add: () => act({ do: "add", path: $("#lote-path").value, recursive: $("#lote-recursive").checked }),
  browse: () => $("#lote-files").click(),
  folders: (data) => openFolders(data.into),
  "folder-go": (data) => goTo(data.path),
  "folder-take": (data, _, box) => takeFolder(data.path, box),
  settings: (data) => openSettings(data.key),
  "page-keep": async (data, _, box) => { await act({ do: "page", key: data.key, values: values(box) }); box.close(); },
  "page-clear": async (data, _, box) => { await act({ do: "page", key: data.key, values: {} }); box.close(); },
  preview: (data) => { lote.trial = data.key; $("#try").click(); },
  "preview-approve": () => { closeTrial(); $("#start").click(); },
  "preview-close": closeTrial,
  // lists
  window: (data) => {
    windows[data.name] = Number(data.start);
    return ({ rows: showJob, photos: pollPhotos }[data.name] || showDraft)();
  },
  show: (data) => filterPages(data.name),
  // a job
  pause: control,
  resume: control,
  cancel: (data, button) => isSure(button) && control(data, button),
  notify: (_, button) => askToTell().then(() => { button.hidden = true; }),
  retry: control,
  several: (data) => doSeveral(data.what),
  "choose-all": chooseAll,
  "choose-none": chooseNone,
  job: (data) => openJob(Number(data.job)),
  // a page
  open: (data) => openPage(Number(data.item)),
  close: (_, __, box) => box.close(),
  step: (data) => {
    const item = neighbour(shownItem(), Number(data.by));
    return item && openPage(item);
  },
  zoom: (data, _, box) => zoom(Number(data.by), box),
  approve: async (data) => {
    await wish({ do: "approve", key: data.key, on: Boolean(data.on) });
    await openPage(shownItem());
  },
  redo: async (data, _, box) => {
    await wish({ do: "redo", key: data.key, values: values($("form.redo", box)) });
    box.close();
  },
  draw: (_, __, box) => draw(box, shownItem(), !isDrawing()),
  "draw-end": (_, __, box) => draw(box, shownItem(), false),
  eraser: (_, button) => toggleEraser(button),
  undo: (_, __, box) => undo(box),
  "wipe-hints": (_, __, box) => clear(box),
  hints: async (_, __, box) => { await sendHints(box, shownItem()); box.close(); await showJob(); },
  // photos
  scan: () => scan({ do: "scan", path: $("#lote-folder").value }),
  "scan-pause": () => scan({ do: "pause" }),
  "scan-resume": () => scan({ do: "resume" }),
  "scan-cancel": () => scan({ do: "cancel" }),
  // the page
  theme: () => localStorage.setItem("lote-theme", document.body.classList.toggle("dark") ? "dark" : "light"),
};

async function clicked(event) {
  const box = $("#lote-viewer");
  if (event.target.matches("img.pick")) return pick(event, box);
  if (event.target === box && box.open) return box.close();
  if (markedCard(event)) return;
  const button = event.target.closest("button[data-do]");
  if (!button || button.disabled) return;
  try {
    await actions[button.dataset.do]?.(button.dataset, button, box);
  } catch (error) {
    fault(error);
  }
}

function changed({ target }) {
  if (target.id === "lote-files") {
    const files = [...target.files];
    target.value = "";
    void upload(files);
  } else if (target.dataset?.do === "tick") {
    void act({ do: "tick", key: target.dataset.key, on: target.checked });
  } else if (target.dataset?.do === "choose") choose(target.dataset, target.checked);
}

function pressed(event) {
  const { key, target } = event;
  if (key === "Enter" && target.id === "lote-path") $('[data-do="add"]').click();
  if (key === "Enter" && target.id === "lote-folder") $('[data-do="scan"]').click();
  if (!target.closest("#lote-viewer") || target.matches("input, select, textarea")) return;
  if (key === "+") zoom(1, dialog());
  if (key === "-") zoom(-1, dialog());
}

/** Keys of pictures of a gallery that are moved together. */
const marked = new Set();

/** Those that are moved with this one. */
const together = (key) => (marked.has(key) ? [key, ...[...marked].filter((other) => other !== key)] : [key]);

/** Whether a click marks pictures of a gallery: with Ctrl one more, with Shift those up to it. */
function markedCard(event) {
  const card = event.target.closest?.(".gallery .card[data-key]");
  const more = event.ctrlKey || event.metaKey;
  if (!card || (!more && !event.shiftKey)) {
    if (card && !event.target.closest("[data-do=move], [data-do=tick], label")) marked.clear();
    showMarked();
    return false;
  }
  const cards = [...card.closest(".cards").children];
  const last = cards.findIndex((other) => other.dataset.key === [...marked].pop());
  const at = cards.indexOf(card);
  if (cards.every((other) => !marked.has(other.dataset.key))) marked.clear(); // those of the other side
  if (event.shiftKey && last >= 0) {
    for (const other of cards.slice(Math.min(at, last), Math.max(at, last) + 1)) marked.add(other.dataset.key);
  } else if (marked.has(card.dataset.key)) marked.delete(card.dataset.key);
  else marked.add(card.dataset.key);
  showMarked();
  event.preventDefault();
  return true;
}

/** Mark what is marked: the galleries may have been made anew. */
export function showMarked() {
  for (const card of document.querySelectorAll(".gallery .card[data-key]")) card.classList.toggle("marked", marked.has(card.dataset.key));
}

/** The key of the picture that is being dragged from one gallery to the other. */
let carried = "";

/** Files may be dropped anywhere, pictures of a gallery on the other one. */
function dragged(event, over) {
  const files = event.dataTransfer?.types.includes("Files") && !carried;
  const gallery = carried && event.target.closest?.(".gallery");
  if (!files && !gallery) return;
  event.preventDefault();
  if (files) $(".drop")?.classList.toggle("over", over);
}

function dropped(event) {
  dragged(event, false);
  const from = carried && $(`.card[data-key="${CSS.escape(carried)}"]`)?.closest(".gallery");
  const onto = event.target.closest?.(".gallery");
  if (from && onto && from.className !== onto.className) void act({ do: "move", keys: together(carried) });
  else if (!carried && event.dataTransfer?.files.length) void upload([...event.dataTransfer.files]);
}

export function listen() {
  document.addEventListener("click", (event) => void clicked(event));
  document.addEventListener("change", changed);
  document.addEventListener("input", ({ target }) => { if (target.classList.contains("wipe")) cut(dialog(), Number(target.value)); });
  document.addEventListener("keydown", pressed);
  document.addEventListener("dragover", (event) => dragged(event, true));
  document.addEventListener("dragleave", (event) => dragged(event, false));
  document.addEventListener("drop", dropped);
  document.addEventListener("dragstart", (event) => { carried = event.target.closest?.(".card[data-key]")?.dataset.key ?? ""; });
  document.addEventListener("dragend", () => { carried = ""; });
}
