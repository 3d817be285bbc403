"use strict";
// Sorting, filtering, contours and the dialog. What is chosen stands in the address behind #, so
// that a view can be kept as a bookmark: #sort=vcdr&flag=any&contours=off
const root = document.documentElement;
const form = document.querySelector(".tools");
const list = document.querySelector(".cards");
const dialog = document.querySelector("dialog");
const cards = [...list.children];
const names = new Intl.Collator("en", { numeric: true });

const number = (card, key) => (card.dataset[key] === "" ? NaN : Number(card.dataset[key]));
const flags = (card) => card.dataset.flags.split("; ").filter(Boolean);
// what is missing comes last, whichever way the rest goes
const by = (value, direction) => (a, b) => {
  const [x, y] = [value(a), value(b)];
  return Number.isNaN(x) - Number.isNaN(y) || direction * (x - y) || 0;
};
const ORDERS = {
  order: by((card) => number(card, "order"), 1),
  id: (a, b) => names.compare(a.dataset.id, b.dataset.id),
  vcdr: by((card) => number(card, "vcdr"), -1),
  "vcdr-up": by((card) => number(card, "vcdr"), 1),
  confidence: by((card) => number(card, "confidence"), 1),
  flags: by((card) => flags(card).length, -1),
};

function matches(card, wanted) {
  if (wanted === "") return true;
  if (wanted === "any") return flags(card).length > 0;
  if (wanted === "none") return flags(card).length === 0;
  return flags(card).includes(wanted.replace(/^flag /, ""));
}

const visible = () => [...list.children].filter((card) => !card.hidden);
const enlargeable = () => visible().filter((card) => card.querySelector(".shot"));
const choice = (name) => (form.elements[name] ? form.elements[name].value : "");

function arrange() {
  cards.sort(ORDERS.order).sort(ORDERS[choice("sort")]); // equal ones stay as predicted
  for (const card of cards) card.hidden = !matches(card, choice("flag"));
  list.append(...cards);
  form.querySelector("[role=status]").textContent = `${visible().length} of ${cards.length} shown`;
}

function showContours(on) {
  root.classList.toggle("bare", !on);
  for (const button of document.querySelectorAll("[data-do=contours]")) {
    button.setAttribute("aria-pressed", String(on));
    button.firstChild.textContent = on ? "Hide contours " : "Show contours ";
  }
}

function keepInAddress() {
  const chosen = new URLSearchParams({ sort: choice("sort") });
  if (choice("flag")) chosen.set("flag", choice("flag"));
  if (root.classList.contains("bare")) chosen.set("contours", "off");
  history.replaceState(null, "", `#${chosen}`);
}

function readAddress() {
  const chosen = new URLSearchParams(location.hash.slice(1));
  if (location.hash && !location.hash.includes("=")) return; // a place in the page
  for (const [name, otherwise] of [["sort", "order"], ["flag", ""]]) {
    const select = form.elements[name];
    if (!select) continue;
    select.value = chosen.get(name) ?? otherwise;
    if (select.selectedIndex < 0) select.value = otherwise;
  }
  showContours(chosen.get("contours") !== "off");
}

let open = null; // the card in the dialog

function show(card) {
  if (!card) return;
  open = card;
  const large = document.createElement("div");
  large.className = "large";
  large.append(...[...card.querySelectorAll(".shot")].map((shot) => shot.cloneNode(true)));
  const words = card.querySelector(".words").cloneNode(true);
  words.querySelector("details").open = true;
  dialog.querySelector(".content").replaceChildren(large, words);
  const among = enlargeable();
  const place = `${among.indexOf(card) + 1} of ${among.length}`;
  dialog.querySelector(".place").textContent = `${card.dataset.id} (${place})`;
  dialog.setAttribute("aria-label", card.dataset.id);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function step(by) {
  const among = enlargeable();
  show(among[among.indexOf(open) + by]);
}

const ACTIONS = {
  contours: () => {
    showContours(root.classList.contains("bare"));
    keepInAddress();
  },
  previous: () => step(-1),
  next: () => step(1),
  close: () => dialog.close(),
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (event.target === dialog) dialog.close(); // beside it
  else if (button?.dataset.do) ACTIONS[button.dataset.do]();
  else if (button?.matches(".shots")) show(button.closest(".card"));
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
  if (event.key === "c") ACTIONS.contours();
  else if (dialog.open && event.key === "ArrowLeft") step(-1);
  else if (dialog.open && event.key === "ArrowRight") step(1);
});
dialog.addEventListener("close", () => {
  const button = open.querySelector(".shots");
  button.scrollIntoView({ block: "nearest" });
  button.focus();
});
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", () => {
  arrange();
  keepInAddress();
});
window.addEventListener("hashchange", () => {
  readAddress();
  arrange();
});

root.classList.add("js");
form.hidden = false;
showContours(true);
readAddress();
arrange();
