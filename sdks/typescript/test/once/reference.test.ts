/** `docs/typescript-reference.md` is made here, from the types of the built package and their comments; `UPDATE` in the environment writes it. */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import ts from "typescript";
import { PACKAGE, ROOT } from "../repository.ts";

const PAGE = join(ROOT, "docs/typescript-reference.md");
const ENTRIES = ["index", "webhooks", "testing"];

/** A comment as Markdown. */
function prose(node: ts.Node): string {
  const [comment] = (node as { jsDoc?: ts.JSDoc[] }).jsDoc?.slice(-1) ?? [];
  const lines = (comment?.getText() ?? "").replace(/^\/\*\* ?|\s*\*\/$/g, "").split("\n");
  return lines
    .map((line) => line.replace(/^ *\* ?/, ""))
    .join("\n")
    .replaceAll(/\{@link (\w+)\}/g, "`$1`")
    .replaceAll(/^@throws (\w+) /gm, "- Throws `$1`: ")
    .replaceAll(/^@example\n/gm, "")
    .trim();
}

function fenced(code: string): string {
  return `\`\`\`ts\n${code.replace(/^export /, "").replace(/^declare /, "")}\n\`\`\``;
}

/** A declaration in the reference: its signature and its description. */
function section(title: string, node: ts.Node, form: string): string {
  return [title, fenced(form), prose(node)].filter((part) => part !== "").join("\n\n");
}

/** A class whose methods each have something to say; those of errors are read in one piece, as interfaces are. */
function ofClass(name: string, node: ts.ClassDeclaration): string[] {
  const members = node.members.filter((member) => !(member.name && ts.isPrivateIdentifier(member.name)));
  const head = `### ${name}\n\n${prose(node)}`;
  return [head, ...members.map((member) => section(`#### ${name}.${member.name?.getText() ?? "constructor"}`, member, member.getText()))];
}

function described(symbol: ts.Symbol): string[] {
  const name = symbol.getName();
  const [declaration] = symbol.declarations ?? [];
  assert.ok(declaration !== undefined, name);
  if (ts.isClassDeclaration(declaration) && declaration.members.some(ts.isMethodDeclaration) && !name.endsWith("Error")) return ofClass(name, declaration);
  const node = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
  return [section(`### ${name}`, node, node.getText())];
}

function page(): string {
  const files = ENTRIES.map((entry) => join(PACKAGE, "dist", `${entry}.d.ts`));
  const program = ts.createProgram(files, { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, lib: ["lib.es2022.d.ts", "lib.dom.d.ts"], types: [] });
  const checker = program.getTypeChecker();
  const placed = new Map<ts.Symbol, string>();
  const parts = ["# TypeScript SDK: reference", "Made from the code by a test. [The SDK's page](../sdks/typescript/README.md) has whole programs."];
  for (const [index, file] of files.entries()) {
    const from = index === 0 ? "@meetbot/sdk" : `@meetbot/sdk/${ENTRIES[index]}`;
    parts.push(`## ${from}`);
    const source = program.getSourceFile(file);
    assert.ok(source !== undefined, file);
    const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(source) as ts.Symbol);
    const symbols = exported.map((one) => (one.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(one) : one));
    const again: string[] = [];
    // Values first, then types by their names.
    const isType = (symbol: ts.Symbol): boolean => (symbol.flags & ts.SymbolFlags.Value) === 0;
    const types = symbols.filter(isType).toSorted((a, b) => (a.getName() < b.getName() ? -1 : 1));
    for (const symbol of [...symbols.filter((one) => !isType(one)), ...types]) {
      const before = placed.get(symbol);
      if (before !== undefined) again.push(`\`${symbol.getName()}\``);
      else if (symbol.flags & ts.SymbolFlags.Module) parts.push("### webhooks\n\nThe functions `unwrap` and `verifyWebhookSignature` of `@meetbot/sdk/webhooks`.");
      else parts.push(...described(symbol));
      placed.set(symbol, from);
    }
    if (again.length > 0) parts.push(`From here too: ${again.join(", ")}.`);
  }
  return `${parts.join("\n\n")}\n`;
}

test("the reference is that of the code", () => {
  const made = page();
  for (const name of ["MeetBot.dispatchBot", "MeetBot.watch", "MeetbotTimeoutError", "Job", "webhookHandler", "MockServer.answerNext"]) {
    assert.ok(new RegExp(`^####? ${name}$`, "m").test(made), name);
  }
  assert.ok(!made.includes("@internal") && !made.includes("#private"));
  if (process.env["UPDATE"]) writeFileSync(PAGE, made);
  assert.ok(readFileSync(PAGE, "utf8") === made, "docs/typescript-reference.md is not what the code says: run `cargo xtask update`");
});
