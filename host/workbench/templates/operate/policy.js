// Refuses to delete volumes whose name begins with the configured `prefix`.
// @ts-check
/// <reference path="./types/policy.d.ts" />

import { all, get } from "volward:policy/config@0.1.1";

const KEYS = ["prefix"];

/** @type {typeof import("volward:policy/operate@0.1.1")} */
export const operate = {
  review(op) {
    const prefix = get("prefix") ?? "";
    // There is none before a create.
    const volume = op.volume();
    if (op.kind().tag !== "delete" || volume === undefined) return;
    const name = volume.name();
    if (prefix === "" || !name.startsWith(prefix)) return;
    const message =
      `${volume.pool()}/${name} is not deleted: volumes whose name begins with ${prefix} are kept`;
    // What is thrown with a `payload` is the error of the result; anything else is a fault.
    throw Object.assign(new Error(message), { payload: { code: "kept", message } });
  },
};

/** @type {typeof import("volward:policy/lifecycle@0.1.1")} */
export const lifecycle = {
  checkConfig() {
    const problems = all()
      .filter(([key]) => !KEYS.includes(key))
      .map(([key]) => ({ key, message: `unknown key; known are: ${KEYS.join(", ")}` }));
    if (!get("prefix")) {
      problems.push({ key: "prefix", message: "give the beginning of the names to refuse" });
    }
    return problems;
  },
};
