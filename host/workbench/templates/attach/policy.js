// Refuses instances whose name begins with the configured `prefix`.
// @ts-check
/// <reference path="./types/policy.d.ts" />

import { all, get } from "volward:policy/config@0.1.1";

const KEYS = ["prefix"];

/** @type {typeof import("volward:policy/attach@0.1.1")} */
export const attach = {
  review(req, ans) {
    const prefix = get("prefix") ?? "";
    const name = req.instanceName();
    if (prefix === "" || !name.startsWith(prefix)) return;
    const message = `instance ${name} may not start: names that begin with ${prefix} are refused here`;
    // What is thrown with a `payload` is the error of the result; anything else is a fault.
    throw Object.assign(new Error(message), { payload: { code: "name-refused", message } });
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
