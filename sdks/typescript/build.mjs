/** Builds `dist`: each file of `src` as an ES module (`.js`, `.d.ts`) and as CommonJS (`.cjs`, `.d.cts`), by tsc alone. */

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL(".", import.meta.url)));
const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
const tsc = (project) => execFileSync(process.execPath, [compiler, "--project", project], { stdio: "inherit" });

for (const folder of ["dist", "build"]) rmSync(folder, { recursive: true, force: true });
tsc("tsconfig.json");

// A folder that says `commonjs` makes tsc write that.
mkdirSync("build");
cpSync("src", "build/src", { recursive: true });
writeFileSync("build/package.json", JSON.stringify({ type: "commonjs" }));
const compilerOptions = { rootDir: "src", outDir: "out", verbatimModuleSyntax: false };
writeFileSync("build/tsconfig.json", JSON.stringify({ extends: "../tsconfig.json", compilerOptions, include: ["src"] }));
tsc("build/tsconfig.json");
for (const name of readdirSync("build/out")) {
  const renamed = name.replace(/\.(d\.)?(js|ts)$/, (_, types = "", kind) => `.${types}c${kind}`);
  const text = readFileSync(`build/out/${name}`, "utf8").replaceAll(/(["'])(\.\/[\w-]+)\.js\1/g, "$1$2.cjs$1");
  writeFileSync(`dist/${renamed}`, text);
}
rmSync("build", { recursive: true });
