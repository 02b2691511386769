"""For services that use os-brick and import nothing of ours: glance, cinder-backup. A file `volward.pth` in
the folder that has this package has every Python of the host import this first (docs/openstack.md). Then our
connector is registered once os-brick's are there; a process that does not use them is left as it is.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

# What is waited for. Nothing else is imported until it comes: it is every Python's start.
CONNECTORS = "os_brick.initiator.connector"


class _Then:
    """Loads a module as its own loader does, and registers."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        _register()


class _Waits:
    """Looks at what is imported, until that is."""

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if name != CONNECTORS:
            return None
        sys.meta_path.remove(self)
        found = find_spec(name)
        if found is not None and found.loader is not None:
            found.loader = _Then(found.loader)  # type: ignore[assignment]
        return found


def _register() -> None:
    try:
        from volward_openstack import register

        register.connector()
    except Exception:
        # What uses os-brick for other storage goes on; Cinder's driver says of this host what is missing.
        import logging

        logging.getLogger(__name__).exception("volward's connector is not registered with os-brick")


def wait() -> None:
    """Once more changes nothing."""
    if CONNECTORS in sys.modules:
        _register()
    elif not any(isinstance(one, _Waits) for one in sys.meta_path):
        sys.meta_path.insert(0, _Waits())


wait()
