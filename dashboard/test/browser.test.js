// The dashboard in a real browser, on a real server: by keyboard alone, without barriers, and with strangers' texts.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browser, server, signedIn, start } from "./fixture.js";
import { barriers, open, serve, tabTo, until } from "./server.js";

const HOSTILE = `<img src=x onerror="window.hit=1"><script>window.hit=1</script>'"\u202e{{7*7}}`;

start("admin");

test("untrusted text runs no code and opens no link", async () => {
  const { page, complaints, context } = await signedIn();
  const now = new Date().toISOString();
  const recording = { state: HOSTILE, permission: null, startedAt: now, pausedMs: 0, bytes: 5, deletedAt: null };
  const job = {
    id: "job_x", externalId: HOSTILE, meetingUrl: "javascript:window.hit=1", platform: HOSTILE, displayName: HOSTILE, status: "failed", statusDetail: HOSTILE, recording,
    joinAt: null, webhooks: { onStatusChange: null, onFinalize: null }, metadata: { HOSTILE }, autoLeave: {}, attempt: 1, leaveReason: HOSTILE, failureCode: HOSTILE, failureDetail: HOSTILE,
    manifestUri: "file:///x", createdAt: now, updatedAt: now, joinedAt: now, endedAt: now,
  };
  const person = { id: "p", name: HOSTILE, isBot: false, isHost: true, joinedAt: 0, leftAt: null, speakingMs: 1, names: [HOSTILE, "b"] };
  const track = { file: `../${HOSTILE}`, participantId: "p", kind: "audio", source: "microphone", startMs: 0, durationMs: 5000, gaps: [{ startMs: 1, endMs: 900, reason: HOSTILE }] };
  const manifest = {
    jobId: "job_x", startedAt: now, durationMs: 5000, participants: [person], speaking: [{ participantId: "p", startMs: 0, endMs: 900 }], tracks: [track],
    files: [{ name: `../../${HOSTILE}`, mediaType: "text/html", bytes: 3 }], mixed: { state: "unavailable", file: null, missingBecause: HOSTILE }, captions: "captions.jsonl", chat: "chat.jsonl", pauses: [], attempts: [],
  };
  const line = { senderId: "p", sender: HOSTILE, speaker: HOSTILE, atMs: 1, startMs: 1, endMs: 2, text: HOSTILE };
  const tries = [{ at: now, durationMs: 1, status: null, error: HOSTILE, answer: HOSTILE }];
  const delivery = { id: HOSTILE, jobId: HOSTILE, event: HOSTILE, sequence: 1, url: HOSTILE, state: HOSTILE, nextTryAt: null, createdAt: now, endpoint: { state: HOSTILE, failures: 1, failingSince: now, restsUntil: null }, tries };
  const said = { event: "bot.participant_joined", emittedAt: now, data: { event: "bot.participant_joined", sequence: 1, participant: { id: "p", name: HOSTILE, isHost: true, isBot: false } } };
  const answers = /** @type {[RegExp, unknown][]} */ ([
    [/\/manifest$/, manifest], [/\/artifacts\/(chat|captions)\.jsonl$/, line], [/deliveries/, { data: [delivery], nextCursor: HOSTILE }],
    [/\/jobs\/job_x$/, job], [/\/jobs\?/, { data: [job], nextCursor: null }],
  ]);
  await page.route("**/api/v1/**", (/** @type {any} */ route) => {
    const url = route.request().url();
    if (url.endsWith("/events")) return route.fulfill({ contentType: "text/event-stream", body: `event: ${said.event}\ndata: ${JSON.stringify(said)}\n\n` });
    const found = answers.find(([path]) => path.test(url));
    return found ? route.fulfill({ json: found[1] }) : route.fulfill({ status: 404, json: {} });
  });
  for (const [place, seen] of [["#/jobs/job_x", ".transcript li.chat"], ["#/webhooks", ".delivery"], ["#/jobs", "tbody tr"]]) {
    await page.goto(`${server.url}/${place}`);
    await page.waitForSelector(seen);
    if (place === "#/webhooks") await page.click(".delivery summary");
    if (place === "#/jobs/job_x") await page.hover("time-lanes canvas", { position: { x: 40, y: 70 } });
    assert.match(await page.textContent("main"), /onerror/, "it is shown as text");
    assert.equal(await page.evaluate("window.hit"), undefined);
    assert.equal(await page.locator("main :is(script, img, iframe, a[href^='javascript:'])").count(), 0);
    for (const link of await page.locator("main a").evaluateAll((/** @type {HTMLAnchorElement[]} */ links) => links.map(({ href }) => href))) assert.equal(new URL(link).origin, server.url);
  }
  assert.deepEqual(complaints.filter((text) => !/ERR_|404/.test(text)), []);
  await context.close();
});

