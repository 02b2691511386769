"""Operations on volumes, carried to their end. Imports nothing of Cinder's.

An operation has an id that its caller makes of what he wants, so whoever asks again finds what was asked for
before. The daemon has it on record and goes on with it whether anybody waits or not, also when it was
restarted.
"""

import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from volward_openstack.attachments import OVERLAP, pause
from volward_openstack.client import Client
from volward_openstack.problems import NoDaemon, Refusal, TimedOut, Unusable, VolwardError
from volward_openstack.shapes import OperationView

LOG = logging.getLogger(__name__)

T = TypeVar("T")

# Begins an operation under that id. None: there is nothing to do.
Begin = Callable[[str], OperationView | None]
# The same of several that are done together.
BeginAll = Callable[[str], list[OperationView]]

DONE = "done"
# A state that this version does not know is no end.
ENDED = (DONE, "cancelled", "failed")

# The daemon answers a wait after a minute at most.
WAIT = 30.0
# Between two waits: a daemon that is about to stop answers at once.
PAUSE = 0.5
# A daemon that is restarted, or a node that is, goes on with what it has on record.
ABSENCE = 600.0


class Ended(VolwardError):
    """An operation that has ended, and has not done what was asked for."""

    def __init__(self, view: OperationView) -> None:
        about = f"the {view['operation']} of {view['pool']}/{view['volume']}"
        super().__init__(view.get("message") or f"{about} was {view['state']}")
        self.code = view.get("code") or view["state"]
        self.operation = view["id"]

    @property
    def sentence(self) -> str:
        """The daemon's sentence, its code, and where to read more."""
        return f"{self} ({self.code}); more: volward op show {self.operation}"


def done(client: Client, wanted: str, begin: Begin) -> OperationView | None:
    """Has an operation done, once, however often this is called; None where there was nothing to do.

    `wanted` is what its id begins with. One that came to nothing before keeps its id, and the next try has
    another one. There is no deadline: a large volume is zeroed for hours.
    """
    for operation in _attempts(wanted):
        view = known(client, operation)
        if view is not None and view["state"] in ENDED and view["state"] != DONE:
            continue
        if view is None:
            view = _begun(operation, begin, partial(known, client, operation))
        if view is None:
            return None
        view = ended(client, view)
        if view["state"] != DONE:
            raise Ended(view)
        return view
    raise AssertionError


def all_done(client: Client, wanted: str, count: int, begin: BeginAll) -> list[OperationView]:
    """The same of operations that are done together, or none of them: their ids are `wanted`, a colon and a
    number from 1 on."""
    for group in _attempts(wanted):
        found = _known_all(client, group, count)
        if any(view["state"] in ENDED and view["state"] != DONE for view in found):
            continue
        if len(found) < count:
            found = _begun(group, begin, partial(_known_all, client, group, count))
        found = [ended(client, view) for view in found]
        for view in found:
            if view["state"] != DONE:
                raise Ended(view)
        return found
    raise AssertionError


def known(client: Client, operation: str) -> OperationView | None:
    """An operation as it stands; None where the node knows none of that id."""
    try:
        return client.operation(operation)
    except Refusal as refusal:
        if refusal.kind == "not-found":
            return None
        raise


def ended(client: Client, view: OperationView) -> OperationView:
    """An operation when it has ended. A daemon that is away is waited for."""
    away: float | None = None
    while view["state"] not in ENDED:
        try:
            view = client.operation(view["id"], WAIT)
            away = None
        except (NoDaemon, TimedOut, Unusable) as error:
            away = time.monotonic() if away is None else away
            if time.monotonic() - away > ABSENCE:
                raise type(error)(f"{error}; the operation {view['id']} goes on with the daemon") from error
        if view["state"] not in ENDED:
            _log(view)
            time.sleep(PAUSE)
    return view


def take_back(client: Client, wanted: str) -> OperationView | None:
    """Has an operation taken back, or done where it is too late for that. The last of its tries, when it has
    ended; None where there was none."""
    last = None
    for operation in _attempts(wanted):
        view = known(client, operation)
        if view is None:
            return last
        if view["state"] not in ENDED:
            with contextlib.suppress(Refusal):
                # Too late: then it is waited for.
                view = client.operation_cancel({"id": operation})
        last = ended(client, view)
    raise AssertionError


def _attempts(wanted: str) -> Iterator[str]:
    yield wanted
    yield from (f"{wanted}:{attempt}" for attempt in itertools.count(2))


def _known_all(client: Client, group: str, count: int) -> list[OperationView]:
    views = [known(client, f"{group}:{number}") for number in range(1, count + 1)]
    return [view for view in views if view is not None]


def _begun(operation: str, begin: Callable[[str], T], on_record: Callable[[], T]) -> T:
    """Asked for again, for half a minute, where that makes sense. `on_record`: what is known, where it may
    have been put there all the same."""
    end = time.monotonic() + OVERLAP
    while True:
        try:
            return begin(operation)
        except Refusal as refusal:
            seconds = pause(refusal)
            if seconds is None or time.monotonic() + seconds > end:
                raise
            LOG.info("%s: %s", operation, refusal.sentence)
            time.sleep(seconds)
        except (TimedOut, Unusable):
            view = on_record()
            if not view:
                raise
            return view


def _log(view: OperationView) -> None:
    trouble = view.get("trouble")
    if trouble:
        LOG.warning("%s does not get on, and is tried again: %s", view["id"], trouble)
    elif view["total"]:
        LOG.info("%s: %s of %s bytes are written", view["id"], view["done"], view["total"])
