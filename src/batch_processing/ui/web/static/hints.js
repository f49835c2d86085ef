// Strokes of colour that a person draws on a page, for it to be done again with them.
import { cut } from "./compare.js";
import { $ } from "./dom.js";
import { ask } from "./server.js";
import { lote } from "./state.js";

let strokes = [], drawing = false, erasing = false;

export const isDrawing = () => drawing;

/** Begin anew: another page is shown. */
export function forget() {
  strokes = [];
  drawing = false;
}

const canvasOf = (box) => $("canvas.ink", box);

/** Begin a stroke; the function that goes on with it where the pointer moves. */
export function startStroke(box, event, zoom) {
  const canvas = canvasOf(box);
  const at = (where) => {
    const rect = canvas.getBoundingClientRect();
    return [((where.clientX - rect.left) * canvas.width) / rect.width, ((where.clientY - rect.top) * canvas.height) / rect.height];
  };
  const scale = canvas.width / canvas.getBoundingClientRect().width;
  const size = $(".size", box).value * scale * zoom;
  const stroke = { colour: $(".colour", box).value, size, erase: erasing, points: [at(event)] };
  strokes.push(stroke);
  paint(box);
  return (moved) => { stroke.points.push(at(moved)); paint(box); };
}

function paint(box) {
  const canvas = canvasOf(box), pen = canvas.getContext("2d");
  pen.clearRect(0, 0, canvas.width, canvas.height);
  if (canvas.base) pen.drawImage(canvas.base, 0, 0, canvas.width, canvas.height);
  pen.lineCap = pen.lineJoin = "round";
  for (const stroke of strokes) {
    if (stroke.clear) { pen.clearRect(0, 0, canvas.width, canvas.height); continue; }
    pen.globalCompositeOperation = stroke.erase ? "destination-out" : "source-over";
    pen.strokeStyle = stroke.colour;
    pen.lineWidth = stroke.size;
    pen.beginPath();
    stroke.points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    if (stroke.points.length === 1) pen.lineTo(stroke.points[0][0] + 0.01, stroke.points[0][1]);
    pen.stroke();
    pen.globalCompositeOperation = "source-over";
  }
}

/** Take up the brush on the page `item` shown in `box`, or lay it down. */
export function draw(box, item, on) {
  drawing = on;
  erasing = false;
  $(".drawing", box).hidden = !on;
  $(".wipe", box).hidden = on;
  $(".stage", box).classList.toggle("drawing-on", on);
  const canvas = canvasOf(box), image = $("img.before", box);
  canvas.hidden = !on;
  if (!on) return;
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const known = new Image(); // what was drawn before
  known.onload = () => { canvas.base = known; paint(box); };
  known.src = `/lote/job/${lote.job}/page/${item}/hints?${Date.now()}`;
  cut(box, 100);
  paint(box);
}

/** Take the brush's colour from a reference that was clicked. */
export function pick(event, box) {
  const image = event.target, rect = image.getBoundingClientRect();
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0);
  const x = Math.floor(((event.clientX - rect.left) * canvas.width) / rect.width);
  const y = Math.floor(((event.clientY - rect.top) * canvas.height) / rect.height);
  const [r, g, b] = pen.getImageData(Math.min(x, canvas.width - 1), Math.min(y, canvas.height - 1), 1, 1).data;
  $(".colour", box).value = "#" + [r, g, b].map((v) => v.toString(16).padStart(2, "0")).join("");
  erasing = false;
}

export function toggleEraser(button) {
  erasing = !erasing;
  button.classList.toggle("on", erasing);
}

export function undo(box) {
  strokes.pop();
  paint(box);
}

export function clear(box) {
  strokes.push({ clear: true });
  paint(box);
}

/** Send the strokes, and have the page done again with them. */
export async function sendHints(box, item) {
  const picture = await new Promise((resolve) => canvasOf(box).toBlob(resolve, "image/png"));
  await ask(`job/${lote.job}/page/${item}/hints`, { method: "PUT", headers: { "X-Lote": "1" }, body: picture });
}
