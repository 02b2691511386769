"""Refuses instances whose name begins with the configured `prefix`."""

from typing import List

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.lifecycle import Problem
from wit_world.imports import config
from wit_world.imports.answers import Answer, Denial
from wit_world.imports.facts import Request

KEYS = ["prefix"]


class Attach(exports.Attach):
    def review(self, req: Request, ans: Answer) -> None:
        prefix = config.get("prefix") or ""
        name = req.instance_name()
        if prefix and name.startswith(prefix):
            raise Err(Denial("name-refused", (
                f"instance {name} may not start: names that begin with {prefix} are refused here"
            ), None))


class Lifecycle(exports.Lifecycle):
    def check_config(self) -> List[Problem]:
        problems = [Problem(key, f"unknown key; known are: {', '.join(KEYS)}")
                    for key, _ in config.all() if key not in KEYS]
        if not config.get("prefix"):
            problems.append(Problem("prefix", "give the beginning of the names to refuse"))
        return problems
