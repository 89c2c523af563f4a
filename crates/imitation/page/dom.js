// Builds the page's elements: without HTML from strings, with names in the meeting's dialect, and with reports of every click.

export const visit = Number(document.documentElement.dataset.visit);

const languages = new URLSearchParams(location.search).getAll("hl");
const english = languages.length > 0 && languages[0] === "en";
if (!english) document.documentElement.lang = "en-XA";

// Without hl=en the page has another language, in which no text equals the English one.
const accents = { a: "á", e: "é", i: "í", o: "ö", u: "ü", A: "Á", E: "É", I: "Í", O: "Ö", U: "Ü" };
export const say = (text) => (english ? text : text.replace(/[aeiouAEIOU]/g, (vowel) => accents[vowel]));

let dialect = "labels";
let ghosts = false;
export const speak = (view) => {
  dialect = view.dialect;
  ghosts = view.decoys.ghosts;
};
export const labelled = () => dialect === "labels";

// Reports are sent in order.
let queue = [];
let sending = false;
export const post = (path, body) =>
  fetch(path, { method: "POST", body: JSON.stringify({ visit, ...body }), keepalive: path.endsWith("reports") });
export const report = async (...reports) => {
  queue.push(...reports);
  if (sending) return;
  sending = true;
  while (queue.length > 0) {
    const batch = queue;
    queue = [];
    try {
      await post("/imitation/reports", { reports: batch });
    } catch {
      // The page is being left.
      break;
    }
  }
  sending = false;
};

export const element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(name, value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== undefined));
  return made;
};

export const icon = (ligature) => element("i", { class: "google-symbols", "aria-hidden": "true" }, ligature);

let tooltips = 0;
const named = (tag, label, sign, attributes) => {
  const text = say(label);
  if (labelled()) return [element(tag, { "aria-label": text, ...attributes }, sign ? icon(sign) : element("span", {}, text))];
  if (!sign) return [element(tag, attributes, element("span"), element("span", { class: "inner" }, element("span", {}, text)))];
  const id = `tt-c${(tooltips += 1)}`;
  return [
    element(tag, { "aria-labelledby": id, ...attributes }, icon(sign)),
    element("div", { id, role: "tooltip", class: "tooltip" }, text),
  ];
};

// A button with its accessible name: as a label, or as text in nested elements; with an icon, as a label or a tooltip.
export const button = (label, { sign, press, attributes = {}, ghost = false } = {}) => {
  const parts = named("button", label, sign, { type: "button", click: press, ...attributes });
  if (ghost && ghosts) {
    const twin = element("button", { type: "button", class: "ghost", "aria-label": say(label) });
    twin.addEventListener("click", () => report({ decoy: `ghost of ${label}` }));
    parts.unshift(twin);
  }
  return parts;
};

export const misleading = (label, sign) =>
  button(label, { sign, press: () => report({ decoy: label }) });

const nameOf = (target) => {
  const by = target.getAttribute("aria-labelledby");
  const text = by ? document.getElementById(by)?.textContent : target.textContent;
  return (target.getAttribute("aria-label") ?? text ?? "").trim().slice(0, 80);
};

let moves = 0;
export const watch = () => {
  document.addEventListener("pointermove", () => (moves += 1), true);
  document.addEventListener(
    "click",
    (event) => {
      const target = event.target.closest("button,[role=button],input,textarea,[contenteditable],iframe") ?? event.target;
      const box = target.getBoundingClientRect();
      const inside =
        event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
      // A key press is a click without a position.
      const key = event.isTrusted && event.detail === 0;
      report({
        click: {
          name: nameOf(target),
          trusted: event.isTrusted,
          x: event.clientX,
          y: event.clientY,
          inside: key || inside,
          moves: key ? 1 : moves,
        },
      });
      moves = 0;
    },
    true,
  );
};
