"""Keeps the LUN quiet at certain hours: then nothing big is attached, and nothing is copied in
the background. `hours`, `max-size` and `except` in the configuration."""

from typing import List, Optional, Tuple

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.lifecycle import Problem
from wit_world.imports import clock, config, log
from wit_world.imports.answers import Answer, CopyMode, Denial
from wit_world.imports.facts import Request

KEYS = ["hours", "max-size", "except"]
UNITS = {"KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}


class Attach(exports.Attach):
    def review(self, req: Request, ans: Answer) -> None:
        hours = parse_hours(config.get("hours") or "") or (0, 0)
        max_size = parse_size(config.get("max-size") or "") or 0
        prefix, name = config.get("except"), req.instance_name()
        excepted = prefix is not None and name.startswith(prefix)
        if excepted or not is_quiet(local_hour(), hours):
            return
        log.write(log.Level.INFO, "quiet hours", [])
        for disk in req.disks():
            if disk.size() > max_size:
                raise Err(Denial("quiet-hours", (
                    f"{disk.pool()}/{disk.name()} has {disk.size()} bytes, and from {hours[0]} to "
                    f"{hours[1]} o'clock nothing of more than {max_size} is attached on node "
                    f"{req.node().name()}: start {name} later"), None))
            ans.copy_at_most(disk, CopyMode.WRITES_ONLY)


class Lifecycle(exports.Lifecycle):
    def check_config(self) -> List[Problem]:
        known = ", ".join(KEYS)
        problems = [Problem(key, f"unknown key; known are: {known}")
                    for key, _ in config.all() if key not in KEYS]
        for key, parse, expected in [
            ("hours", parse_hours, 'hours of the day such as "22-6"'),
            ("max-size", parse_size, 'a size such as "20GiB" or a number of bytes'),
        ]:
            text = config.get(key)
            if text is None:
                problems.append(Problem(key, "is missing"))
            elif parse(text) is None:
                problems.append(Problem(key, f'"{text}" is not {expected}'))
        return problems


def is_quiet(hour: int, hours: Tuple[int, int]) -> bool:
    begin, end = hours
    return begin <= hour < end if begin < end else hour >= begin or hour < end


def local_hour() -> int:
    return (clock.now_ms() // 60_000 + clock.utc_offset_minutes()) // 60 % 24


def parse_hours(text: str) -> Optional[Tuple[int, int]]:
    begin, dash, end = text.partition("-")
    if not dash or not digits(begin) or not digits(end):
        return None
    hours = int(begin), int(end)
    return hours if max(hours) < 24 else None


def parse_size(text: str) -> Optional[int]:
    number, shift = text, 0
    for unit, bits in UNITS.items():
        if text.endswith(unit):
            number, shift = text[:-len(unit)].rstrip(" "), bits
    size = int(number) << shift if digits(number) else None
    return size if size is not None and size < 1 << 64 else None


def digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
