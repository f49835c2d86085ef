// Looking through the folders of the machine that the page runs on, to choose one.
import { $ } from "./dom.js";
import { ask } from "./server.js";
import { show } from "./viewer.js";

/** The field that the path goes into. */
let field = null;

export async function openFolders(into) {
  field = document.getElementById(into);
  try {
    await goTo(field.value);
  } catch {
    await goTo(""); // what is typed there is no folder
  }
}

export async function goTo(path) {
  const { parts } = await ask(`folders?path=${encodeURIComponent(path)}`);
  const box = show("sheet", parts.folders);
  ($(".folders button", box) ?? $("[data-do=folder-take]", box)).focus({ preventScroll: true });
}

/** Put the path into its field; what is added to a chapter is added at once. */
export function takeFolder(path, box) {
  box.close();
  field.value = path;
  if (field.id === "lote-path") $('[data-do="add"]').click();
  else field.focus();
}
