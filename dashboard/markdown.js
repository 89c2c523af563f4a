// Renders the Markdown of the guides as elements, without raw HTML. Only the syntax that the guides use is supported.

import { h } from "./dom.js";

/** @typedef {(target: string) => string | null} Links Where a link of a guide leads on this server; `null`: nowhere. */

/** @param {string} text @param {Links} links @returns {(Node | string)[]} */
function inline(text, links) {
  const parts = /(`+)(.+?)\1|\*\*(.+?)\*\*|!?\[((?:[^\[\]]|`[^`]*`)*)\]\(([^()\s]+)\)|<(https?:[^>\s]+)>/g;
  /** @type {(Node | string)[]} */
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(parts)) {
    nodes.push(text.slice(end, match.index));
    end = match.index + match[0].length;
    const [whole, , code, bold, label, target, url] = match;
    if (code !== undefined) nodes.push(h("code", {}, code));
    else if (bold !== undefined) nodes.push(h("strong", {}, ...inline(bold, links)));
    else if (label !== undefined && !whole.startsWith("!")) {
      const href = links(target ?? "");
      nodes.push(href === null ? h("span", {}, ...inline(label, links)) : h("a", { href }, ...inline(label, links)));
    } else if (url !== undefined) nodes.push(h("a", { href: url }, url));
  }
  nodes.push(text.slice(end));
  return nodes;
}

/** The cells of a row: bars within code do not part them. @param {string} row @returns {string[]} */
function cells(row) {
  const inner = row.trim().replace(/^\|/, "").replace(/\|$/, "");
  return (inner.match(/(?:`[^`]*`|\\\||[^|`])+|(?<=\|)(?=\|)/g) ?? []).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

/** The name of a heading in addresses. @param {string} heading */
export function slug(heading) {
  return heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");
}

/** @param {string} text @param {Links} links @returns {Node[]} */
export function markdown(text, links) {
  const lines = text.replace(/<!--[\s\S]*?-->/g, "").split("\n");
  /** @type {Node[]} */
  const nodes = [];
  let at = 0;
  const line = () => lines[at] ?? "";
  const take = (/** @type {(line: string) => boolean} */ is) => {
    const taken = [];
    while (at < lines.length && is(line())) taken.push(lines[at++] ?? "");
    return taken;
  };
  const item = /^(\s*)([-*]|\d+\.)\s+/;
  while (at < lines.length) {
    const heading = /^(#{1,4})\s+(.*)$/.exec(line());
    const fence = /^\s*```/.exec(line());
    if (line().trim() === "") at += 1;
    else if (fence) {
      at += 1;
      const code = take((line) => !/^\s*```/.test(line));
      at += 1;
      nodes.push(h("pre", { tabindex: 0 }, h("code", {}, code.join("\n"))));
    } else if (heading) {
      at += 1;
      const [, marks = "", title = ""] = heading;
      nodes.push(h(/** @type {"h1"} */ (`h${marks.length}`), { id: slug(title) }, ...inline(title, links)));
    } else if (line().startsWith("|")) {
      const [head = "", , ...rows] = take((line) => line.startsWith("|"));
      const names = cells(head).map((cell) => h("th", { scope: "col" }, ...inline(cell, links)));
      const body = rows.map((row) => h("tr", {}, ...cells(row).map((cell) => h("td", {}, ...inline(cell, links)))));
      nodes.push(h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Table" }, h("table", {}, h("thead", {}, h("tr", {}, ...names)), h("tbody", {}, ...body))));
    } else if (item.test(line())) {
      const ordered = /^\s*\d/.test(line());
      const taken = take((line) => line.trim() !== "" && !line.startsWith("#") && !/^\s*```/.test(line));
      /** @type {string[]} */
      const items = [];
      for (const one of taken) {
        if (item.test(one)) items.push(one.replace(item, ""));
        else items.push(`${items.pop() ?? ""} ${one.trim()}`);
      }
      nodes.push(h(ordered ? "ol" : "ul", {}, ...items.map((one) => h("li", {}, ...inline(one, links)))));
    } else {
      const taken = take((line) => line.trim() !== "" && !/^(#|\||\s*```)/.test(line) && !item.test(line));
      if (taken.length === 0) taken.push(lines[at++] ?? "");
      nodes.push(h("p", {}, ...inline(taken.join(" "), links)));
    }
  }
  return nodes;
}
