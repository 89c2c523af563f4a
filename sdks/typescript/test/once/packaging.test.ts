/** The published package: its files, the linters of packages, and its use in an empty project without a network. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { buildSync } from "esbuild";
import { VERSION } from "@meetbot/sdk";
import { PACKAGE } from "../repository.ts";

const MANIFEST = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8"));
const require = createRequire(import.meta.url);

/** Runs a program of a package with this Node.js; fails with all that it says. */
function run(program: string, args: string[], cwd: string): string {
  try {
    return execFileSync(process.execPath, [program, ...args], { cwd, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${program} ${args.join(" ")}:\n${stdout}${stderr}`);
  }
}

/** npm, run with the Node.js that it came with, offline. */
function npm(args: string[], cwd: string): string {
  return execFileSync("npm", [...args, "--offline", "--no-audit", "--no-fund", "--loglevel=error"], { cwd, encoding: "utf8" });
}

/** The packed package. */
const PACKED = ((): string => {
  const folder = mkdtempSync(join(tmpdir(), "meetbot-pack-"));
  return join(folder, npm(["pack", PACKAGE, "--pack-destination", folder], folder).trim());
})();

/** An empty project with the packed package in it. */
function project(): string {
  const folder = mkdtempSync(join(tmpdir(), "meetbot-project-"));
  writeFileSync(join(folder, "package.json"), '{"name": "trial", "private": true}');
  npm(["install", PACKED], folder);
  return folder;
}

test("the package has no dependency, no install script and one version", () => {
  assert.equal(MANIFEST.version, VERSION);
  assert.deepEqual([MANIFEST.dependencies, MANIFEST.peerDependencies, MANIFEST.scripts.install, MANIFEST.scripts.postinstall, MANIFEST.scripts.prepare], Array(5).fill(undefined));
  for (const file of ["package-lock.json", "bench/package-lock.json"]) {
    assert.ok(!readFileSync(join(PACKAGE, file), "utf8").includes('"resolved"'), `${file} names no registry`);
  }
});

test("the published files are the build and its documents, with public access", () => {
  const built = readdirSync(join(PACKAGE, "src")).flatMap((file) => ["js", "cjs", "d.ts", "d.cts"].map((end) => `dist/${file.slice(0, -2)}${end}`));
  const [packed] = JSON.parse(npm(["pack", PACKAGE, "--dry-run", "--json"], PACKAGE));
  const files = packed.files.map((file: { path: string }) => file.path);
  assert.deepEqual(files.toSorted(), [...built, "CHANGELOG.md", "LICENSE", "README.md", "package.json"].toSorted());
  const said = JSON.parse(npm(["publish", PACKED, "--dry-run", "--json"], PACKAGE));
  // npm 11 says it by the package's name.
  const published = said[MANIFEST.name] ?? said;
  assert.deepEqual([published.id, published.shasum, MANIFEST.publishConfig], [`@meetbot/sdk@${VERSION}`, packed.shasum, { access: "public" }]);
});

test("no file of the package imports a module of Node.js", () => {
  const files = readdirSync(join(PACKAGE, "dist"));
  assert.ok(files.length > 60);
  for (const file of files.filter((name) => /\.c?js$/.test(name))) {
    const text = readFileSync(join(PACKAGE, "dist", file), "utf8").replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, "");
    assert.ok(!/(import|require|from)\s*\(?\s*["'](node:|[a-z])/.test(text), file);
  }
});

test("publint and attw find nothing", () => {
  run(join(PACKAGE, "node_modules/publint/src/cli.js"), ["--strict", PACKED], PACKAGE);
  const attw = join(PACKAGE, "node_modules/@arethetypeswrong/cli/dist/index.js");
  run(attw, ["--profile", "node16", "--no-color", PACKED], PACKAGE);
});

test("the package is as small as it is meant to be, minified and gzipped, and as the README says", () => {
  const budgets: [string, string, number][] = [
    ["everything of `@meetbot/sdk`", 'export * from "@meetbot/sdk"', 16 * 1024],
    ["everything of `@meetbot/sdk/webhooks`", 'export * from "@meetbot/sdk/webhooks"', 4.875 * 1024],
    ["`verifyWebhookSignature`", 'export { verifyWebhookSignature } from "@meetbot/sdk"', 2.125 * 1024],
  ];
  const readme = readFileSync(join(PACKAGE, "README.md"), "utf8");
  for (const [name, contents, most] of budgets) {
    const built = buildSync({ stdin: { contents, resolveDir: PACKAGE }, bundle: true, minify: true, format: "esm", target: "es2022", write: false });
    const size = gzipSync(built.outputFiles[0]!.contents, { level: 9 }).length;
    console.log(`${name}: ${size} of ${most} bytes`);
    assert.ok(size <= most, `${name} has ${size} bytes, and may have ${most}`);
    const [, said = ""] = readme.split(`| ${name} | `)[1]?.split(/^([\d,]+) \|/) ?? [];
    assert.ok(Math.abs(Number(said.replace(",", "")) - size) < size / 100, `${name} has ${size} bytes, and the README says ${said}`);
  }
});

const TEN_LINES = `
const mock = new testing.MockServer();
const mb = mock.client();
mb.dispatchBot({ meetingUrl: "https://sandbox.meetbot.dev/two-speakers" }).then(async (job) => {
  mock.setJob(job.id, { status: "completed" });
  const ended = await mb.waitForBot(job.id);
  if (!sdk.isFinal(ended.status)) throw new Error(ended.status);
  const { body, headers } = testing.signWebhook({ event: "job.finalized" }, "whsec_dGVzdA==");
  const event = webhooks.unwrap(body, headers, "whsec_dGVzdA==");
  console.log(event.event, sdk.verifyWebhookSignature({ body, header: headers["x-meetbot-signature"], secret: "whsec_dGVzdA==" }));
});
`;

test("the packed package works in an empty project, as ES module and as CommonJS", () => {
  const folder = project();
  const imports = ["sdk", "webhooks", "testing"].map((name) => [name, name === "sdk" ? "@meetbot/sdk" : `@meetbot/sdk/${name}`]);
  writeFileSync(join(folder, "a.mjs"), imports.map(([name, from]) => `import * as ${name} from "${from}";`).join("\n") + TEN_LINES);
  writeFileSync(join(folder, "b.cjs"), imports.map(([name, from]) => `const ${name} = require("${from}");`).join("\n") + TEN_LINES);
  for (const file of ["a.mjs", "b.cjs"]) assert.equal(run(join(folder, file), [], folder), "job.finalized true\n", file);
});

/** A program that uses every type; `@ts-expect-error` marks lines that must not compile. */
const TYPED = `
import { MeetBot, MeetbotError, isFinal, verifyWebhookSignature, webhooks, type FetchLike, type Job, type JobStatus, type TimelineEvent, type WebhookEvent } from "@meetbot/sdk";
import { MockServer, job, signWebhook } from "@meetbot/sdk/testing";

export async function main(mb: MeetBot, event: WebhookEvent, line: TimelineEvent): Promise<void> {
  const made: Job = await mb.dispatchBot({ meetingUrl: "x", platform: "jitsi", joinAt: new Date(), metadata: { a: [1] }, autoLeave: { afterSoloSeconds: null } });
  const { data, response } = await mb.getBot(made.id).withResponse();
  const status: JobStatus | undefined = data?.status;
  const requestId: string | null = response.requestId;
  // @ts-expect-error there may be no such job
  data.status;
  // @ts-expect-error a typo
  made.statuss;
  const tomorrow: unknown = (made as Job & Record<string, unknown>).tomorrow;
  const known: JobStatus[] = ["completed", "a word of tomorrow"];
  // @ts-expect-error a typo
  await mb.dispatchBot({ meetingURL: "x" });
  for await (const one of mb.iterBots({ status: ["failed"] })) one.failureCode satisfies string | null;
  for (const span of await mb.speaking(made)) span.endMs satisfies number;
  for (const caption of await mb.captions(made.id)) caption.text satisfies string | null;
  for (const one of await mb.eventsFile(made)) one.participant?.name satisfies string | null | undefined;
  switch (event.event) {
    case "job.finalized":
      event.data.durationMs satisfies number;
      break;
    case "job.failed":
      event.data.failureCode satisfies string | null;
      event.data.failure_code satisfies string | null;
      break;
    case "bot.chat_message":
      event.data.message.text satisfies string | null;
      break;
    case "bot.participant_renamed":
      event.data.previousName satisfies string | null;
      break;
    case "bot.participant_left":
      event.data.participant.isHost satisfies boolean;
      break;
    default:
      event.data.sequence satisfies number;
  }
  if (line.event === "job.status_changed") line.data.previousStatus satisfies string | null;
  try {
    await mb.cancelBot(made.id);
  } catch (error) {
    if (error instanceof MeetbotError) error.kind satisfies string;
  }
  const valid: boolean = verifyWebhookSignature({ body: new Uint8Array(), header: null, secret: ["whsec_dGVzdA=="] });
  const { body, headers } = signWebhook({}, "whsec_dGVzdA==");
  webhooks.unwrap(body, headers, "whsec_dGVzdA==", { toleranceSeconds: null }).deliveryId satisfies string | null;
  const mock = new MockServer();
  mock.setJob("x", { status: "completed" });
  const own: FetchLike = mock.fetch;
  void [status, requestId, tomorrow, known, valid, own, isFinal("failed"), job({ status: "queued" })];
}
`;

/** The same with the types of browsers and of Node.js: the global fetch, signals and receivers fit. */
const WITH_GLOBALS = `
import { createMeetbot } from "@meetbot/sdk";
import { nodeWebhookHandler, webhookHandler } from "@meetbot/sdk/webhooks";
import { createServer } from "node:http";

const mb = createMeetbot({ apiKey: "mb_test_x", fetch, logger: console });
void mb.getBot("job_1", { signal: AbortSignal.timeout(5) });
void mb.withOptions({ signal: new AbortController().signal });
const options = { secret: "whsec_dGVzdA==", onEvent: async () => {} };
const handler: (request: Request) => Promise<Response> = webhookHandler(options);
createServer(nodeWebhookHandler(options));
void handler;
`;

test("the types hold under tsc --strict without skipLibCheck, from TypeScript 5.4 on, with no globals", () => {
  const folder = project();
  mkdirSync(join(folder, "node_modules/@types"), { recursive: true });
  symlinkSync(join(PACKAGE, "node_modules/@types/node"), join(folder, "node_modules/@types/node"));
  symlinkSync(join(PACKAGE, "node_modules/undici-types"), join(folder, "node_modules/undici-types"));
  for (const extension of ["mts", "cts"]) {
    writeFileSync(join(folder, `typed.${extension}`), TYPED);
    writeFileSync(join(folder, `globals.${extension}`), WITH_GLOBALS);
  }
  const common = { target: "es2022", module: "nodenext", moduleResolution: "nodenext", strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false, noEmit: true };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: { ...common, lib: ["es2022"], types: [] }, files: ["typed.mts", "typed.cts"] }));
  writeFileSync(join(folder, "tsconfig.globals.json"), JSON.stringify({ compilerOptions: { ...common, lib: ["es2022", "dom", "dom.iterable", "esnext.disposable"], types: ["node"], skipLibCheck: true }, files: ["globals.mts", "globals.cts"] }));
  for (const version of ["typescript-5.4", "typescript", "typescript-7"]) {
    const { bin } = require(`${version}/package.json`) as { bin: Record<string, string> };
    const compiler = join(PACKAGE, "node_modules", version, bin["tsc"] as string);
    run(compiler, ["--project", "tsconfig.json"], folder);
    run(compiler, ["--project", "tsconfig.globals.json"], folder);
  }
});

test("the tests are type-checked", () => {
  run(join(PACKAGE, "node_modules/typescript/bin/tsc"), ["--project", "test/tsconfig.json"], PACKAGE);
});
