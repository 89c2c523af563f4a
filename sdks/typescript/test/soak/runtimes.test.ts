/** `cargo xtask soak`: the story in Deno, Bun, Cloudflare's workerd and Chromium, each by its program in the environment, against the real server. */

import assert from "node:assert/strict";
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { createServer, request as ask } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { after, before, test } from "node:test";

import { buildSync } from "esbuild";
import { PACKAGE } from "../repository.ts";
import { freePort, serve, type Server } from "../server.ts";
import { EXPECTED } from "./story.ts";

let server: Server;
before(async () => {
  server = await serve();
});
after(() => server.stop());

function program(name: string): string {
  const found = process.env[`MEETBOT_${name}`];
  assert.ok(found, `MEETBOT_${name} names no program`);
  return found;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill();
  await once(child, "exit");
}

/** One file of the story, with all that it imports, as edge runtimes and browsers take it. */
function bundled(file: string): string {
  const [built] = buildSync({ entryPoints: [join(PACKAGE, "test/soak", file)], bundle: true, format: "esm", target: "es2022", write: false }).outputFiles;
  return built!.text;
}

for (const [name, args] of [["DENO", ["run", "--allow-all", "--node-modules-dir=manual"]], ["BUN", ["run"]]] as const) {
  test(`the story holds in ${name}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "meetbot-soak-"));
    const env = { ...process.env, MEETBOT_API_KEY: server.key, MEETBOT_API_BASE_URL: server.url };
    const { stdout } = await promisify(execFile)(program(name), [...args, "test/soak/program.ts", folder], { cwd: PACKAGE, env });
    assert.deepEqual(JSON.parse(stdout), EXPECTED);
  });
}

/** A date whose `fetch` refuses the field `cache`, and a late one. */
for (const date of ["2024-01-01", "2026-11-01"]) {
  test(`the story holds in workerd, with the behaviour of ${date}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "meetbot-soak-"));
    const port = await freePort();
    writeFileSync(join(folder, "worker.js"), bundled("worker.ts"));
    const bindings = Object.entries({ MEETBOT_API_KEY: server.key, MEETBOT_API_BASE_URL: server.url }).map(([key, value]) => `(name = "${key}", text = "${value}")`);
    writeFileSync(join(folder, "config.capnp"), `
      using Workerd = import "/workerd/workerd.capnp";
      const config :Workerd.Config = (
        services = [(name = "main", worker = .main), (name = "internet", network = (allow = ["public", "private", "local"]))],
        sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")]
      );
      const main :Workerd.Worker = (
        modules = [(name = "worker.js", esModule = embed "worker.js")],
        compatibilityDate = "${date}",
        bindings = [${bindings.join(", ")}]
      );
    `);
    const child = spawn(program("WORKERD"), ["serve", "config.capnp", "--control-fd=3"], { cwd: folder, stdio: ["ignore", "inherit", "inherit", "pipe"] });
    try {
      await once(createInterface({ input: child.stdio[3] as NodeJS.ReadableStream }), "line");
      assert.deepEqual(await (await fetch(`http://127.0.0.1:${port}/`)).json(), EXPECTED);
    } finally {
      await ended(child);
    }
  });
}

test("the story holds in Chromium", async () => {
  const script = bundled("page.ts");
  const files: Record<string, [string, string]> = {
    "/": ["text/html", '<!doctype html><meta charset="utf-8"><script type="module" src="/page.js"></script>'],
    "/page.js": ["text/javascript", script],
  };
  let tell = (_told: string): void => {};
  const result = new Promise<string>((resolve) => (tell = resolve));
  const site = createServer((request, response) => {
    const [path = ""] = (request.url ?? "").split("?");
    const file = files[path];
    if (file !== undefined) {
      response.writeHead(200, { "content-type": file[0] }).end(file[1]);
    } else if (path === "/result") {
      request.setEncoding("utf8").toArray().then((pieces) => tell(pieces.join("")), () => {});
      response.end();
    } else {
      const passed = ask(server.url + request.url, { method: request.method, headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      passed.on("error", () => response.destroy());
      response.on("close", () => passed.destroy());
      request.pipe(passed);
    }
  });
  await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
  const { port } = site.address() as { port: number };
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", `--user-data-dir=${mkdtempSync(join(tmpdir(), "meetbot-soak-"))}`];
  const browser = spawn(program("CHROMIUM"), [...flags, `http://127.0.0.1:${port}/?key=${server.key}`], { stdio: "ignore" });
  try {
    const gone = once(browser, "exit").then(() => assert.fail("the browser has ended"));
    assert.deepEqual(JSON.parse(await Promise.race([result, gone])), EXPECTED);
  } finally {
    await ended(browser);
    site.closeAllConnections();
    site.close();
  }
});
