// Refuses to migrate instances whose name begins with the configured `prefix`.
// @ts-check
/// <reference path="./types/policy.d.ts" />

import { all, get } from "volward:policy/config@0.1.1";

const KEYS = ["prefix"];

/** @type {typeof import("volward:policy/migrate@0.1.1")} */
export const migrate = {
  review(req) {
    const prefix = get("prefix") ?? "";
    const name = req.instanceName();
    if (prefix === "" || !name.startsWith(prefix)) return;
    // The source is not known where no node shows the volumes as attached.
    const peer = req.peer();
    const place = peer === undefined ? "where it is" : `on node ${peer.name()}`;
    const message = `instance ${name} stays ${place}: names that begin with ${prefix} do not migrate`;
    // What is thrown with a `payload` is the error of the result; anything else is a fault.
    throw Object.assign(new Error(message), { payload: { code: "stays", message } });
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
