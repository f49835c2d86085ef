// Several pages of a job: chosen by their boxes, then approved, done again or downloaded together.
import { $ } from "./dom.js";
import { wish } from "./job.js";
import { lote } from "./state.js";

/** Keys of the chosen pages, by their numbers, and the job that they are of. */
const chosen = new Map();
let of = 0;

const boxes = () => [...document.querySelectorAll("[data-part=results] [data-do=choose]")];

/** Take a page among the chosen ones, or leave it out. */
export function choose({ item, key }, on) {
  if (on) chosen.set(item, key);
  else chosen.delete(item);
  showChosen();
}

export function chooseAll() {
  for (const box of boxes()) chosen.set(box.dataset.item, box.dataset.key);
  showChosen();
}

export function chooseNone() {
  chosen.clear();
  showChosen();
}

/** Tick what is chosen, and say how many that are: the pictures may have been made anew. */
export function showChosen() {
  if (of !== lote.job) chosen.clear();
  of = lote.job;
  for (const box of boxes()) box.checked = chosen.has(box.dataset.item);
  const bar = $(".several");
  if (!bar) return;
  bar.hidden = !chosen.size;
  const count = $(".count", bar);
  count.textContent = count.dataset[chosen.size === 1 ? "one" : "many"].replace("{count}", chosen.size);
  for (const link of bar.querySelectorAll("a")) {
    link.href = `/lote/job/${lote.job}/download/${link.dataset.form}?pages=${[...chosen.keys()].join(",")}`;
  }
}

/** Approve the chosen pages, or do them again. */
export async function doSeveral(what) {
  await wish({ do: what, keys: [...chosen.values()] });
  chooseNone();
}