test("on a phone nothing is wider than the screen, in light and in dark", async () => {
  const { page, context } = await open(browser, { viewport: { width: 390, height: 844 }, colorScheme: "dark" });
  await page.goto(server.link());
  for (const view of ["jobs", "webhooks", "usage", "host"]) {
    await page.goto(`${server.url}/#/${view}`);
    await page.waitForSelector(`${view}-view h1`);
    await page.waitForLoadState("networkidle").catch(() => {});
    const [inner, wide] = await page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);
    assert.ok(wide <= inner, `${view}: ${wide} > ${inner}`);
    assert.deepEqual(await barriers(page), []);
  }
  await context.close();
});

test("a read-only key is offered no changes", async () => {
  const reader = await serve("read");
  const { page, context } = await open(browser);
  await page.goto(reader.url);
  await page.fill("#key", reader.key);
  await page.keyboard.press("Enter");
  await page.waitForSelector("jobs-view .empty:visible");
  assert.equal(await page.locator("#meeting-url").count(), 0);
  assert.equal(await page.locator("nav a[href='#/host']").count(), 0);
  await page.goto(`${reader.url}/#/jobs/job_unknown`);
  await page.waitForSelector("job-view .box.bad");
  await context.close();
  await reader.stop();
});

test("an operator makes a key, ends it, sets limits, and finds it in the audit log", async () => {
  const operated = await serve("operator", "live");
  const { page, complaints, context } = await open(browser);
  await page.goto(operated.link());
  await page.waitForSelector("jobs-view");
  await page.goto(`${operated.url}/#/keys`);
  await page.waitForSelector("keys-view tbody tr");
  assert.equal(await page.locator("button[aria-label^=Revoke]").count(), 0, "nobody ends their own key by mistake");
  await page.fill("#key-consumer", HOSTILE.slice(0, 60));
  await page.keyboard.press("Enter");
  const key = await page.textContent("keys-view pre:has-text('mb_test_')");
  await page.waitForSelector("button[aria-label^=Revoke]");
  assert.deepEqual(await barriers(page), []);
  const works = async () => (await fetch(`${operated.url}/api/v1/usage`, { headers: { Authorization: `Bearer ${key.trim()}` } })).status;
  assert.equal(await works(), 200);
  await page.focus("button[aria-label^=Revoke]");
  await page.keyboard.press("Enter");
  await tabTo(page, "dialog button.bad");
  await page.keyboard.press("Enter");
  await until(works, (status) => status === 401);

  await page.goto(`${operated.url}/#/consumers`);
  await page.waitForSelector("consumers-view tbody tr");
  await page.focus("consumers-view summary");
  await page.keyboard.press("Enter");
  await page.fill("consumers-view [open] input[name=bots]", "7");
  await page.keyboard.press("Enter");
  await page.waitForSelector("consumers-view summary:has-text('7 · default · default')");
  assert.deepEqual(await barriers(page), []);
  await page.goto(`${operated.url}/#/audit`);
  await page.waitForSelector("audit-view tr:has-text('PATCH'):has-text('/quota')");
  await page.check("#refused");
  await page.waitForSelector("audit-view tr:has-text('unauthorized')");
  assert.deepEqual(await barriers(page), []);
  assert.equal(await page.evaluate("window.hit"), undefined);
  assert.deepEqual(complaints, []);
  await context.close();
  await operated.stop();
});

