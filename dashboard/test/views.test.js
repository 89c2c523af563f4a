// Single views: the usage, what a failed join leaves behind, and a recording of many voices.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ask, server, signedIn, start } from "./fixture.js";
import { barriers, until } from "./server.js";

start("admin");

test("the usage follows the feed, and asks for nothing while nothing happens", async () => {
  const { page, complaints, context, asked, quiet } = await signedIn();
  await page.goto(`${server.url}/#/usage`);
  const bots = page.locator(".figure:has(h2:text-is('Bots now')) .number");
  await bots.waitFor();
  await quiet();
  assert.match(await bots.textContent(), /^0 /);
  await ask("/jobs", { meetingUrl: "https://sandbox.meetbot.dev/two-speakers?seconds=60" });
  await until(() => bots.textContent(), (text) => /^1 /.test(text));
  const { data } = await ask("/jobs");
  await ask(`/jobs/${data[0].id}/leave-call`, {});
  await until(() => bots.textContent(), (text) => /^0 /.test(text));
  await quiet();
  assert.ok(asked.includes("/api/v1/usage"));
  assert.deepEqual(complaints, []);
  await context.close();
});

test("a join that failed shows what the bot's browser saw", async () => {
  const { page, complaints, context } = await signedIn();
  const { id } = await ask("/jobs", { meetingUrl: "https://sandbox.meetbot.dev/host-denies" });
  const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";
  const files = [{ name: "1.denied.png", mediaType: "image/png", bytes: 70, sha256: "" }, { name: "1.denied.json", mediaType: "application/json", bytes: 2, sha256: "" }];
  await page.route(`**/jobs/${id}/artifacts`, (/** @type {any} */ route) => route.fulfill({ json: { data: files, nextCursor: null } }));
  await page.route(`**/jobs/${id}/artifacts/*`, (/** @type {any} */ route) => route.fulfill({ contentType: "image/png", body: Buffer.from(pixel, "base64") }));
  await page.goto(`${server.url}/#/jobs/${id}`);
  await page.waitForSelector(".title .pill.failed");
  await page.waitForSelector(".evidence a[download='1.denied.json']");
  await until(() => page.evaluate("document.querySelector('.evidence img').naturalWidth"), (width) => width === 1);
  assert.deepEqual(await barriers(page), []);
  assert.deepEqual(complaints, []);
  await context.close();
});

test("of more than eight voices the mix plays: one can be heard alone, and none be muted", async () => {
  const { page, complaints, context } = await signedIn();
  const { id } = await ask("/jobs", { meetingUrl: "https://sandbox.meetbot.dev/two-speakers?seconds=2" });
  const manifest = await until(() => ask(`/jobs/${id}/manifest`), ({ mixed }) => mixed?.state === "made", 250);
  const numbers = Array.from({ length: 9 }, (_, number) => number);
  const participants = numbers.map((number) => ({ ...manifest.participants[0], id: `p${number}`, name: `Person ${number}` }));
  const tracks = numbers.map((number) => ({ ...manifest.tracks[0], participantId: `p${number}` }));
  await page.route("**/manifest", (/** @type {any} */ route) => route.fulfill({ json: { ...manifest, participants, tracks, speaking: [] } }));
  await page.goto(`${server.url}/#/jobs/${id}`);
  await page.waitForSelector("button[aria-label='Solo Person 8']");
  assert.equal(await page.locator("button[aria-label^='Mute']").count(), 0);
  const heard = async () => (await page.evaluate("(() => { const player = document.querySelector('recording-player'); if (!player.playing) player.toggle(); return player.offsets; })()")).length;
  await until(heard, (count) => count === 1);
  await page.click("button[aria-label='Solo Person 8']");
  await page.click("button[aria-label='Solo Person 7']");
  await until(heard, (count) => count === 2);
  assert.deepEqual(complaints, []);
  await context.close();
});
