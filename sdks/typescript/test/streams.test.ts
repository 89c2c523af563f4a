/** `watch` and the iterators: what a stream survives, and what it gives up on. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { MeetbotError, type TimelineEvent } from "@meetbot/sdk";
import { Parser, Patience } from "../dist/events.js";
import { HANG, RESET, ScriptedServer, answer, cutStream, refusal, stream } from "./scripted.ts";
import { modelOf } from "./repository.ts";

const JOB = modelOf("job");

/** An event as the server writes it. */
function event(sequence: number, name = "job.status_changed", data: object = {}): string {
  return `id: ${sequence}\nevent: ${name}\ndata: ${JSON.stringify({ event: name, data: { sequence, status: "recording", ...data } })}\n\n`;
}

const LAST = event(9, "job.finalized", { status: "completed" });

function sequences(events: TimelineEvent[]): number[] {
  return events.map((one) => one.data.sequence);
}

async function all(events: AsyncIterable<TimelineEvent>): Promise<number[]> {
  const found: TimelineEvent[] = [];
  for await (const one of events) found.push(one);
  return sequences(found);
}

test("events are put together from any pieces, with any line ends", () => {
  const text = 'retry: 5\nid: 1\nevent: a\ndata: {"x":\ndata: "é🎤"}\n\n: a comment\n\nid: 2\r\ndata:two\r\n\r\nid: 3\rdata: three\r\rdata\n\ndata: torn';
  const bytes = new TextEncoder().encode(text);
  for (let size = 1; size <= bytes.length; size++) {
    const parser = new Parser();
    const found: string[] = [];
    for (let from = 0; from < bytes.length; from += size) found.push(...parser.feed(bytes.subarray(from, from + size)));
    assert.deepEqual(found, ['{"x":\n"é🎤"}', "two", "three", ""], `in pieces of ${size}`);
    assert.equal(parser.lastId, "3");
  }
});

test("an endless event is an error", () => {
  const parser = new Parser();
  const piece = new TextEncoder().encode("x".repeat(600_000));
  parser.feed(piece);
  assert.throws(() => parser.feed(piece), { kind: "decode" });
  const lines = new Parser();
  const line = new TextEncoder().encode(`data: ${"x".repeat(600_000)}\n`);
  lines.feed(line);
  assert.throws(() => lines.feed(line), { kind: "decode" });
});

test("a stream with data is reconnected without a limit and with pauses", () => {
  const patience = new Patience(1);
  const pauses: (number | null)[] = [];
  for (let cut = 0; cut < 6; cut++) {
    patience.alive();
    pauses.push(patience.again(null, null, 1));
  }
  assert.deepEqual(pauses, [500, 1000, 2000, 4000, 8000, 8000]);
  assert.equal(patience.again(null, null, 1), null, "a failed connection");
  patience.anew();
  assert.equal(patience.again(null, null, 1), 500);
});

test("a watch goes from the first event to the last, over cut connections, and misses none", async () => {
  const server = await ScriptedServer.start([
    cutStream(event(1) + event(2) + "id: 3\ndata: {\"half"),
    RESET,
    answer("", 503),
    cutStream(event(3)),
    cutStream(LAST),
  ]);
  assert.deepEqual(await all(server.client().watch("job_1")), [1, 2, 3, 9]);
  assert.deepEqual((await server.requests()).map((one) => one.headers["last-event-id"]), [undefined, "2", "2", "2", "3"]);
  assert.equal((await server.requests())[0]?.headers["accept"], "text/event-stream");
  assert.equal((await server.requests())[0]?.path, "/api/v1/jobs/job_1/events");
  await server.hungUp();
});

