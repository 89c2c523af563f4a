// The dashboard in a real browser, on a real server: by keyboard alone, without barriers, and with strangers' texts.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { barriers, browse, open, serve, tabTo, until } from "./server.js";

const HOSTILE = `<img src=x onerror="window.hit=1"><script>window.hit=1</script>'"\u202e{{7*7}}`;

/** @type {Awaited<ReturnType<typeof serve>>} */
let server;
/** @type {any} */
let browser;

before(async () => {
  [server, browser] = await Promise.all([serve("admin"), browse()]);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("a job is made, followed, played and its webhook sent again, by keyboard alone", async () => {
  let gone = true;
  const receiver = await endpoint((event) => (event === "job.finalized" && gone ? [410, "gone"] : [200, "ok"]));
  const { page, complaints, context } = await open(browser);
  const { keyboard } = page;
  await page.goto(server.link());
  await page.waitForSelector("jobs-view");
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
  await keyboard.type("https://sandbox.meetbot.dev/two-speakers?seconds=24");
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
  await page.waitForSelector("[data-verb=pause-recording], .pill.completed");
  assert.deepEqual(await barriers(page), []);

  // When it has ended: the player.
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

test("the list of jobs follows the feed, asks for nothing while nothing happens, and is right after the connection was lost", async () => {
  const { page, complaints, context } = await open(browser);
  const lines = await cuttable(server.url);
  /** @type {string[]} */
  const asked = [];
  page.on("request", (/** @type {any} */ request) => asked.push(new URL(request.url()).pathname));
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
  let count = -1;
  await until(async () => asked.length, (now) => ([now, count] = [count, now])[0] === count && count > 0, 2500);
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
  /** @type {string[]} */
  const asked = [];
  page.on("request", (/** @type {any} */ request) => asked.push(new URL(request.url()).pathname));
  const quiet = () => {
    let count = -1;
    return until(async () => asked.length, (now) => ([now, count] = [count, now])[0] === count, 2500);
  };
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

test("untrusted text runs no code and opens no link", async () => {
  const { page, complaints, context } = await open(browser);
  await page.goto(server.link());
  await page.waitForSelector("jobs-view");
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
  const all = await page.evaluate(async () => Object.values((await (await fetch("/openapi.json")).json()).paths).flatMap((/** @type {any} */ item) => Object.keys(item)).length);
  assert.equal(calls, all, "every call is shown");
  assert.deepEqual(await barriers(page), []);
  assert.deepEqual(complaints, []);
  await context.close();
});
