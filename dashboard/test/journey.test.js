// All that a user does, in a real browser on a real server, by keyboard alone: a job from its dispatch to the end of its webhooks.

import assert from "node:assert/strict";
import { test } from "node:test";

import { server, signedIn, start } from "./fixture.js";
import { barriers, endpoint, tabTo, until } from "./server.js";

start("admin");

test("a job is made, followed, played and its webhook sent again, by keyboard alone", async () => {
  let gone = true;
  const receiver = await endpoint((event) => (event === "job.finalized" && gone ? [410, "gone"] : [200, "ok"]));
  const { page, complaints, context } = await signedIn();
  const { keyboard } = page;
  assert.equal(new URL(page.url()).hash, "", "the link is not kept");
  assert.deepEqual(await barriers(page), []);

  // A scenario fills the link in, and Enter sends the bot.
  await tabTo(page, ".chips button");
  await keyboard.press("Enter");
  assert.equal(await page.inputValue("#meeting-url"), "https://sandbox.meetbot.dev/two-speakers?seconds=30");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Send a bot");
  await tabTo(page, "details:not(.snippet) > summary");
  await keyboard.press("Enter");
  await tabTo(page, "#on-final");
  await keyboard.type(receiver.url);
  await page.focus("#meeting-url");
  await keyboard.press("ControlOrMeta+a");
  await keyboard.type("https://sandbox.meetbot.dev/two-speakers?seconds=45");
  await keyboard.press("Enter");

  // While it runs: lanes grow, chat is read and written, the recording is paused and goes on.
  await page.waitForSelector("[data-verb=pause-recording]");
  const length = async () => Number(await page.getAttribute("time-lanes canvas", "data-seconds"));
  const before = await length();
  await until(length, (now) => now >= before + 2);
  await page.waitForSelector(".transcript li.chat");
  await page.waitForSelector(".lane-name:has-text('Alice')");
  await tabTo(page, "input[aria-label^=Message]");
  await keyboard.type("Hello from the dashboard");
  const [written] = await Promise.all([page.waitForResponse(/send-chat-message$/), keyboard.press("Enter")]);
  assert.equal((await written.json()).state, "done");
  await page.focus("[data-verb=pause-recording]");
  await keyboard.press("Enter");
  await page.waitForSelector("[data-verb=resume-recording]");
  await page.focus("[data-verb=resume-recording]");
  await keyboard.press("Enter");
  await page.waitForSelector("[data-verb=pause-recording]");
  assert.deepEqual(await barriers(page), []);

  // When the bot was asked to leave: the player.
  await until(length, (now) => now >= 12);
  await page.focus("[data-verb=leave-call]");
  await keyboard.press("Enter");
  await page.waitForSelector("recording-player");
  assert.deepEqual(await barriers(page), []);
  const at = () => page.getAttribute("time-lanes canvas", "aria-valuenow");
  await tabTo(page, "time-lanes canvas");
  await keyboard.press("Home");
  await keyboard.press("ArrowRight");
  await until(at, (now) => now === "5");
  await page.focus("recording-player button.main");
  await keyboard.press("Enter");
  const playing = () => page.evaluate("document.querySelector('recording-player').playing");
  await until(playing, (playing) => playing);
  // On a busy machine the recording may end before its tracks were in step: then it begins anew.
  const offsets = () => page.evaluate("(() => { const player = document.querySelector('recording-player'); if (!player.playing) player.toggle(); return player.offsets; })()");
  await until(offsets, (all) => all.length >= 2 && all.every((/** @type {number} */ off) => Math.abs(off) <= 40));
  await tabTo(page, "button[aria-label='Solo Alice']");
  await keyboard.press("Enter");
  await page.focus(".transcript li:not(.status) button.time");
  await keyboard.press("Enter");
  await until(offsets, (all) => all.length === 1 && Math.abs(all[0]) <= 40);
  assert.match((await page.getAttribute("button[aria-label='Solo Alice']", "aria-pressed")) ?? "", /true/);
  // A link to a second leads there.
  const job = new URL(page.url()).hash.split("?")[0];
  await page.goto(`${server.url}/${job}?t=3`);
  await page.reload();
  await until(at, (now) => now === "3");
  const file = await page.getAttribute(".files a", "href");
  const bytes = await page.evaluate(async (/** @type {string} */ file) => (await fetch(file)).headers.get("content-type"), file);
  assert.match(bytes, /^audio\/webm/);
  // How loud everybody is comes from a file of the recording.
  const loud = await page.evaluate(async (/** @type {string} */ file) => {
    const { loudness } = await import(`${location.origin}/dashboard/levels.js`);
    return loudness(new Uint8Array(await (await fetch(file)).arrayBuffer())).map((/** @type {import("../levels.js").Loudness} */ { steps }) => Math.min(...(steps[0] ?? [])));
  }, await page.getAttribute(".files a[href$='levels.bin']", "href"));
  assert.ok(loud.length >= 2 && loud.every((/** @type {number} */ level) => level > 5 && level < 25), `${loud}`);

  // The webhook that was refused for good.
  await page.focus("nav[aria-label=Views] a[href='#/webhooks']");
  await keyboard.press("Enter");
  await page.selectOption("#delivery-state", "dead");
  await page.waitForSelector(".delivery:has(.pill.dead)");
  await page.focus(".delivery:has(.pill.dead) summary");
  await keyboard.press("Enter");
  assert.match(await page.textContent(".delivery table"), /410/);
  assert.deepEqual(await barriers(page), []);
  gone = false;
  await tabTo(page, ".delivery .inside > button");
  await keyboard.press("Enter");
  await page.selectOption("#delivery-state", "");
  await page.waitForSelector(".delivery:has-text('job.finalized') .pill.delivered");

  // A test event goes to the same endpoint, and all that was sent there since a time goes once more.
  await page.focus("button[aria-label^='Redeliver to']");
  await keyboard.press("Enter");
  assert.equal(await page.inputValue("#endpoint-url"), receiver.url);
  await page.focus("#endpoint-url");
  await keyboard.press("Enter");
  await page.waitForSelector("endpoint-form [role=status]:has-text('took the test event: 200')");
  assert.equal(receiver.came.filter((event) => event === "webhook.test").length, 1);
  await page.fill("#redeliver-since", "2020-01-01T00:00:00");
  const before_all = receiver.came.length;
  await tabTo(page, "endpoint-form button:not(.main)");
  await keyboard.press("Enter");
  await tabTo(page, "dialog button.bad");
  await keyboard.press("Enter");
  await page.waitForSelector("endpoint-form [role=status]:has-text('sent again')");
  await until(async () => receiver.came.length, (count) => count > before_all);
  assert.deepEqual(await barriers(page), []);

  for (const view of ["usage", "host", "jobs"]) {
    await page.focus(`nav[aria-label=Views] a[href='#/${view}']`);
    await keyboard.press("Enter");
    await page.waitForSelector(`${view}-view :is(.figure, tbody tr)`);
    assert.deepEqual(await barriers(page), []);
  }
  await page.focus("#top button");
  await keyboard.press("Enter");
  await page.waitForSelector("sign-in");
  assert.deepEqual(await barriers(page), []);
  const asked = await page.evaluate(async () => (await fetch("/api/v1/jobs")).status);
  assert.equal(asked, 401, "the session is over");
  assert.deepEqual(complaints, []);
  await context.close();
  receiver.stop();
});
