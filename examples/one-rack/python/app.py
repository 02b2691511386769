"""Keeps an instance within its rack when it migrates live; some do not migrate at all.
`rack-NAME`, `stay` and `stay-tag` in the configuration."""

import re
from typing import Dict, List, NoReturn, Optional

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.lifecycle import Problem
from wit_world.imports import config
from wit_world.imports.answers import Denial
from wit_world.imports.facts import Request

RACK = "rack-"
KEYS = ["stay", "stay-tag"]
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Migrate(exports.Migrate):
    def review(self, req: Request) -> None:
        may_leave(req)
        same_rack(req)


class Lifecycle(exports.Lifecycle):
    def check_config(self) -> List[Problem]:
        known = ", ".join([RACK + "NAME", *KEYS])
        problems = [Problem(key, f"unknown key; known are: {known}")
                    for key, _ in config.all() if key not in KEYS and not key.startswith(RACK)]
        for word in words(config.get("stay")):
            if not UUID.fullmatch(word):
                problems.append(Problem("stay", f'"{word}" is not the UUID of an instance'))
                break
        text = config.get("stay-tag")
        if text is not None and lv_tag(text) is None:
            problems.append(Problem("stay-tag", f'"{text}" is not an LV tag'))
        before: List[str] = []
        for rack, nodes in racks().items():
            if not nodes:
                problems.append(Problem(RACK + rack, "name its nodes"))
            twice = next((node for node in before if node in nodes), None)
            if twice is not None:
                problems.append(Problem(RACK + rack, f'"{twice}" is in another rack, too'))
            before += nodes
        if not config.all():
            problems.append(Problem(RACK + "NAME", "name the nodes of each rack, or who stays"))
        return problems


def may_leave(req: Request) -> None:
    """Some instances stay where they were started."""
    who = req.instance_name() or req.instance()
    if req.instance().lower() in (one.lower() for one in words(config.get("stay"))):
        refuse("stays", f"{who} does not migrate: it is listed as `stay` in the settings of the policy "
                        "one-rack; stop it and start it elsewhere")
    tag = lv_tag(config.get("stay-tag") or "")
    # Disks are looked at only where a tag is asked for: each is a call into the daemon.
    for disk in req.disks() if tag else []:
        if tag in disk.tags():
            refuse("stays", f"{who} does not migrate: its volume {disk.pool()}/{disk.name()} has the LV tag {tag}; "
                            "stop it and start it elsewhere, or take the tag away with `lvchange --deltag`")


def same_rack(req: Request) -> None:
    """Where racks are named, an instance stays within its own."""
    if not racks():
        return
    peer = req.peer()
    if peer is None:
        refuse("no-source", "the node that the instance comes from is not known, so nobody can say whether it is "
                            "in the same rack")
    source, here = peer.name(), req.node().name()
    left, reached = rack_of(source), rack_of(here)
    if left != reached:
        others = [node for node in racks()[left] if node != source]
        refuse("other-rack", f"node {source} is in rack {left} and node {here} in rack {reached}: migrate within "
                             f"rack {left}, to {' or '.join(others) or 'a node that is added to it'}")


def rack_of(node: str) -> str:
    for rack, nodes in racks().items():
        if node in nodes:
            return rack
    refuse("no-rack", f"node {node} is in no rack: add it to a `rack-NAME` in the settings of the policy one-rack")


def refuse(code: str, message: str) -> NoReturn:
    raise Err(Denial(code, message, None))


def racks() -> Dict[str, List[str]]:
    return {key[len(RACK):]: words(value) for key, value in config.all() if key.startswith(RACK)}


def lv_tag(text: str) -> Optional[str]:
    tag = text.strip()
    return tag if tag and " " not in tag else None


def words(text: Optional[str]) -> List[str]:
    return [word for word in re.split("[ ,\n\t]+", text or "") if word]
