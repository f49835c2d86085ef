// The dialog: one page before and after, zoomed and wiped, or the settings of one page.
import { cut, cutAt } from "./compare.js";
import { $ } from "./dom.js";
import { forget, isDrawing, startStroke } from "./hints.js";
import { ask } from "./server.js";
import { lote } from "./state.js";

let openItem = 0;
let view = { zoom: 1, x: 0, y: 0 };

/** The number of the page that is shown, 0 if none is. */
export const shownItem = () => openItem;

export function dialog() {
  let box = $("#lote-viewer");
  if (!box) {
    box = document.createElement("dialog");
    box.id = "lote-viewer";
    document.body.append(box);
    box.addEventListener("close", () => { openItem = 0; box.innerHTML = ""; });
  }
  return box;
}

/** Show something in the dialog, which is given back. */
export function show(kind, html) {
  const box = dialog();
  box.className = kind;
  box.innerHTML = html;
  if (!box.open) box.showModal();
  return box;
}

/** Show a picture of a gallery large. */
export function enlarge(source, name) {
  const image = document.createElement("img");
  image.src = `${source}&w=large`;
  image.alt = name;
  const box = show("large", "");
  box.append(image);
  box.addEventListener("click", () => box.close(), { once: true });
}

export async function openPage(item) {
  const news = await ask(`job/${lote.job}/page/${item}`);
  const box = show("viewer", news.parts.viewer);
  openItem = item;
  view = { zoom: 1, x: 0, y: 0 };
  forget();
  cut(box, 50);
  wireStage(box);
  $(".wipe", box).focus({ preventScroll: true });
}

export async function openSettings(key) {
  const news = await ask(`draft/${lote.draft}/page?key=${encodeURIComponent(key)}`);
  show("sheet", news.parts.form);
}

function place(box) {
  $(".compare", box).style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;
}

/** Larger or smaller, around a point of the window or around the middle. */
export function zoom(by, box, cx, cy) {
  const before = view.zoom;
  view.zoom = Math.min(8, Math.max(1, view.zoom * (by > 0 ? 1.4 : 1 / 1.4)));
  const stage = $(".stage", box).getBoundingClientRect();
  const x = (cx ?? stage.left + stage.width / 2) - stage.left - stage.width / 2;
  const y = (cy ?? stage.top + stage.height / 2) - stage.top - stage.height / 2;
  const ratio = view.zoom / before;
  view.x = view.zoom === 1 ? 0 : x - (x - view.x) * ratio;
  view.y = view.zoom === 1 ? 0 : y - (y - view.y) * ratio;
  place(box);
}

/** The pointer on the page draws, moves what is zoomed, or wipes. */
function wireStage(box) {
  const stage = $(".stage", box), compare = $(".compare", box), shape = $("img.before", box);
  const shaped = () => compare.style.setProperty("--shape", shape.naturalWidth / shape.naturalHeight || 0.75);
  if (shape.complete && shape.naturalWidth) shaped();
  else shape.addEventListener("load", shaped);
  let from = null, stroke = null;
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(-event.deltaY, box, event.clientX, event.clientY);
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    if (isDrawing()) stroke = startStroke(box, event, view.zoom);
    else from = { x: event.clientX, y: event.clientY, vx: view.x, vy: view.y };
    event.preventDefault();
  });
  stage.addEventListener("pointermove", (event) => {
    if (stroke) stroke(event);
    else if (from && view.zoom > 1) {
      view.x = from.vx + event.clientX - from.x;
      view.y = from.vy + event.clientY - from.y;
      place(box);
    } else if (from) cutAt(box, event.clientX);
  });
  const stop = (event) => {
    if (from && view.zoom === 1 && event.type === "pointerup") cutAt(box, event.clientX);
    from = stroke = null;
  };
  stage.addEventListener("pointerup", stop);
  stage.addEventListener("pointercancel", stop);
  compare.addEventListener("dragstart", (event) => event.preventDefault());
}