test("a login by its code is approved and denied, by keyboard alone", async () => {
  const { page, complaints, context } = await open(browser);
  const { keyboard } = page;
  await page.goto(server.link());
  await page.waitForSelector("jobs-view");
  const login = server.login();
  const { userCode, verificationUrl } = await login.next();
  await page.goto(verificationUrl);
  await page.waitForSelector("login-view");
  assert.deepEqual(await barriers(page), []);
  await keyboard.type("bcdf-ghjk");
  await keyboard.press("Enter");
  await page.waitForSelector("login-view .box.bad");
  await page.focus("#login-code");
  await keyboard.press("ControlOrMeta+a");
  await keyboard.type(userCode.toLowerCase());
  await keyboard.press("Enter");
  await page.waitForSelector("#login-scope");
  assert.deepEqual(await barriers(page), []);
  // More than was asked for is not offered, though the session has it.
  assert.deepEqual(await page.locator("#login-scope option").allTextContents(), ["read", "write"]);
  await tabTo(page, "#login-scope");
  await keyboard.press("ArrowUp");
  await tabTo(page, "login-view button.main");
  await keyboard.press("Enter");
  await page.waitForSelector("#login-done");
  const made = await login.next();
  assert.deepEqual([made.profile, made.scope, made.world], ["default", "read", "test"]);
  assert.equal(await login.ended, 0);
  const usage = JSON.parse(login.run(["usage", "--json"]));
  assert.equal(usage.bots, 0);

  const refused = server.login();
  await page.fill("#login-code", (await refused.next()).userCode);
  await page.focus("#login-code");
  await keyboard.press("Enter");
  await tabTo(page, "login-view .row.end > button:not(.main)");
  await keyboard.press("Enter");
  assert.equal(await refused.ended, 1);
  assert.deepEqual(complaints, []);
  await context.close();
});

test("the documentation shows every guide and every call, to anybody", async () => {
  const { page, complaints, context } = await open(browser);
  await page.goto(`${server.url}/docs`);
  await page.waitForSelector(".prose h1");
  assert.deepEqual(await barriers(page), []);
  const pages = await page.locator("#contents a").evaluateAll((/** @type {HTMLAnchorElement[]} */ links) => links.map((link) => link.getAttribute("href") ?? ""));
  assert.ok(pages.length > 14, `${pages}`);
  let calls = 0;
  for (const place of pages) {
    await page.goto(`${server.url}/docs${place}`);
    await page.waitForSelector(`#contents a[href="${place}"][aria-current]`);
    const text = await page.textContent("main");
    assert.ok(text.length > 200 && !text.includes("There is no such page"), place);
    assert.doesNotMatch(await page.evaluate(() => [...document.querySelectorAll("main :is(p, li, td)")].map((element) => [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.textContent).join("")).join("\n")), /\]\(|\*\*|\|\s*---/, `${place} shows Markdown`);
    for (const link of await page.locator("main a[href^='#']").evaluateAll((/** @type {HTMLAnchorElement[]} */ links) => links.map((link) => link.getAttribute("href") ?? ""))) {
      assert.ok(pages.some((known) => link === known || link.startsWith(`${known}/`)), `${place} leads to ${link}`);
    }
    calls += await page.locator("article.call").count();
  }
  // A page that arrives late does not replace the one that was opened after it.
  let release = () => {};
  const held = new Promise((resolve) => (release = () => resolve(undefined)));
  await page.route("**/docs/webhooks.md", async (/** @type {any} */ route) => {
    await held;
    await route.continue();
  });
  const late = page.waitForResponse("**/docs/webhooks.md");
  await page.goto(`${server.url}/docs#/guides/webhooks`);
  await page.goto(`${server.url}/docs#/guides/sandbox`);
  await page.waitForSelector("#contents a[href='#/guides/sandbox'][aria-current]");
  release();
  await (await late).finished();
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  assert.equal(await page.getAttribute("#contents a[aria-current]", "href"), "#/guides/sandbox");
  const all = await page.evaluate(async () => Object.values((await (await fetch("/openapi.json")).json()).paths).flatMap((/** @type {any} */ item) => Object.keys(item)).length);
  assert.equal(calls, all, "every call is shown");
  assert.deepEqual(await barriers(page), []);
  assert.deepEqual(complaints, []);
  await context.close();
});
