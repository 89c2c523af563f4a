// The reference of the API, from its own document.

import { h } from "./dom.js";
import { markdown } from "./markdown.js";
import { curl } from "./snippets.js";

const METHODS = ["get", "post", "patch", "put", "delete"];

/** @typedef {{method: string, path: string, operation: any}} Operation */

/** @param {any} document @returns {Map<string, Operation[]>} */
export function byTag(document) {
  /** @type {Map<string, Operation[]>} */
  const tags = new Map(document.tags.map((/** @type {any} */ tag) => [tag.name, []]));
  for (const [path, item] of Object.entries(document.paths)) {
    for (const method of METHODS) {
      const operation = /** @type {any} */ (item)[method];
      if (operation) tags.get(operation.tags[0])?.push({ method, path, operation });
    }
  }
  return tags;
}

/** What `$ref` leads to. @param {any} document @param {any} value @returns {any} */
function resolve(document, value) {
  if (!value?.$ref) return value ?? {};
  return value.$ref.slice(2).split("/").reduce((/** @type {any} */ found, /** @type {string} */ name) => found?.[name], document) ?? {};
}

/** A type in a few words. @param {any} document @param {any} schema @returns {string} */
function typeOf(document, schema) {
  if (!schema) return "";
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1);
    const found = resolve(document, schema);
    return found.properties || !found.type ? name : typeOf(document, found);
  }
  const choices = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (choices) return [...new Set(choices.map((/** @type {any} */ one) => typeOf(document, one)))].join(" or ");
  const types = [schema.type].flat().filter(Boolean);
  const names = types.map((type) => (type === "array" ? `list of ${typeOf(document, schema.items)}` : schema.enum && type === "string" ? schema.enum.map((/** @type {string} */ word) => JSON.stringify(word)).join(" | ") : type));
  return names.join(" or ") || "anything";
}

const prose = (/** @type {string | undefined} */ text) => markdown(text ?? "", (target) => (/^https?:/.test(target) ? target : null));

/** The fields of an object, those of objects among them one below the other. @param {any} document @param {any} schema @param {string[]} within @returns {Node | null} */
function fields(document, schema, within = []) {
  const found = resolve(document, schema);
  const parts = [found, ...(found.allOf ?? []).map((/** @type {any} */ one) => resolve(document, one))];
  const properties = Object.assign({}, ...parts.map((part) => part.properties ?? {}));
  const required = parts.flatMap((part) => part.required ?? []);
  const name = schema?.$ref ?? "";
  if (Object.keys(properties).length === 0 || within.includes(name) || within.length > 4) return null;
  const inner = (/** @type {any} */ property) => {
    const candidates = [property, property.items, ...(property.oneOf ?? []), ...(property.anyOf ?? []), ...(property.allOf ?? [])].filter(Boolean);
    for (const candidate of candidates) {
      const list = fields(document, candidate.items ?? candidate, [...within, name]);
      if (list) return h("details", {}, h("summary", {}, "Fields"), list);
    }
    return null;
  };
  return h(
    "dl",
    { class: "schema" },
    ...Object.entries(properties).flatMap(([field, property]) => [
      h("dt", {}, h("code", {}, field), h("span", { class: "soft" }, ` ${typeOf(document, property)}${required.includes(field) ? "" : ", may be missing"}`)),
      h("dd", {}, ...prose(property.description ?? resolve(document, property).description), inner(property)),
    ]),
  );
}

/** What is asked or answered, of each media type. @param {any} document @param {any} content */
function bodies(document, content) {
  return Object.entries(content ?? {}).map(([media, { schema }]) => h("div", {}, h("p", {}, h("code", {}, media), " ", typeOf(document, schema)), fields(document, schema)));
}

/** One call. @param {any} document @param {Operation} call */
export function operation(document, { method, path, operation }) {
  const scope = operation.security?.[0]?.apiKey?.[0];
  const parameters = (operation.parameters ?? []).map((/** @type {any} */ one) => resolve(document, one));
  const example = resolve(document, operation.requestBody)?.content?.["application/json"]?.schema;
  const body = method === "post" && path === "/api/v1/jobs" ? { meetingUrl: "https://sandbox.meetbot.dev/two-speakers?seconds=20" } : example ? {} : undefined;
  const responses = Object.entries(operation.responses).map(([status, response]) => ({ status, response: resolve(document, response) }));
  const good = responses.filter(({ status }) => status < "400");
  return h(
    "article",
    { class: "call", id: operation.operationId },
    h("h2", {}, h("span", { class: `pill method ${method}` }, method.toUpperCase()), " ", h("code", {}, path)),
    ...prose([operation.summary, operation.description].filter(Boolean).join("\n\n")),
    h("p", { class: "soft" }, scope ? `Needs a key of scope ${scope}.` : "Needs no key.", operation["x-sdk-name"] ? ` In the SDKs: ${operation["x-sdk-name"]}.` : ""),
    parameters.length > 0 && h("h3", {}, "Parameters"),
    parameters.length > 0 && h("dl", { class: "schema" }, ...parameters.flatMap((/** @type {any} */ one) => [h("dt", {}, h("code", {}, one.name), h("span", { class: "soft" }, ` in the ${one.in}, ${typeOf(document, one.schema)}${one.required ? "" : ", may be missing"}`)), h("dd", {}, ...prose(one.description))])),
    operation.requestBody && h("h3", {}, "Body"),
    ...bodies(document, resolve(document, operation.requestBody).content),
    h("h3", {}, "Answers"),
    ...good.map(({ status, response }) => h("details", {}, h("summary", {}, h("code", {}, status), ` ${response.description}`), ...bodies(document, response.content))),
    h("details", {}, h("summary", {}, "Refusals"), h("ul", {}, ...responses.filter(({ status }) => status >= "400").map(({ status, response }) => h("li", {}, h("code", {}, status), ` ${response.description}`)))),
    h("pre", { tabindex: 0 }, curl({ method: method.toUpperCase(), path: path.replace("{id}", "job_…"), body })),
  );
}
