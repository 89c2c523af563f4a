/** Downloads: piece by piece, checked by size and hash, and nothing left of what failed. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import type { ManifestFile, Progress } from "@meetbot/sdk";
import { CUT, FLOOD, HANG, RESET, ScriptedServer, answer, ranges, refusal, type Reply } from "./scripted.ts";
import { modelOf } from "./repository.ts";

const MIB = 1024 * 1024;

function entry(content: Buffer, name = "a.webm"): ManifestFile {
  return { name, mediaType: "audio/webm", bytes: content.length, sha256: createHash("sha256").update(content).digest("hex") };
}

function folder(): string {
  return mkdtempSync(join(tmpdir(), "meetbot-download-"));
}

test("a file comes in pieces of 1 MiB, is checked and moved to its place", async () => {
  const content = randomBytes(2 * MIB + 5);
  const server = await ScriptedServer.start([ranges(content)]);
  const into = folder();
  const seen: Progress[] = [];
  writeFileSync(join(into, "a.webm"), "what was there before");
  const path = await server.client().downloadArtifact("job_1", "a.webm", join(into, "a.webm"), { expected: entry(content), onProgress: (progress) => void seen.push(progress) });
  assert.ok(readFileSync(path).equals(content));
  assert.deepEqual(readdirSync(into), ["a.webm"]);
  assert.deepEqual((await server.requests()).map((one) => one.headers["range"]), ["bytes=0-1048575", "bytes=1048576-2097151", "bytes=2097152-3145727"]);
  assert.deepEqual(seen, [MIB, 2 * MIB, content.length].map((received) => ({ name: "a.webm", received, total: content.length })));
});

test("a connection that breaks costs a piece, and one that is slow makes pieces smaller", async () => {
  const content = randomBytes(MIB + 10);
  const whole = ranges(content);
  const server = await ScriptedServer.start([whole, CUT, RESET, refusal(503, "unavailable", { "Retry-After": "0" }), whole]);
  const pieces: Uint8Array[] = [];
  for await (const piece of server.client().artifactStream("job_1", "a.webm", { expected: entry(content) })) pieces.push(piece);
  assert.ok(Buffer.concat(pieces).equals(content));
  assert.equal((await server.requests()).length, 5);
  const slow = await ScriptedServer.start([HANG, HANG, ranges(content.subarray(0, 10))]);
  for await (const piece of slow.client({ timeout: 500, maxRetries: 0 }).artifactStream("job_1", "a.webm")) assert.equal(piece.length, 10);
  assert.deepEqual((await slow.requests()).map((one) => one.headers["range"]), ["bytes=0-1048575", "bytes=0-262143", "bytes=0-65535"]);
  const dead = await ScriptedServer.start([HANG]);
  await assert.rejects(async () => { for await (const _ of dead.client({ timeout: 30, maxRetries: 0 }).artifactStream("job_1", "a.webm")); }, { kind: "timeout" });
});

test("an empty file, and a server without ranges", async () => {
  const empty = await ScriptedServer.start([ranges(Buffer.alloc(0))]);
  const path = await empty.client().downloadArtifact("job_1", "a", join(folder(), "a"));
  assert.equal(readFileSync(path).length, 0);
  const known = await ScriptedServer.start([ranges(Buffer.alloc(0))]);
  await known.client().downloadArtifact("job_1", "a", join(folder(), "a"), { expected: entry(Buffer.alloc(0)) });
  assert.equal((await known.requests())[0]?.headers["range"], undefined);
  const simple = await ScriptedServer.start([answer(Buffer.from("abc"))]);
  assert.equal(readFileSync(await simple.client().downloadArtifact("job_1", "a", join(folder(), "a"))).toString(), "abc");
});

test("a file that differs from the manifest is an error and is removed", async () => {
  const content = randomBytes(100);
  const range = (text: string, body = content, status = 206): Reply => answer(body, status, text === "" ? {} : { "Content-Range": text });
  const expected = entry(content);
  const cases: [Reply, Partial<ManifestFile> | null, RegExp][] = [
    [ranges(content), { sha256: "ab".repeat(32) }, /is not what the manifest says: SHA-256/],
    [ranges(content), { bytes: 99 }, /it has 100 bytes, not 99/],
    [ranges(content), { bytes: 101 }, /it has 100 bytes, not 101/],
    [answer(randomBytes(2 * MIB)), { bytes: 100 }, /larger than the 1048576 bytes/],
    [FLOOD, {}, /larger than the 1048576 bytes/],
    [range("bytes 5-104/105"), null, /the piece from 0 was asked for/],
    [range("bytes 0-98/100"), null, /the piece from 0 was asked for/],
    [range("bytes 0-99/*"), null, /the piece from 0 was asked for/],
    [range(""), null, /the piece from 0 was asked for/],
    [range("bytes 0-99/50"), null, /the piece from 0 was asked for/],
    [answer("", 416, { "Content-Range": "bytes */100" }), null, /is not there/],
    [refusal(404, "not_found"), null, /no: not_found/],
    [refusal(410, "deleted"), null, /no: deleted/],
  ];
  for (const [reply, change, message] of cases) {
    const server = await ScriptedServer.start([reply]);
    const into = folder();
    const options = change === null ? {} : { expected: { ...expected, ...change } };
    await assert.rejects(server.client({ maxRetries: 0 }).downloadArtifact("job_1", "a.webm", join(into, "a.webm"), options), { message });
    assert.deepEqual(readdirSync(into), [], String(message));
  }
  // A file that changes between two pieces.
  const large = randomBytes(MIB + 100);
  const other = await ScriptedServer.start([ranges(large), ranges(randomBytes(MIB + 200))]);
  await assert.rejects(other.client().downloadArtifact("job_1", "a", join(folder(), "a")), { kind: "decode", message: /it has 1048776 bytes, not 1048676/ });
});

