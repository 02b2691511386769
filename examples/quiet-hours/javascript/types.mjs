// Writes TypeScript's view of the interface to types/: node types.mjs TOOLS WIT WORLD
//
// `jco guest-types` does the same, but cannot read a file by its path in 1.35; so its generator is
// called with the text.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [tools, wit, world] = process.argv.slice(2);
const transpile = join(resolve(tools), "node_modules/@bytecodealliance/jco-transpile");
const generator = pathToFileURL(join(transpile, "vendor/js-component-bindgen-component.js"));
const { $init, generateTypes } = await import(generator.href);
await $init;
const options = {
  wit: { tag: "source", val: readFileSync(wit, "utf8") },
  world,
  features: { tag: "list", val: [] },
  guest: true,
};
for (const [name, content] of generateTypes("policy", options)) {
  const path = join("types", name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}
