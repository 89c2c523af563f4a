// Elements made by code. Text from outside is only ever set as text, so that nothing in it becomes markup.

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Makes an element. `on…` are listeners, `true` and `false` set and leave out an attribute, `null` leaves it out.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | number | boolean | null | undefined | ((event: any) => void)>} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  append(element, children);
  return element;
}

/** @param {Element} parent @param {Child[]} children */
function append(parent, children) {
  for (const child of children) {
    if (child instanceof Node) parent.append(child);
    else if (child !== null && child !== undefined && child !== false) parent.append(String(child));
  }
}

/** Replaces what is in an element. @param {Element} parent @param {...Child} children */
export function fill(parent, ...children) {
  parent.replaceChildren();
  append(parent, children);
}

/** Sets an element's text where it is another one. @param {Element} element @param {string} text */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Makes the children of an element those of `items`, in their order. An item that was there keeps its element, with focus and state.
 * @template Item
 * @param {Element} parent
 * @param {Item[]} items
 * @param {(item: Item) => string} key
 * @param {(item: Item) => HTMLElement} create
 * @param {(element: HTMLElement, item: Item) => void} [update]
 */
export function keyed(parent, items, key, create, update) {
  const old = new Map([...parent.children].map((child) => [child.getAttribute("data-key"), child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let element = /** @type {HTMLElement | undefined} */ (old.get(name));
    if (element) old.delete(name);
    else {
      element = create(item);
      element.setAttribute("data-key", name);
    }
    update?.(element, item);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  for (const element of old.values()) element.remove();
}

/** A link to a page of the web, where the text is one; else the text. @param {string} text @returns {HTMLElement} */
export function outside(text) {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol !== "https:" && url?.protocol !== "http:") return h("span", {}, text);
  return h("a", { href: url.href, rel: "noopener noreferrer", target: "_blank" }, text);
}

/**
 * Does something at once and again after each time has passed, while the page is seen.
 * @param {number} ms
 * @param {AbortSignal} signal
 * @param {() => Promise<unknown> | unknown} act
 */
export async function every(ms, signal, act) {
  while (!signal.aborted) {
    if (!document.hidden) await act();
    await new Promise((done) => {
      const timer = setTimeout(done, ms);
      signal.addEventListener("abort", () => (clearTimeout(timer), done(null)), { once: true });
    });
  }
}

/**
 * Makes a function that does something at once, and when it is called again meanwhile or soon after, once more when `ms` have passed since the time before.
 * @param {number} ms @param {AbortSignal} signal @param {() => Promise<unknown>} act @returns {() => void}
 */
export function atMostEvery(ms, signal, act) {
  let [busy, again] = [false, false];
  return async function go() {
    again = busy;
    if (busy || signal.aborted) return;
    busy = true;
    await Promise.all([act(), new Promise((done) => setTimeout(done, ms))]);
    busy = false;
    if (again) go();
  };
}

/**
 * Does something at once, whenever the page is looked at again, and after each time has passed while it is seen: for what no feed reports.
 * @param {number} ms @param {AbortSignal} signal @param {() => Promise<unknown>} act @returns {() => void} Does it once more.
 */
export function fresh(ms, signal, act) {
  const again = atMostEvery(1000, signal, act);
  window.addEventListener("focus", again, { signal });
  document.addEventListener("visibilitychange", () => !document.hidden && again(), { signal });
  every(ms, signal, again);
  return again;
}

/** Says something to who cannot see the page. @param {string} text */
export function announce(text) {
  const announcer = document.getElementById("announcer");
  if (announcer) say(announcer, text);
}

/** A box with an error. @param {unknown} problem @returns {HTMLElement} */
export function problemBox(problem) {
  const text = problem instanceof Error ? problem.message : String(problem);
  return h("p", { class: "box bad", role: "alert" }, text);
}

/**
 * Asks for confirmation of an action that cannot be undone.
 * @param {string} question @param {string} verb @returns {Promise<boolean>}
 */
export function confirmed(question, verb) {
  const dialog = h(
    "dialog",
    { "aria-label": question },
    h("p", {}, question),
    h(
      "div",
      { class: "row end" },
      h("button", { type: "button", autofocus: true, onclick: () => dialog.close("") }, "No"),
      h("button", { type: "button", class: "bad", onclick: () => dialog.close("yes") }, verb),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((answer) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      answer(dialog.returnValue === "yes");
    });
  });
}
