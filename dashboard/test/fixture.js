// The server and the browser that all tests of a file use.

import { after, before } from "node:test";

import { browse, open, serve, watched } from "./server.js";

/** @type {Awaited<ReturnType<typeof serve>>} */
export let server;
/** @type {any} */
export let browser;

/**
 * Starts both before the file's tests, with a key of this scope, and ends them after the tests.
 * @param {string} scope @param {() => Promise<void>} [prepare] Prepares the server, while the browser starts.
 */
export function start(scope, prepare = async () => {}) {
  before(async () => {
    server = await serve(scope);
    [browser] = await Promise.all([browse(), prepare()]);
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });
}

/** Asks the API beside the page. @param {string} path @param {unknown} [body] */
export async function ask(path, body) {
  const headers = { Authorization: `Bearer ${server.key}`, "Content-Type": "application/json" };
  const how = body === undefined ? { headers } : { headers, method: "POST", body: JSON.stringify(body) };
  return (await fetch(`${server.url}/api/v1${path}`, how)).json();
}

/** A page of the dashboard, and the paths that it has asked for. @param {any} [options] Of the browser's context. */
export async function signedIn(options) {
  const { page, complaints, context } = await open(browser, options);
  const { asked, quiet } = watched(page);
  await page.goto(server.link());
  await page.waitForSelector("jobs-view");
  return { page, complaints, context, asked, quiet };
}
