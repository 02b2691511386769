// Makes a component of policy.js: node componentize.mjs TOOLS WIT WORLD OUT
//
// With every feature disabled it imports the policy's own interface and no WASI. QuickJS, which jco
// can use too, would make a smaller one; but it does not give back what a hook was lent, and that
// ends each call in a trap (componentize-qjs 0.4.5).
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [tools, wit, world, out] = process.argv.slice(2);
const folder = join(resolve(tools), "node_modules/@bytecodealliance/componentize-js");
const library = pathToFileURL(join(folder, "src/componentize.js"));
const { componentize } = await import(library.href);
const { component } = await componentize({
  sourcePath: "policy.js",
  witWorld: readFileSync(wit, "utf8"),
  worldName: world,
  disableFeatures: ["random", "stdio", "clocks", "http", "fetch-event"],
});
writeFileSync(out, component);