test("an unwritable target is an error, and a folder is not written to", async () => {
  const server = await ScriptedServer.start([ranges(Buffer.from("abc"))]);
  const into = folder();
  await assert.rejects(server.client().downloadArtifact("job_1", "a", join(into, "no", "a")), { kind: "file", message: /no.*cannot be written.*ENOENT/ });
  await assert.rejects(server.client().downloadArtifact("job_1", "a", into), { kind: "configuration", message: /is a folder/ });
  await assert.rejects(server.client().downloadArtifact("job_1", "a", ""), { kind: "configuration" });
  writeFileSync(join(into, "file"), "");
  await assert.rejects(server.client().downloadArtifacts("job_1", join(into, "file")), { kind: "file" });
  assert.equal((await server.requests()).length, 0);
});

test("two downloads of one target at once do not write into each other's", async () => {
  const content = randomBytes(MIB * 2);
  const server = await ScriptedServer.start([ranges(content)]);
  const target = join(folder(), "a.webm");
  await Promise.all([1, 2, 3].map(() => server.client().downloadArtifact("job_1", "a.webm", target, { expected: entry(content) })));
  assert.ok(readFileSync(target).equals(content));
});

test("a download that is given up leaves nothing", async () => {
  const content = randomBytes(MIB + 5);
  const server = await ScriptedServer.start([ranges(content), HANG]);
  const into = folder();
  const controller = new AbortController();
  const under = server.client().downloadArtifact("job_1", "a.webm", join(into, "a.webm"), { signal: controller.signal });
  await server.came(2);
  controller.abort("enough");
  await assert.rejects(under, (reason) => reason === "enough");
  assert.deepEqual(readdirSync(into), []);
  await server.hungUp();
});

test("everything comes into a folder, the manifest last, after a mix that is pending", async () => {
  const content = randomBytes(50);
  const manifest = (state: string): any => ({ ...modelOf("manifest"), files: [entry(content)], mixed: { state, file: null, missingBecause: null } });
  const server = await ScriptedServer.start([answer(manifest("pending")), answer(manifest("made")), ranges(content), ranges(Buffer.from("{}"))]);
  const into = join(folder(), "deep", "recording");
  const paths = await server.client().downloadArtifacts({ ...modelOf("job"), id: "job_1" }, into);
  assert.deepEqual(paths, [join(into, "a.webm"), join(into, "manifest.json")]);
  assert.deepEqual(readdirSync(into).sort(), ["a.webm", "manifest.json"]);
  assert.deepEqual((await server.requests()).map((one) => one.path.replace("/api/v1/jobs/job_1/", "")), ["manifest", "manifest", "artifacts/a.webm", "artifacts/manifest.json"]);
  const eager = await ScriptedServer.start([answer(manifest("pending")), ranges(content), ranges(Buffer.from("{}"))]);
  assert.equal((await eager.client().downloadArtifacts("job_1", into, { waitForMix: false })).length, 2);
});

test("a manifest that names a file elsewhere is refused", async () => {
  for (const name of ["", ".", "..", "../a", "a/b", "a\\b", "/a", "a\0", null]) {
    const server = await ScriptedServer.start([answer({ jobId: "job_1", files: [{ name }] })]);
    const into = folder();
    await assert.rejects(server.client().downloadArtifacts("job_1", into), { kind: "decode", message: /no file's name/ });
    assert.deepEqual(readdirSync(into), []);
  }
});