test("an abandoned next, as in a race with a timer, loses no event", async () => {
  const server = await ScriptedServer.start([HANG], stream());
  const watch = server.client().watch("job_1");
  const late = new Promise((resolve) => setTimeout(resolve, 5, "late"));
  const givenUp = watch.next();
  await server.came(1);
  assert.equal(await Promise.race([givenUp, late]), "late");
  const next = watch.next();
  await server.send(event(1));
  assert.deepEqual([(await next).value.data.sequence, (await givenUp).value.data.sequence], [1, 1]);
  const last = watch.next();
  await server.send(LAST);
  assert.equal((await last).value.data.sequence, 9);
  await watch.return();
});

test("after an error the next one goes on where it was", async () => {
  const server = await ScriptedServer.start([cutStream(event(1)), refusal(403, "forbidden"), cutStream(LAST)]);
  const watch = server.client().watch("job_1");
  assert.equal((await watch.next()).value.data.sequence, 1);
  await assert.rejects(watch.next(), { kind: "forbidden", status: 403 });
  assert.equal((await watch.next()).value.data.sequence, 9);
  assert.deepEqual(await watch.next(), { done: true, value: undefined });
  assert.equal((await server.requests())[2]?.headers["last-event-id"], "1");
});

test("an answer that is not a stream of events, and an invalid event, is an error that shows it", async () => {
  const server = await ScriptedServer.start([answer({ data: [] }, 200, { "Content-Type": "application/json" })]);
  await assert.rejects(server.client().watch("job_1").next(), { kind: "decode", message: /no stream of events but application\/json/ });
  const odd = await ScriptedServer.start([stream('data: {"event": "job.failed", "data": {"shown": 1}}\n\n')]);
  await assert.rejects(odd.client().watch("job_1").next(), { kind: "decode", message: /data.sequence.*shown/ });
  const gone = await ScriptedServer.start([RESET]);
  await assert.rejects(gone.client({ maxRetries: 1 }).watch("job_1").next(), (error: MeetbotError) => error.kind === "connection" && error.attempts === 2);
});

test("events that this version does not know come through with all their fields", async () => {
  const server = await ScriptedServer.start([stream(event(1, "bot.something_new", { answer: 42 }), LAST)]);
  const watch = server.client().watch("job_1");
  const { value } = await watch.next();
  switch ((value as TimelineEvent).event) {
    case "job.finalized":
      assert.fail();
      break;
    default:
      assert.equal((value as any).data.answer, 42);
  }
  await watch.return();
});

test("an iterator goes over all pages, empty ones too, and not in circles", async () => {
  const pages = [{ data: [JOB], nextCursor: "a" }, { data: [], nextCursor: "b" }, { data: [JOB, JOB], nextCursor: null }];
  const server = await ScriptedServer.start(pages.map((page) => answer(page)));
  let count = 0;
  for await (const job of server.client().iterBots({ status: "queued" })) count += Number(job.id === JOB.id);
  assert.equal(count, 3);
  assert.deepEqual((await server.requests()).map((one) => one.path), ["", "&cursor=a", "&cursor=b"].map((cursor) => `/api/v1/jobs?status=queued${cursor}`));
  const circle = await ScriptedServer.start([answer({ data: [], nextCursor: "a" })]);
  await assert.rejects(circle.client().iterBots().next(), { kind: "decode", message: /circles/ });
  assert.equal((await circle.requests()).length, 2);
});

test("an iterator that failed goes on with the page that failed", async () => {
  const server = await ScriptedServer.start([answer({ data: [JOB], nextCursor: "a" }), refusal(403, "forbidden"), answer({ data: [JOB] })]);
  const jobs = server.client().iterDeliveries.call(server.client());
  await jobs.return();
  const bots = server.client().iterBots();
  assert.equal((await bots.next()).value.id, JOB.id);
  await assert.rejects(bots.next(), { kind: "forbidden" });
  assert.equal((await bots.next()).value.id, JOB.id);
  assert.deepEqual(await bots.next(), { done: true, value: undefined });
  assert.deepEqual((await server.requests()).map((one) => one.path), ["/api/v1/jobs", "/api/v1/jobs?cursor=a", "/api/v1/jobs?cursor=a"]);
});
