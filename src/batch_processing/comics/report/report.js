// Without this script everything is still there: pictures split in the middle, filters, links.
const grid = document.querySelector(".pages");
const cards = [...document.querySelectorAll(".page")];
const search = document.querySelector("input[type=search]");
const shown = document.querySelector(".bar output");
const names = cards.map((card) => card.querySelector("h3").textContent.toLowerCase());

function select() {
  const wanted = search.value.trim().toLowerCase();
  cards.forEach((card, at) => { card.hidden = !names[at].includes(wanted); });
  const filter = document.querySelector("input[name=filter]:checked").value;
  const count = cards.filter((card) => !card.hidden && (!filter || card.classList.contains(filter))).length;
  const some = shown.dataset.some.replace("{count}", count).replace("{all}", cards.length);
  shown.textContent = count === cards.length ? shown.dataset.all : some;
}

document.addEventListener("input", (event) => {
  const field = event.target;
  if (field.type === "range") {
    cut(field.closest(".page"), Number(field.value));
  } else if (field.name === "view") {
    grid.style.setProperty("--cut", field.value + "%");
    for (const card of cards) {
      cut(card, Number(field.value));
      card.style.removeProperty("--cut"); // it is that of all pages
    }
  } else {
    select();
  }
});

// A drag over the picture moves the line, a click opens the file.
let drag = null;
grid.addEventListener("dragstart", (event) => event.preventDefault());
grid.addEventListener("pointerdown", (event) => {
  const picture = event.target.closest(".both");
  drag = picture && event.button === 0 ? { picture, from: event.clientX, moved: false } : null;
});
addEventListener("pointermove", (event) => {
  if (!drag || (!drag.moved && Math.abs(event.clientX - drag.from) < 5)) return;
  drag.moved = true;
  cutAt(drag.picture.closest(".page"), event.clientX);
});
let dragged = false;
for (const end of ["pointerup", "pointercancel"]) {
  addEventListener(end, () => { dragged = Boolean(drag && drag.moved); drag = null; });
}
grid.addEventListener("click", (event) => {
  if (dragged && event.target.closest(".both")) event.preventDefault();
  dragged = false;
});
// The index leads to the pages of one kind.
const only = /^#only-([a-z]+)$/.exec(location.hash);
const wanted = only && document.querySelector(`input[name=filter][value="${only[1]}"]`);
if (wanted) wanted.checked = true;
select();
