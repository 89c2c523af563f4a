/** Every TypeScript snippet of the documents, and every example of the methods, is compiled and run, most of them against the real server. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { after, before, test } from "node:test";

import { MeetBot } from "@meetbot/sdk";
import { signWebhook } from "@meetbot/sdk/testing";
import { PACKAGE, ROOT, vectors } from "../repository.ts";
import { Running, freePort, project, serve, type Server } from "../server.ts";

let server: Server;
let mb: MeetBot;
let environment: Record<string, string>;
const started: Running[] = [];
before(async () => {
  server = await serve();
  mb = new MeetBot({ apiKey: server.key, baseUrl: server.url });
  environment = { MEETBOT_API_KEY: server.key, MEETBOT_API_BASE_URL: server.url, MEETBOT_WEBHOOK_SECRET: server.secret };
});
after(async () => {
  for (const running of started) await running.stop();
  await server.stop();
});

/** The fenced blocks of TypeScript of a document. */
function snippets(text: string): string[] {
  return [...text.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code]) => code as string);
}

/** Fails unless these files compile under the strictest settings. */
function compiled(folder: string, files: string[]): void {
  const compilerOptions = {
    target: "es2022", module: "nodenext", strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noEmit: true,
    lib: ["es2022", "dom", "dom.iterable"], types: ["node"], skipLibCheck: true,
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
  try {
    execFileSync(process.execPath, [join(PACKAGE, "node_modules/typescript/bin/tsc")], { cwd: folder, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    assert.fail((error as { stdout: string }).stdout);
  }
}

function run(folder: string, file: string): Running {
  const running = new Running(file, folder, environment);
  started.push(running);
  return running;
}

/** Runs a receiver and sends it webhooks of the real server and a forged one. */
async function receives(folder: string, file: string, code: string): Promise<void> {
  const port = await freePort();
  const listening = code
    .replace("listen(8000)", `listen(${port}, "127.0.0.1", () => console.log("listening"))`)
    .replace("listen({ port: 8000 });", `listen({ port: ${port} });\nconsole.log("listening");`);
  writeFileSync(join(folder, file), listening);
  const running = run(folder, file);
  await running.heard("listening");
  const url = `http://127.0.0.1:${port}/webhook/meetbot`;
  const job = await mb.dispatchBot({ meetingUrl: "https://sandbox.meetbot.dev/two-speakers?seconds=5", onFinalizeUrl: url });
  assert.match(await running.heard("recorded:"), new RegExp(`recorded: ${job.id} file://`));
  const { body, headers } = signWebhook({ event: "job.finalized", jobId: "job_forged" }, "whsec_b3RoZXI=");
  const refused = await fetch(url, { method: "POST", body: body as BodyInit, headers });
  assert.equal(refused.status, 401);
  assert.ok(!running.printed.some((line) => line.includes("job_forged")));
  await running.stop();
}

/** An example without the comment that it begins with. */
function example(name: string): string {
  return readFileSync(join(PACKAGE, "examples", `${name}.ts`), "utf8").replace(/^\/\*\*[^]*?\*\/\n\n/, "");
}

test("the README's snippets, among them the specification's three examples, do what they say", async () => {
  const [first, poll, later, express, receiver, ...more] = snippets(readFileSync(join(PACKAGE, "README.md"), "utf8")) as [string, string, string, string, string];
  assert.deepEqual(more, []);
  const names = ["dispatch-and-poll", "dispatch-with-auto-leave", "express-webhook", "node-webhook"];
  assert.deepEqual([poll, later, express, receiver], names.map(example), "the README shows the files of examples/");
  const folder = project();
  const files = { "first.mts": first, "poll.mts": poll, "later.mts": later, "express.mts": express, "receiver.mts": receiver };
  for (const [name, code] of Object.entries(files)) writeFileSync(join(folder, name), code);
  compiled(folder, Object.keys(files));

  const said = await run(folder, "first.mts").ended();
  assert.ok(said.includes("completed") && said.includes("recording/manifest.json"), said.join("\n"));
  assert.ok(existsSync(join(folder, "recording/audio.Alice.webm")));

  const [dispatched, ...statuses] = await run(folder, "poll.mts").ended();
  assert.match(dispatched ?? "", /^dispatched job_\w{26} → queued$/);
  const manifest = statuses.pop();
  assert.equal(statuses.pop(), "completed");
  assert.match(manifest ?? "", /^manifest: file:\/\//);
  for (const status of statuses) assert.ok(["queued", "joining", "in_call", "recording", "finalizing"].includes(status), status);

  const [line = ""] = await run(folder, "later.mts").ended();
  // The time lies in the past, which means now: the job has begun, and keeps the time that was asked for.
  const [, jobId = ""] = /^(job_\w{26}) \w+ 2026-05-15T14:00:00.000Z$/.exec(line) ?? assert.fail(line);
  const job = await mb.getBot(jobId);
  assert.deepEqual([job?.metadata, job?.autoLeave.afterEntryDelaySeconds, job?.autoLeave.afterMaxSeconds, job?.autoLeave.onBotDetected], [{ customer_id: "cust_4711" }, 300, 7200, true]);
  assert.equal(job?.webhooks.onFinalize, "https://api.acme.example/meetbot/finalize");
  await mb.cancelBot(jobId);

  await receives(folder, "express.mts", express);
  await receives(folder, "receiver.mts", receiver);
});

test("the examples of other receivers accept only webhooks of the server", async () => {
  const folder = project();
  writeFileSync(join(folder, "fastify.mts"), example("fastify-webhook"));
  writeFileSync(join(folder, "worker.mts"), example("worker-webhook"));
  compiled(folder, ["fastify.mts", "worker.mts"]);
  await receives(folder, "fastify.mts", example("fastify-webhook"));

  const worker = (await import(pathToFileURL(join(folder, "worker.mts")).href)).default;
  const taken = async (secret: string): Promise<number> => {
    const { body, headers } = signWebhook({ event: "job.finalized" }, secret);
    const request = new Request("http://worker.invalid/", { method: "POST", body: body as BodyInit, headers });
    return (await worker.fetch(request, { MEETBOT_WEBHOOK_SECRET: server.secret })).status;
  };
  assert.deepEqual([await taken(server.secret), await taken("whsec_b3RoZXI=")], [200, 401]);
});

test("the quickstart's TypeScript records, reads and receives", async () => {
  const [record, receiver, ...more] = snippets(readFileSync(join(ROOT, "docs/quickstart.md"), "utf8")) as [string, string];
  assert.deepEqual(more, []);
  const folder = project();
  writeFileSync(join(folder, "record.mts"), record.replace("seconds=20", "seconds=5"));
  writeFileSync(join(folder, "receiver.mts"), receiver);
  compiled(folder, ["record.mts", "receiver.mts"]);
  const said = (await run(folder, "record.mts").ended()).join("\n");
  assert.match(said, /^completed meeting_ended file:\/\//m);
  assert.match(said, /^Alice audio\.Alice\.webm [45]\.\d s$/m);
  assert.ok(existsSync(join(folder, "recording/manifest.json")));
  await receives(folder, "receiver.mts", receiver);
});

test("the webhooks page's TypeScript judges as the vectors do", async () => {
  const [plain, bounded, ...more] = snippets(readFileSync(join(ROOT, "docs/webhooks.md"), "utf8")) as [string, string];
  assert.deepEqual(more, []);
  const folder = project();
  writeFileSync(join(folder, "plain.mts"), plain);
  writeFileSync(join(folder, "bounded.mts"), bounded);
  compiled(folder, ["plain.mts", "bounded.mts"]);
  const { isFromMeetbot } = await import(pathToFileURL(join(folder, "plain.mts")).href);
  for (const { name, body, header, secret, valid, error } of vectors("webhook_signatures.json").cases) {
    const headers = new Headers(header === null ? {} : { "X-Meetbot-Signature": header });
    const judged = (): boolean => isFromMeetbot(new TextEncoder().encode(body), headers, secret);
    if (error) assert.throws(judged, { name: "MeetbotConfigurationError" }, name);
    else assert.equal(judged(), valid, name);
  }
  const { whatMeetbotSays } = await import(pathToFileURL(join(folder, "bounded.mts")).href);
  const says = (sentAt?: number, change = ""): string => {
    const { body, headers } = signWebhook({ event: "job.finalized", manifestUri: "file:///m.json" }, "whsec_dGVzdA==", { sentAt });
    return whatMeetbotSays(Buffer.concat([body, Buffer.from(change)]), new Headers(headers), "whsec_dGVzdA==");
  };
  assert.equal(says(), "recorded: file:///m.json");
  assert.match(says(undefined, " "), /^401 /);
  assert.match(says(Date.now() / 1000 - 301), /^401 /);
});

/** The examples in the comments of these files, with the name of what they are of. */
function examples(...files: string[]): [string, string][] {
  return files.flatMap((file) => {
    const text = readFileSync(join(PACKAGE, "src", file), "utf8");
    const found = text.matchAll(/@example\n((?: *\*.*\n)*?) *\*\/\n *(?:export )?(?:async )?(?:class |function )?(\w+)/g);
    return [...found].map(([, comment = "", name = ""]): [string, string] => {
      const code = snippets(comment.replaceAll(/^ *\* ?/gm, ""));
      assert.equal(code.length, 1, name);
      return [name, code[0] as string];
    });
  });
}

test("every method has an example, and each example compiles and runs", async () => {
  const found = examples("client.ts", "signature.ts", "unwrap.ts", "receivers.ts", "testing.ts");
  const names = found.map(([name]) => name);
  // These change the whole server, or what other tests need.
  const without = ["constructor", "getJob", "eraseConsumer", "host", "redeliver"];
  for (const name of Object.getOwnPropertyNames(MeetBot.prototype)) assert.ok(names.includes(name) || without.includes(name), `${name} has no example`);
  const folder = project();
  const short = await mb.dispatchBot({ meetingUrl: "https://sandbox.meetbot.dev/two-speakers?seconds=2" });
  const ended = await mb.waitForBot(short.id);
  await mb.downloadArtifacts(ended, join(folder, "ready"));
  const dispatched = (): Promise<{ id: string }> => mb.dispatchBot({ meetingUrl: "https://sandbox.meetbot.dev/two-speakers?seconds=120" });
  const files: string[] = [];
  for (const [index, [name, code]] of found.entries()) {
    const running = code.includes("runningJobId") ? (await dispatched()).id : "";
    if (running !== "") for await (const event of mb.watch(running)) if (event.data.status === "recording") break;
    const jobId = name === "cancelBot" ? (await dispatched()).id : ended.id;
    const values = { jobId, endedJobId: ended.id, runningJobId: running, folder: join(folder, `folder-${index}`) };
    const needed = Object.entries(values).filter(([value]) => new RegExp(`\\b${value}\\b`).test(code));
    const given = needed.map(([value, text]) => `const ${value}: string = ${JSON.stringify(text)};`);
    const client = /\bmb\b/.test(code) && !/const mb\b/.test(code) ? ['import { createMeetbot } from "@meetbot/sdk";', "const mb = createMeetbot();"] : [];
    files.push(`${index}-${name}.mts`);
    writeFileSync(join(folder, files.at(-1)!), [...client, ...given, code, "export {};"].join("\n"));
  }
  compiled(folder, files);
  // What was deleted is not there for the others.
  const last = files.filter((file) => file.includes("deleteRecording"));
  for (const file of [...files.filter((one) => !last.includes(one)), ...last]) {
    if (file.includes("downloadArtifact.")) execFileSync("mkdir", ["-p", join(folder, `folder-${file.split("-")[0]}`)]);
    try {
      await run(folder, file).ended();
    } catch (error) {
      assert.fail(`${file}: ${(error as Error).message}`);
    }
  }
  for await (const job of mb.iterBots({ status: ["queued", "joining", "in_call", "recording"] })) await mb.cancelBot(job.id);
});
