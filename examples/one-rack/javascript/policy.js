// Keeps an instance within its rack when it migrates live; some do not migrate at all. `rack-NAME`,
// `stay` and `stay-tag` in the configuration.
// @ts-check
/// <reference path="./types/policy.d.ts" />

import { all, get } from "volward:policy/config@0.1.1";

/** @typedef {import("volward:policy/facts@0.1.1").Request} Request */

const RACK = "rack-";
const KEYS = ["stay", "stay-tag"];
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** @type {typeof import("volward:policy/migrate@0.1.1")} */
export const migrate = {
  review(req) {
    mayLeave(req);
    sameRack(req);
  },
};

/** @type {typeof import("volward:policy/lifecycle@0.1.1")} */
export const lifecycle = {
  checkConfig() {
    const known = [`${RACK}NAME`, ...KEYS].join(", ");
    const problems = all()
      .filter(([key]) => !KEYS.includes(key) && !key.startsWith(RACK))
      .map(([key]) => ({ key, message: `unknown key; known are: ${known}` }));
    const stranger = words(get("stay")).find((word) => !UUID.test(word));
    if (stranger !== undefined) {
      problems.push({ key: "stay", message: `"${stranger}" is not the UUID of an instance` });
    }
    const text = get("stay-tag");
    if (text !== undefined && lvTag(text) === undefined) {
      problems.push({ key: "stay-tag", message: `"${text}" is not an LV tag` });
    }
    /** @type {string[]} */
    const before = [];
    for (const [rack, nodes] of racks()) {
      const key = RACK + rack;
      if (nodes.length === 0) problems.push({ key, message: "name its nodes" });
      const twice = before.find((node) => nodes.includes(node));
      if (twice !== undefined) problems.push({ key, message: `"${twice}" is in another rack, too` });
      before.push(...nodes);
    }
    if (all().length === 0) {
      problems.push({ key: `${RACK}NAME`, message: "name the nodes of each rack, or who stays" });
    }
    return problems;
  },
};

/** Some instances stay where they were started. @param {Request} req */
function mayLeave(req) {
  const who = req.instanceName() || req.instance();
  const instance = req.instance().toLowerCase();
  if (words(get("stay")).some((one) => one.toLowerCase() === instance)) {
    const where = "in the settings of the policy one-rack";
    refuse("stays", `${who} does not migrate: it is listed as \`stay\` ${where}; stop it and start it elsewhere`);
  }
  const tag = lvTag(get("stay-tag") ?? "");
  if (tag === undefined) return;
  // Disks are looked at only where a tag is asked for: each is a call into the daemon.
  const disk = req.disks().find((disk) => disk.tags().includes(tag));
  if (disk === undefined) return;
  refuse(
    "stays",
    `${who} does not migrate: its volume ${disk.pool()}/${disk.name()} has the LV tag ${tag}; ` +
      "stop it and start it elsewhere, or take the tag away with `lvchange --deltag`",
  );
}

/** Where racks are named, an instance stays within its own. @param {Request} req */
function sameRack(req) {
  if (racks().length === 0) return;
  const peer = req.peer();
  if (peer === undefined) {
    const unknown = "the node that the instance comes from is not known";
    return refuse("no-source", `${unknown}, so nobody can say whether it is in the same rack`);
  }
  const [source, here] = [peer.name(), req.node().name()];
  const [from, nodes] = rackOf(source);
  const [to] = rackOf(here);
  if (from === to) return;
  const others = nodes.filter((node) => node !== source).join(" or ") || "a node that is added to it";
  refuse(
    "other-rack",
    `node ${source} is in rack ${from} and node ${here} in rack ${to}: migrate within rack ${from}, to ${others}`,
  );
}

/** @param {string} node */
function rackOf(node) {
  const rack = racks().find(([, nodes]) => nodes.includes(node));
  const where = "a `rack-NAME` in the settings of the policy one-rack";
  return rack ?? refuse("no-rack", `node ${node} is in no rack: add it to ${where}`);
}

/** @param {string} code @param {string} message @returns {never} */
function refuse(code, message) {
  // What is thrown with a `payload` is the error of the result; anything else is a fault.
  throw Object.assign(new Error(message), { payload: { code, message } });
}

/** @returns {[string, string[]][]} */
function racks() {
  return all()
    .filter(([key]) => key.startsWith(RACK))
    .map(([key, value]) => [key.slice(RACK.length), words(value)]);
}

/** @param {string} text */
function lvTag(text) {
  const tag = text.trim();
  return tag !== "" && !tag.includes(" ") ? tag : undefined;
}

/** @param {string | undefined} text */
function words(text) {
  return (text ?? "").split(/[ ,\n\t]+/).filter((word) => word !== "");
}
