// A chapter before it is a job: what was dropped, on which side each image is, one page tried.
import { $, put } from "./dom.js";
import { ask, fault, lost, send } from "./server.js";
import { lote, windows } from "./state.js";

let version = "", missing = {};
let previewJob = Number(sessionStorage.getItem("lote-trial")) || 0;

/** Show the chapter as it is now; whether it is still being looked at. */
export async function pollDraft() {
  const query = new URLSearchParams({ page: windows.page, reference: windows.reference, v: version });
  const news = await ask(`draft/${lote.draft}?${query}`);
  version = news.v;
  put(news.parts);
  missing = news.missing ?? missing;
  gate();
  return news.busy;
}

/** Buttons that would fail are off, and it is said what they need. */
function gate() {
  const copied = $("#set-backend input:checked")?.value === "noop";
  const given = $("#set-palette textarea, #set-palette input")?.value;
  const why = missing.pages || (copied || given ? "" : missing.references) || "";
  for (const name of ["#try", "#start"]) if ($(name)) $(name).disabled = Boolean(why);
  const place = $("#lote-missing");
  if (place && place.textContent !== why) place.textContent = why;
}

/** The same whether or not anything has changed. */
export function showDraft() {
  version = "";
  return pollDraft();
}

export const act = (wish) => send(`draft/${lote.draft}/do`, wish).then(pollDraft).catch(fault);

/** Send files one after the other, then have them looked at. */
export async function upload(files) {
  const zone = $(".drop");
  let done = 0;
  for (const file of files) {
    try {
      await sent(file, (share) => zone?.style.setProperty("--sent", `${(100 * (done + share)) / files.length}%`));
    } catch (error) {
      fault(error);
    }
    done += 1;
  }
  zone?.style.removeProperty("--sent");
  await act({ do: "look" });
}

function sent(file, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not tell how much has been sent
    request.open("PUT", `/lote/draft/${lote.draft}/files?name=${encodeURIComponent(file.name)}`);
    request.setRequestHeader("X-Lote", "1");
    request.upload.onprogress = (event) => progress(event.loaded / (event.total || 1));
    request.onload = () => {
      if (request.status < 300) return resolve();
      let text = request.statusText;
      try { text = JSON.parse(request.responseText).error; } catch { /* not ours */ }
      reject(new Error(text));
    };
    request.onerror = () => reject(new Error(lost()));
    request.send(file);
  });
}

/** Gradio hands over the settings of a chapter when one of its two buttons is pressed; `started` is told of a job. */
export function pressed(what, names, given, started) {
  const values = Object.fromEntries(names.map((name, index) => [name, given[index]]));
  const wish = what === "try" ? { do: what, key: lote.trial, values } : { do: what, values };
  send(`draft/${lote.draft}/do`, wish).then((answer) => {
    if (answer.job) return started(answer.job);
    previewJob = answer.preview;
    sessionStorage.setItem("lote-trial", previewJob);
    put({ preview: '<p class="busy"><span class="spin"></span></p>' });
    if (answer.edit) location.assign(answer.edit); // what was tried is here still when a person comes back
  }).catch(fault);
}

/** Show how the page that is tried is getting on, if one is. */
export async function pollPreview() {
  if (!previewJob) return;
  const news = await ask(`job/${previewJob}/preview?draft=${lote.draft}`);
  put({ preview: news.parts.preview });
  if (news.ended) previewJob = 0;
}

/** Put the page that was tried away. */
export function closeTrial() {
  previewJob = 0;
  sessionStorage.removeItem("lote-trial");
  put({ preview: "" });
}

/** Have the sample chapter coloured, with the settings as they are. */
export async function colorSample() {
  await send(`draft/${lote.draft}/do`, { do: "sample" });
  await showDraft();
  $("#start").click();
}
