"""Refuses to migrate instances whose name begins with the configured `prefix`."""

from typing import List

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.lifecycle import Problem
from wit_world.imports import config
from wit_world.imports.answers import Denial
from wit_world.imports.facts import Request

KEYS = ["prefix"]


class Migrate(exports.Migrate):
    def review(self, req: Request) -> None:
        prefix = config.get("prefix") or ""
        name = req.instance_name()
        if not prefix or not name.startswith(prefix):
            return
        # The source is not known where no node shows the volumes as attached.
        peer = req.peer()
        place = "where it is" if peer is None else f"on node {peer.name()}"
        raise Err(Denial("stays", (
            f"instance {name} stays {place}: names that begin with {prefix} do not migrate"
        ), None))


class Lifecycle(exports.Lifecycle):
    def check_config(self) -> List[Problem]:
        problems = [Problem(key, f"unknown key; known are: {', '.join(KEYS)}")
                    for key, _ in config.all() if key not in KEYS]
        if not config.get("prefix"):
            problems.append(Problem("prefix", "give the beginning of the names to refuse"))
        return problems
