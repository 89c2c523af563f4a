// Takes the pictures of the README: five views of a real server, each into the folder that is named.

import { statSync } from "node:fs";
import { join } from "node:path";

import { browse, endpoint, open, serve, until } from "./server.js";

const [folder = "."] = process.argv.slice(2);
/** A picture larger than this, in bytes, is not for a README. */
const LARGEST = 100_000;
const server = await serve("admin");
const browser = await browse();
const receiver = await endpoint((event) => (event.startsWith("bot.") ? [503, "busy"] : [200, "ok"]));

/** @param {string} method @param {string} path @param {unknown} [body] */
async function call(method, path, body) {
  const headers = { Authorization: `Bearer ${server.key}`, "Content-Type": "application/json" };
  const content = body === undefined ? null : JSON.stringify(body);
  return (await fetch(server.url + path, { method, headers, body: content })).json();
}

/** @param {string} scenario @param {Record<string, unknown>} [more] */
function send(scenario, more = {}) {
  return call("POST", "/api/v1/jobs", { meetingUrl: `https://sandbox.meetbot.dev/${scenario}`, ...more });
}

/** @param {string} id @param {string} status */
function waitFor(id, status) {
  return until(() => call("GET", `/api/v1/jobs/${id}`), (job) => job.status === status);
}

const recorded = await send("chatty?seconds=30", { externalId: "weekly-42", webhooks: { onFinalize: receiver.url } });
const failed = await send("host-denies", { externalId: "board-meeting" });
await send("kicked?seconds=8", { externalId: "sales-7", webhooks: { onStatusChange: receiver.url } });
await waitFor(recorded.id, "completed");
await waitFor(failed.id, "failed");
const running = await send("two-speakers?seconds=120", { externalId: "stand-up" });
await waitFor(running.id, "recording");

/** @param {string} name @param {string} place @param {string} seen @param {"light" | "dark"} colorScheme @param {(page: any) => Promise<unknown>} [act] */
async function picture(name, place, seen, colorScheme, act) {
  const { page, context } = await open(browser, { viewport: { width: 1120, height: 660 }, colorScheme });
  await page.goto(server.link());
  await page.waitForSelector("jobs-view");
  await page.goto(`${server.url}/#/${place}`);
  await page.waitForSelector(seen);
  await act?.(page);
  await page.evaluate(() => document.fonts.ready);
  const path = join(folder, `${name}.png`);
  await page.screenshot({ path, animations: "disabled" });
  await context.close();
  const bytes = statSync(path).size;
  if (bytes > LARGEST) throw new Error(`${path} has ${bytes} bytes`);
  console.log(`${path} ${bytes}`);
}

await picture("jobs", "jobs", "tbody tr:nth-child(4)", "light");
await picture("player", `jobs/${recorded.id}?t=12`, ".transcript li[aria-current]", "light", (page) => page.click("button[aria-label='Solo Alice']"));
await picture("live", `jobs/${running.id}`, ".transcript li.chat", "dark");
await picture("failure", `jobs/${failed.id}`, ".box.bad", "light");
await picture("webhooks", "webhooks", ".delivery .pill.delivered", "dark", (page) => page.click(".delivery:has(.pill.delivered) summary"));
receiver.stop();
await browser.close();
await server.stop();
process.exit(0);
