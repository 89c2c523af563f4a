// What lists and a job's page read, and when: nothing while nothing happens.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ask, browser, server, signedIn, start } from "./fixture.js";
import { cuttable, endpoint, open, serve, until, watched } from "./server.js";

start("admin");

test("a job's page follows its events, and asks for nothing while nothing happens and after the end", async () => {
  const { page, complaints, context, asked, quiet } = await signedIn();
  const { id } = await ask("/jobs", { meetingUrl: "https://sandbox.meetbot.dev/two-speakers?seconds=300" });
  await page.goto(`${server.url}/#/jobs/${id}`);
  await page.waitForSelector(".title .pill.recording");
  // More does not happen by itself in the first minute.
  await page.waitForSelector(".lane-name:has-text('Bob')");
  assert.equal(await page.locator(".transcript button.time").count(), 0, "there is nowhere to go yet");
  await quiet();
  const before = asked.length;
  await ask(`/jobs/${id}/pause-recording`, {});
  await page.waitForSelector("[data-verb=resume-recording]");
  assert.ok(asked.length - before <= 6, `${asked.slice(before)}`);
  await ask(`/jobs/${id}/leave-call`, {});
  await page.waitForSelector("recording-player");
  await page.waitForSelector(".transcript button.time");
  // The mix comes after the end.
  await page.waitForSelector(".files a[download='audio.mixed.webm']");
  await quiet();
  assert.deepEqual(complaints, []);
  await context.close();
});

test("the list of jobs follows the feed, asks for nothing while nothing happens, and is right after the connection was lost", async () => {
  const { page, complaints, context } = await open(browser);
  const lines = await cuttable(server.url);
  const { asked, quiet } = watched(page);
  await page.goto(server.link().replace(server.url, lines.url));
  await page.waitForSelector("jobs-view");
  const send = async (/** @type {string} */ externalId, /** @type {string} */ scenario) => {
    const headers = { Authorization: `Bearer ${server.key}`, "Content-Type": "application/json" };
    const answer = await fetch(`${server.url}/api/v1/jobs`, { method: "POST", headers, body: JSON.stringify({ meetingUrl: `https://sandbox.meetbot.dev/${scenario}`, externalId }) });
    return (await answer.json()).id;
  };
  const row = (/** @type {string} */ externalId, /** @type {string} */ status) => page.waitForSelector(`tbody tr:has-text("${externalId}") .pill.${status}`);
  await page.waitForSelector("jobs-view .list:visible, jobs-view .empty:visible");
  await send("live-1", "host-denies");
  await row("live-1", "failed");
  // A recording that is paused and resumed by somebody else.
  const job = await send("live-2", "two-speakers?seconds=60");
  await row("live-2", "recording");
  const verb = (/** @type {string} */ name) => fetch(`${server.url}/api/v1/jobs/${job}/${name}`, { method: "POST", headers: { Authorization: `Bearer ${server.key}` } });
  await verb("pause-recording");
  await page.waitForSelector("tbody tr:has-text('live-2'):has-text('paused')");
  await verb("resume-recording");
  await page.waitForSelector("tbody tr:has-text('live-2'):not(:has-text('paused'))");

  // The connection is lost; what happens meanwhile is shown when it is back.
  await lines.cut();
  await page.waitForSelector("jobs-view .box.bad");
  await send("live-3", "host-denies");
  await fetch(`${server.url}/api/v1/jobs/${job}`, { method: "DELETE", headers: { Authorization: `Bearer ${server.key}` } });
  await lines.mend();
  await row("live-3", "failed");
  await row("live-2", "cancelled");
  await page.waitForSelector("jobs-view:not(:has(.box.bad))");
  await send("live-4", "host-denies");
  await row("live-4", "failed");
  // Nothing happens any more: the last events are read, and then nothing is asked for.
  await quiet();
  assert.ok(asked.includes("/api/v1/events"));
  assert.equal(await page.evaluate("window.hit"), undefined);
  assert.deepEqual(complaints.filter((text) => !/ERR_/.test(text)), []);
  await context.close();
  await lines.stop();
});

test("the list of deliveries follows the feed and the times of the tries, and asks for nothing while nothing happens", async () => {
  const followed = await serve("write");
  const { page, complaints, context } = await open(browser);
  let status = 500;
  const receiver = await endpoint(() => [status, "as the test wants"]);
  const { asked, quiet } = watched(page);
  await page.goto(followed.link());
  await page.waitForSelector("jobs-view");
  await page.click("nav[aria-label=Views] a[href='#/webhooks']");
  await page.waitForSelector("webhooks-view");
  await quiet();
  // Others make a job, and the endpoint refuses its webhook: the delivery waits for its next try.
  const body = JSON.stringify({ meetingUrl: "https://sandbox.meetbot.dev/host-denies", webhooks: { onFinalize: receiver.url } });
  const headers = { Authorization: `Bearer ${followed.key}`, "Content-Type": "application/json" };
  await fetch(`${followed.url}/api/v1/jobs`, { method: "POST", headers, body });
  await page.waitForSelector(".delivery:has(td:text-is('500')) .pill.pending");
  // The next try succeeds, which no event of the feed tells.
  status = 200;
  await page.waitForSelector(".delivery:has(td:text-is('200')) .pill.delivered");
  await quiet();
  assert.ok(asked.includes("/api/v1/events"));
  assert.deepEqual(complaints, []);
  await context.close();
  receiver.stop();
  await followed.stop();
});
