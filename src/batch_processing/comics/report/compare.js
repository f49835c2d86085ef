// A page before and after, one upon the other, and the line between them, which a slider and the pointer move: how the
// report and the web page show a page. Where no script runs, it is split in the middle.

/** Move the line, and the slider with it.
 * @param {HTMLElement} place what holds both; `--cut` is where the line is
 * @param {number} percent from the left */
export function cut(place, percent) {
  const value = Math.min(100, Math.max(0, Math.round(2 * percent) / 2));
  place.style.setProperty("--cut", `${value}%`);
  const slider = /** @type {HTMLInputElement | null} */ (place.querySelector("input.wipe"));
  if (!slider) return;
  slider.value = String(value);
  slider.setAttribute("aria-valuetext", (slider.dataset.before ?? "").replace("{percent}", String(Math.round(value))));
}

/** Move the line to a place in the window.
 * @param {HTMLElement} place
 * @param {number} x in CSS pixels */
export function cutAt(place, x) {
  const { left, width } = /** @type {HTMLElement} */ (place.querySelector(".compare")).getBoundingClientRect();
  cut(place, (100 * (x - left)) / width);
}
