// What concerns all pages: the list of them, their palette as a file, and what is learned from corrections.
import { matched, paletteOf } from "./canvas.js";
import { dialog } from "./edit-palette.js";
import { askLesson, send } from "./edit-server.js";
import { $, make, say, toast } from "./edit-words.js";

const close = () => /** @type {HTMLDialogElement} */ ($("#dialog")).close();

/** Show all pages, to go to one.
 * @param {import("./edit-server.js").Leaf[]} leaves
 * @param {import("./edit-server.js").Leaf} here
 * @param {(number: number) => void} go */
export function showLeaves(leaves, here, go) {
  const shots = leaves.map((one) =>
    make(
      "button",
      {
        type: "button", class: `shot${one.approved ? " approved" : ""}`, "aria-current": one === here ? "page" : undefined, title: one.key,
        onclick: () => { close(); go(one.number); },
      },
      make("img", { src: one.small, alt: "", loading: "lazy" }), make("span", {}, `${one.number}${one.approved ? " ✓" : ""}`),
    ));
  dialog(say("all-pages"), make("div", { class: "shots" }, ...shots));
  $("#dialog [aria-current]").scrollIntoView({ block: "center" });
}

/** Say what learning would change, and have it done.
 * @param {() => Promise<void>} saved waits until what was edited is written */
export async function learn(saved) {
  try {
    const lesson = await askLesson();
    const go = async () => {
      close();
      try {
        await saved();
        await send({ do: "learn" });
        toast(say("learning"));
      } catch (error) {
        toast(error instanceof Error ? error.message : String(error), true);
      }
    };
    const stay = [
      ...(lesson.edited ? [say("stay-edited", { count: lesson.edited })] : []),
      ...(lesson.approved ? [say("stay-approved", { count: lesson.approved })] : []),
    ];
    const minutes = Math.max(1, Math.round(lesson.seconds / 60));
    dialog(
      say("learn"), make("p", {}, say("learn-ask")),
      make("ul", { id: "lesson" },
        make("li", {}, say("learn-pages", { count: lesson.pages }), ...(lesson.pages ? [`, ${say("minutes", { count: minutes })}`] : [])),
        make("li", {}, say("learn-places", { count: lesson.places })),
        ...stay.map((text) => make("li", {}, text))),
      make("div", { class: "row end" },
        make("button", { type: "button", class: "btn primary", disabled: !lesson.pages || !lesson.edited, onclick: go }, say("learn"))),
      ...(lesson.edited ? [] : [make("p", { class: "muted" }, say("learn-nothing"))]),
    );
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), true);
  }
}

/** Take the colours of a `palette.json`: names, locks and what they are drawn in.
 * @param {File} file
 * @param {Map<number, import("./canvas.js").Rgb>} known what the references show for the colours of the book
 * @param {(wish: Record<string, any>) => Promise<void>} change */
export async function paletteFrom(file, known, change) {
  let colors;
  try {
    colors = matched(paletteOf(await file.text()), known);
    if (!colors.length) throw new TypeError("no colours");
  } catch {
    toast(say("no-palette", { name: file.name }), true);
    return;
  }
  await change({ do: "colors", colors });
  toast(say("palette-taken", { count: colors.length }));
}

/** Have a file that is dropped anywhere on the window taken.
 * @param {(file: File) => void} take */
export function dropped(take) {
  const over = (/** @type {boolean} */ on) => document.body.classList.toggle("dropping", on);
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    over(true);
  });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) over(false); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    const file = event.dataTransfer?.files[0];
    if (file) take(file);
  });
}
