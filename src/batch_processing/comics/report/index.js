// The index of a report in several files: leads to the file that shows a page, by its number or its name. Without this script
// the table does.
const field = document.querySelector("input[type=search]");
const list = document.querySelector("#found");
const said = document.querySelector(".bar output");
const names = JSON.parse(document.querySelector("#names").dataset.names);
const lower = names.map((name) => name.toLowerCase());
const { size, pages, address, page } = list.dataset;
const MOST = 50;

/** The address of a page. */
function placeOf(number) {
  const first = number - ((number - 1) % Number(size));
  return `${address.replace("{first}", String(first).padStart(5, "0"))}#p${number}`;
}

function entry(number) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = placeOf(number);
  link.textContent = page.replace("{number}", String(number));
  item.append(link);
  if (names.length) {
    const name = document.createElement("bdi");
    name.textContent = names[number - 1];
    item.append(" ", name);
  }
  return item;
}

function find() {
  const text = field.value.trim().toLowerCase();
  const found = new Set();
  if (/^\d+$/.test(text) && Number(text) >= 1 && Number(text) <= Number(pages)) found.add(Number(text));
  if (text) lower.forEach((name, at) => { if (name.includes(text)) found.add(at + 1); });
  list.replaceChildren(...[...found].slice(0, MOST).map(entry));
  list.hidden = !found.size;
  said.textContent = !text ? "" : found.size ? said.dataset.some.replace("{count}", String(found.size)) : said.dataset.none;
}

field.addEventListener("input", find);
field.addEventListener("keydown", (event) => {
  const first = list.querySelector("a");
  if (event.key === "Enter" && first) first.click();
});
find();
