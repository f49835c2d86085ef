// Small helpers around the document.

export const $ = (selector, root = document) => root.querySelector(selector);

export const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A name that nobody guesses: `crypto.randomUUID`, which plain HTTP from another host does not have. */
export function uuid() {
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6] & 15) | 64;
  b[8] = (b[8] & 63) | 128;
  const h = [...b].map((x) => x.toString(16).padStart(2, "0")).join("");
  return [h.slice(0, 8), h.slice(8, 12), h.slice(12, 16), h.slice(16, 20), h.slice(20)].join("-");
}

const last = new Map();

/** Fill the places marked data-part with what the server says; what has not changed keeps its focus and state. */
export function put(parts) {
  for (const [name, html] of Object.entries(parts || {})) {
    for (const place of document.querySelectorAll(`[data-part="${name}"]`)) {
      if (last.get(place) === html) continue;
      const held = focused(place);
      place.innerHTML = html;
      last.set(place, html);
      if (held) $(held, place)?.focus({ preventScroll: true });
    }
  }
}

/** The selector of the button in this place that has the focus. */
function focused(place) {
  const active = document.activeElement;
  if (!place.contains(active) || !active.dataset?.do) return null;
  const key = active.dataset.key;
  return `[data-do="${active.dataset.do}"]` + (key ? `[data-key="${CSS.escape(key)}"]` : "");
}

/** Whether a part of the page can be seen: its tab is the open one. */
export function seen(part) {
  const place = $(`[data-part="${part}"]`);
  return Boolean(place) && place.parentElement.getClientRects().length > 0;
}

export const openTab = (name) => document.getElementById(`tab-${name}-button`)?.click();

/** The settings in a form, as its fields are named; empty ones are none. */
export function values(form) {
  const found = {};
  for (const field of form.querySelectorAll("[name]")) {
    if (field.type === "checkbox") {
      if (field.checked) (found[field.name] ||= []).push(field.value);
    } else if (field.value !== "") found[field.name] = field.value;
  }
  return found;
}
