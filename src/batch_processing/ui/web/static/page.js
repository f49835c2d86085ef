// What Gradio's components do not do: fills the places marked data-part with what the server says, turns
// buttons marked data-do into requests, and draws. No state but two names: this tab's draft and its job.
//
//   state.js    what this tab knows         chapter.js   a chapter before it is a job
//   dom.js      places and forms            job.js       a job and its pages
//   server.js   questions and wishes        photos.js    the photos tab
//   actions.js  what a person does          viewer.js, hints.js   one page, and strokes on it
//   several.js  several pages of a job      settings.js  what Gradio forgets at a reload
//   folders.js  folders of the machine
import { listen, showMarked } from "./actions.js";
import { pollDraft, pollPreview, pressed } from "./chapter.js";
import { $, put, seen, wait } from "./dom.js";
import { isOver, openJob, pollJob } from "./job.js";
import { isScanning, pollPhotos } from "./photos.js";
import { ask, lost, say } from "./server.js";
import { showChosen } from "./several.js";
import { keepSettings } from "./settings.js";
import { lote } from "./state.js";

const BEAT = 400; // milliseconds; what moves slowly is asked for at every fourth
let frame = {};

lote.pressed = (what, names, given) => pressed(what, names, given, openJob);

/** Keep everything that can be seen as it is now, for ever. */
async function beat() {
  let busy = false, gone = false;
  for (let count = 0; ; count += 1) {
    const slow = count % 4 === 0;
    try {
      put(frame); // Gradio makes a tab when it is first shown
      if (seen("page") && (slow || busy)) { busy = await pollDraft(); showMarked(); }
      if (lote.job && seen("title") && (slow || !isOver())) { await pollJob(); showChosen(); }
      await pollPreview();
      if (seen("history") && slow) put((await ask("jobs")).parts);
      if (seen("photos") && (slow || isScanning())) await pollPhotos();
      if (gone) { gone = false; say(""); }
    } catch (error) {
      if (error instanceof TypeError) { gone = true; say(lost(), true); }
    }
    await wait(BEAT);
  }
}

async function begin() {
  while (!$('[data-part="drop"]')) await wait(50);
  const theme = localStorage.getItem("lote-theme");
  if (theme) document.body.classList.toggle("dark", theme === "dark");
  const told = await ask("frame");
  lote.words = told.words;
  document.documentElement.lang = told.language;
  frame = told.parts;
  put(frame);
  const toast = document.createElement("div");
  toast.id = "lote-said";
  toast.hidden = true;
  toast.setAttribute("role", "alert");
  document.body.append(toast);
  listen();
  void keepSettings();
  if (lote.job) openJob(lote.job);
  document.documentElement.dataset.lote = "ready";
  void beat();
}

begin().catch((error) => console.error(error));
