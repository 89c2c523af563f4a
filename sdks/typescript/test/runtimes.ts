/** Where a test runs. */

import { test } from "node:test";

/** A test of what only Node.js does: it looks into the memory of V8, starts a program, or shows what its parser of HTTP could not read. */
export const inNode: typeof test | (() => void) = "Deno" in globalThis || "Bun" in globalThis ? () => {} : test;
