"""Refuses to delete volumes whose name begins with the configured `prefix`."""

from typing import List

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.lifecycle import Problem
from wit_world.imports import config
from wit_world.imports.answers import Denial
from wit_world.imports.operations import Operation, OperationKind_Delete

KEYS = ["prefix"]


class Operate(exports.Operate):
    def review(self, op: Operation) -> None:
        prefix = config.get("prefix") or ""
        # There is none before a create.
        volume = op.volume()
        if not isinstance(op.kind(), OperationKind_Delete) or volume is None:
            return
        name = volume.name()
        if prefix and name.startswith(prefix):
            raise Err(Denial("kept", (
                f"{volume.pool()}/{name} is not deleted: volumes whose name begins with {prefix} are kept"
            ), None))


class Lifecycle(exports.Lifecycle):
    def check_config(self) -> List[Problem]:
        problems = [Problem(key, f"unknown key; known are: {', '.join(KEYS)}")
                    for key, _ in config.all() if key not in KEYS]
        if not config.get("prefix"):
            problems.append(Problem("prefix", "give the beginning of the names to refuse"))
        return problems
