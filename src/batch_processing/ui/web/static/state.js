// What this tab of the browser knows. Everything lasting is the server's.
import { uuid } from "./dom.js";

/** This tab's chapter and its job. Gradio's buttons find it as `window.lote`. */
export const lote = {
  draft: sessionStorage.getItem("lote-draft") || uuid(),
  job: Number(new URL(location.href).searchParams.get("job")) || 0,
  trial: "", // key of the page that is tried
  words: {},
};
window.lote = lote;
sessionStorage.setItem("lote-draft", lote.draft);

/** Where the window of each list begins. */
export const windows = { page: 0, reference: 0, rows: 0, photos: 0 };
