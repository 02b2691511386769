"""Local copies come home under their guest, so that it can migrate: no other node can read them. Imports
nothing of nova's.
"""

import logging
import time
from collections.abc import Iterable

from volward_openstack.attachments import pause
from volward_openstack.client import Client
from volward_openstack.problems import Refusal, VolwardError
from volward_openstack.shapes import HydrationView

LOG = logging.getLogger(__name__)

# Pool and name.
Volume = tuple[str, str]

# Between two looks.
_LOOK = 0.5
# An estimate is believed when there was so much to make it of.
_SETTLED = 5.0


class OnTheWay(VolwardError):
    """They come home, and not in time: the daemon goes on with it."""


def come_home(client: Client, volumes: Iterable[Volume], within: float) -> None:
    """Has this node's copies of these volumes brought home, and waits for it: all of them, or none.

    Raises a Refusal where one of them cannot come home, a copy that is not whole, say; then none is begun.
    Raises OnTheWay as soon as it is known that it takes more than `within` seconds.
    """
    begun = time.monotonic()
    wanted = set(volumes)
    copies = _copies(client, wanted)
    for dry_run in (True, False):
        for view in copies:
            _asked(client, _name(view), dry_run, begun + within)
    while copies:
        waited = time.monotonic() - begun
        left = within - waited
        estimates = (view.get("remaining_ms") or 0 for view in copies)
        is_too_long = waited > _SETTLED and max(estimates) / 1000 > left
        if is_too_long or left < _LOOK:
            raise OnTheWay(_sentence(copies))
        time.sleep(_LOOK)
        copies = _copies(client, wanted)


def _copies(client: Client, wanted: set[Volume]) -> list[HydrationView]:
    return [view for view in client.hydrations() if (view["pool"], view["volume"]) in wanted]


def _asked(client: Client, volume: str, dry_run: bool, end: float) -> None:
    """What else is done with the volume at the moment is waited for. A copy that becomes whole is not: that
    takes as long as it takes."""
    while True:
        try:
            client.bring_home({"volume": volume, "dry_run": dry_run})
        except Refusal as refusal:
            seconds = None if refusal.code == "not-hydrated" else pause(refusal)
            if seconds is None or time.monotonic() + seconds > end:
                raise
            LOG.info("%s: %s", volume, refusal.sentence)
            time.sleep(seconds)
        else:
            return


def _sentence(copies: list[HydrationView]) -> str:
    slowest = max(copies, key=lambda view: view.get("remaining_ms") or 0)
    percent = 100 * slowest["done"] // slowest["total"] if slowest["total"] else 100
    text = f"the data of {_name(slowest)} comes home from this node's copy, {percent} % is there"
    remaining = slowest.get("remaining_ms")
    if remaining is not None:
        text += f", about {-(-remaining // 1000)} s are left"
    text += "; it goes on by itself: migrate again then"
    trouble = slowest.get("trouble")
    return f"{text} (trouble: {trouble})" if trouble else text


def _name(view: HydrationView) -> str:
    return f"{view['pool']}/{view['volume']}"
