/** Reads answers: checks what gives them meaning and fills in what they leave out, by the rules of spec/README.md. Fields that are not known stay. */

import { EVENTS, type Shape } from "./shapes.js";
import type { KnownEventName } from "./words.js";

/** Why an answer cannot be read. */
export class Unreadable extends Error {}

type Fields = Record<string, unknown>;
type Reader = (value: unknown, path: string, shape: Shape) => unknown;

function wrong(path: string, what: string): never {
  throw new Unreadable(`${path || "the answer"} is not ${what}`);
}

function object(value: unknown, path: string): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : wrong(path, "an object");
}

function whole(value: unknown, path: string): unknown {
  return Number.isInteger(value) && (value as number) >= 0 ? value : wrong(path, "a whole number");
}

function text(value: unknown, path: string): unknown {
  return typeof value === "string" ? value : wrong(path, "a text");
}

function flag(value: unknown, path: string): unknown {
  return typeof value === "boolean" ? value : wrong(path, "true or false");
}

function list(value: unknown, path: string, read: Reader, shape: Shape): unknown[] {
  return Array.isArray(value) ? value.map((one, index) => read(one, `${path}[${index}]`, shape)) : wrong(path, "a list");
}

/** RFC 3339 with seconds and an offset. */
const TIME = /^(\d{4}-(?:0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01]))[Tt ](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

/** A time of a day that there is: only the last days of a month are not in each. */
function time(value: unknown, path: string): unknown {
  const [, day, ofMonth] = TIME.exec(value as string) ?? [];
  return day !== undefined && (ofMonth! < "29" || new Date(day).toJSON()?.startsWith(day)) ? value : wrong(path, "a time");
}

function counts(value: unknown, path: string): unknown {
  const known = Object.entries(object(value, path)).filter(([, count]) => count !== null);
  return Object.fromEntries(known.map(([name, count]) => [name, whole(count, `${path}.${name}`)]));
}

/** For each kind of field: what a missing one reads as, and how another is read. */
const KINDS: Record<string, [missing: () => unknown, read: Reader]> = {
  "": [() => null, text],
  "!": [() => "", (value, path) => text(value, path) || wrong(path, "there")],
  "@": [() => null, time],
  "#": [() => 0, whole],
  "~": [() => null, whole],
  "%": [() => 0, (value, path) => (typeof value === "number" ? value : wrong(path, "a number"))],
  "?": [() => false, flag],
  "??": [() => null, flag],
  "=": [() => ({}), object],
  "[]": [() => [], (value, path, shape) => list(value, path, text, shape)],
  "{}": [() => ({}), counts],
  ":": [() => ({}), shaped],
  ";": [() => null, shaped],
  "*": [() => [], (value, path, shape) => list(value, path, shaped, shape)],
};

interface Field {
  name: string;
  kind: string;
  missing: () => unknown;
  read: Reader;
  inner: Shape;
}

const parsed = new WeakMap<Shape, Field[]>();

function fieldsOf(shape: Shape): Field[] {
  let fields = parsed.get(shape);
  if (fields === undefined) {
    fields = shape.fields.split(" ").map((field) => {
      const name = field.replace(/\W+$/, "");
      const kind = field.slice(name.length);
      const [missing, read] = KINDS[kind] as [() => unknown, Reader];
      return { name, kind, missing, read, inner: shape.inner?.[name] ?? shape };
    });
    parsed.set(shape, fields);
  }
  return fields;
}

/** The object, with its fields checked, and filled in where they are missing. */
function shaped(value: unknown, path: string, shape: Shape): Fields {
  const found = object(value, path);
  for (const { name, kind, missing, read, inner } of fieldsOf(shape)) {
    const at = path === "" ? name : `${path}.${name}`;
    const given = found[name];
    if (given !== null && given !== undefined) {
      const made = read(given, at, inner);
      if (made !== given) found[name] = made;
    } else if (kind === "!") wrong(at, "there");
    // An object of which nothing is known has its fields all the same.
    else found[name] = kind === ":" ? read(missing(), at, inner) : missing();
  }
  if (shape.event !== undefined) event(found, path, shape.event);
  return found;
}

/** The data of an event: what it holds is known by the event's name. */
function event(envelope: Fields, path: string, required: "sequence" | "jobId"): void {
  const at = path === "" ? "data" : `${path}.data`;
  const data = envelope["data"] as Fields;
  data["event"] ??= envelope["event"];
  data["jobId"] ??= "";
  if (!data[required]) wrong(`${at}.${required}`, "there");
  const name = data["event"] as KnownEventName;
  if (Object.hasOwn(EVENTS, name)) shaped(data, at, EVENTS[name]);
  if (name !== "job.failed") return;
  // It has code and detail in two spellings; older servers have only the older one.
  for (const [newer, older] of [["failureCode", "failure_code"], ["failureDetail", "failure_detail"]] as const) {
    data[newer] = data[older] = data[newer] ?? data[older];
  }
}

/** Reads parsed JSON as an answer of this shape, in place. */
export function read(shape: Shape, value: unknown): unknown {
  // Of a page, the list is required.
  if (shape.fields.startsWith("data*") && !Array.isArray(object(value, "")["data"])) wrong("data", "a list");
  return shaped(value, "", shape);
}
