// The settings of a chapter survive a reload: Gradio begins anew each time, and is told again what this tab had set.
import { $, wait } from "./dom.js";

const STORE = "lote-settings";
const fields = () => [...document.querySelectorAll("#settings :is(input, textarea)")];

/** What names a field over a reload: its place among those of its kind. */
const kept = () => JSON.stringify(fields().map((field) => (/radio|checkbox/.test(field.type) ? field.checked : field.value)));

function restore(before) {
  fields().forEach((field, index) => {
    const value = before[index];
    if (typeof value === "boolean") {
      if (field.checked !== value && (value || field.type === "checkbox")) field.click();
    } else if (field.value !== value) {
      const set = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), "value")?.set;
      set?.call(field, value);
      for (const name of ["input", "change", "blur"]) field.dispatchEvent(new Event(name, { bubbles: true }));
    }
  });
}

/** Take up what was set before the reload: Gradio sets its own values a moment after its fields are there. */
async function takeUp(before) {
  for (let held = 0, tries = 0; held < 4 && tries < 40; tries += 1) {
    const button = $("#settings button");
    if (!fields().length && button && !button.classList.contains("open")) button.click(); // what is closed is not there; open, it shows what is set
    if (fields().length === before.length) {
      const same = kept() === JSON.stringify(before);
      held = same ? held + 1 : 0;
      if (!same) restore(before);
    }
    await wait(150);
  }
}

/** Take up what was set before the reload, and keep what is set from now on. */
export async function keepSettings() {
  const before = sessionStorage.getItem(STORE);
  if (before) await takeUp(JSON.parse(before));
  const keep = ({ target }) => { if (target.closest?.("#settings")) setTimeout(() => sessionStorage.setItem(STORE, kept())); };
  document.addEventListener("input", keep);
  document.addEventListener("change", keep);
}
