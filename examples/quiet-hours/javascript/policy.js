// Keeps the LUN quiet at certain hours: then nothing big is attached, and nothing is copied in the
// background. `hours`, `max-size` and `except` in the configuration.
// @ts-check
/// <reference path="./types/policy.d.ts" />

import { nowMs, utcOffsetMinutes } from "volward:policy/clock@0.1.1";
import { all, get } from "volward:policy/config@0.1.1";
import { write } from "volward:policy/log@0.1.1";

const KEYS = ["hours", "max-size", "except"];
/** @type {Record<string, bigint>} */
const UNITS = { KiB: 10n, MiB: 20n, GiB: 30n, TiB: 40n };

/** @type {typeof import("volward:policy/attach@0.1.1")} */
export const attach = {
  review(req, ans) {
    const hours = parseHours(get("hours") ?? "") ?? [0, 0];
    const maxSize = parseSize(get("max-size") ?? "") ?? 0n;
    const [prefix, name] = [get("except"), req.instanceName()];
    const excepted = prefix !== undefined && name.startsWith(prefix);
    if (excepted || !isQuiet(localHour(), hours)) return;
    write("info", "quiet hours", []);
    for (const disk of req.disks()) {
      if (disk.size() > maxSize) {
        const message =
          `${disk.pool()}/${disk.name()} has ${disk.size()} bytes, and from ${hours[0]} to ` +
          `${hours[1]} o'clock nothing of more than ${maxSize} is attached on node ` +
          `${req.node().name()}: start ${name} later`;
        // What is thrown with a `payload` is the error of the result; anything else is a fault.
        throw Object.assign(new Error(message), { payload: { code: "quiet-hours", message } });
      }
      ans.copyAtMost(disk, "writes-only");
    }
  },
};

/** @type {typeof import("volward:policy/lifecycle@0.1.1")} */
export const lifecycle = {
  checkConfig() {
    const problems = all()
      .filter(([key]) => !KEYS.includes(key))
      .map(([key]) => ({ key, message: `unknown key; known are: ${KEYS.join(", ")}` }));
    /** @type {[string, (text: string) => unknown, string][]} */
    const checks = [
      ["hours", parseHours, 'hours of the day such as "22-6"'],
      ["max-size", parseSize, 'a size such as "20GiB" or a number of bytes'],
    ];
    for (const [key, parse, expected] of checks) {
      const text = get(key);
      if (text === undefined) problems.push({ key, message: "is missing" });
      else if (parse(text) === undefined) problems.push({ key, message: `"${text}" is not ${expected}` });
    }
    return problems;
  },
};

/** @param {number} hour @param {number[]} hours */
function isQuiet(hour, [from, to]) {
  return from < to ? hour >= from && hour < to : hour >= from || hour < to;
}

function localHour() {
  // The sum may be before the epoch, and `%` keeps the sign.
  const minutes = Math.floor(Number(nowMs()) / 60_000) + utcOffsetMinutes();
  return ((Math.floor(minutes / 60) % 24) + 24) % 24;
}

/** @param {string} text */
function parseHours(text) {
  const found = /^(\d+)-(\d+)$/.exec(text)?.slice(1).map(Number);
  return found?.every((hour) => hour < 24) ? found : undefined;
}

/** @param {string} text */
function parseSize(text) {
  const found = /^(\d+) *(KiB|MiB|GiB|TiB)?$/.exec(text);
  if (!found) return undefined;
  const size = BigInt(found[1]) << (found[2] ? UNITS[found[2]] : 0n);
  return size < 1n << 64n ? size : undefined;
}
