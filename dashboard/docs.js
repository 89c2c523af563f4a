// The documentation at /docs: the guides and the reference of the API, from the server itself.

import { fill, h } from "./dom.js";
import { markdown } from "./markdown.js";
import { byTag, operation } from "./reference.js";

/** The guides, in the order in which they are of use. */
const GUIDES = [
  ["quickstart", "Quickstart"],
  ["sandbox", "The sandbox"],
  ["job-lifecycle", "What becomes of a job"],
  ["auto-leave", "When a bot leaves"],
  ["recordings", "What is in a recording"],
  ["webhooks", "Webhooks"],
  ["failure-codes", "Failure codes"],
  ["requests", "Requests"],
  ["dashboard", "The dashboard"],
  ["operations", "Running a server"],
  ["object-storage", "Recordings in a bucket"],
];

const top = /** @type {HTMLElement} */ (document.getElementById("top"));
const contents = /** @type {HTMLElement} */ (document.getElementById("contents"));
const main = /** @type {HTMLElement} */ (document.getElementById("main"));

/** Where a link of a guide leads. @param {string} target */
function leads(target) {
  if (/^https?:/.test(target)) return target;
  if (target.startsWith("#")) return `${location.hash.split("/").slice(0, 3).join("/")}/${target.slice(1)}`;
  const [file = "", part = ""] = target.replace(/^\.\//, "").split("#");
  if (file.endsWith("openapi.json")) return "#/api/jobs";
  const guide = GUIDES.find(([name]) => file === `${name}.md` || file.endsWith(`docs/${name}.md`))?.[0];
  return guide ? `#/guides/${guide}${part ? `/${part}` : ""}` : null;
}

/** @param {string} address */
async function text(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  return response.text();
}

const described = text("/openapi.json").then((text) => JSON.parse(text));

async function show() {
  const { hash } = location;
  const [kind = "guides", name = "quickstart", part] = hash.replace(/^#\/?/, "").split("/").filter(Boolean);
  const view = h("section", { class: "prose" });
  if (kind === "api") {
    const document = await described;
    const tag = document.tags.find((/** @type {any} */ tag) => tag.name === name);
    fill(view, h("h1", {}, `API: ${name}`), h("p", {}, tag?.description ?? ""), ...(byTag(document).get(name) ?? []).map((call) => operation(document, call)));
  } else {
    const known = GUIDES.some(([guide]) => guide === name);
    fill(view, ...(known ? markdown(await text(`/docs/${name}.md`), leads) : [h("p", {}, "There is no such page.")]));
  }
  // Another page was opened meanwhile: this one must not replace it.
  if (location.hash !== hash) return;
  fill(main, view);
  document.title = `${view.querySelector("h1")?.textContent ?? name} · meetbot`;
  for (const link of contents.querySelectorAll("a")) {
    if (link.getAttribute("href") === `#/${kind}/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const place = part && document.getElementById(part);
  if (place) place.scrollIntoView();
  else scrollTo(0, 0);
}

fill(
  top,
  h("a", { class: "brand", href: "/" }, h("img", { src: "/dashboard/icon.svg", alt: "", width: 24, height: 24 }), "meetbot"),
  h("span", { class: "soft" }, "Documentation"),
  h("span", { class: "grow" }),
  h("a", { href: "/" }, "Dashboard"),
  h("a", { href: "/openapi.json" }, "openapi.json"),
);
const tags = [...byTag(await described)].filter(([, calls]) => calls.length > 0);
fill(
  contents,
  h("h2", {}, "Guides"),
  h("ul", {}, ...GUIDES.map(([name, title]) => h("li", {}, h("a", { href: `#/guides/${name}` }, title)))),
  h("h2", {}, "API"),
  h("ul", {}, ...tags.map(([name]) => h("li", {}, h("a", { href: `#/api/${name}` }, name)))),
);
addEventListener("hashchange", show);
await show();
