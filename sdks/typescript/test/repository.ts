/** Where the repository lies: the tests run in a copy of this folder under `target/`, with its packages beside it. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const ROOT: string = process.env["MEETBOT_REPOSITORY"] ?? fileURLToPath(new URL("../../..", import.meta.url));

/** The folder of this package. */
export const PACKAGE: string = fileURLToPath(new URL("..", import.meta.url));

/** A file of `spec/vectors`. */
export function vectors(name: string): any {
  return JSON.parse(readFileSync(join(ROOT, "spec/vectors", name), "utf8"));
}

/** The first answer of this kind in `models.json`. */
export function modelOf(kind: string): any {
  return structuredClone(vectors("models.json").cases.find((one: any) => one.model === kind).json);
}
