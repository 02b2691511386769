"""Under eventlet, as cinder-volume and older nova-computes run: a call gives way to other green threads. In
processes of their own, since it changes all of Python."""

import pytest

from tests.fake_daemon import FakeCluster
from tests.hosts.need import need, run

need("eventlet")

pytestmark = pytest.mark.hosts


@pytest.mark.parametrize("order", ["before", "after"])
def test_the_daemon_is_asked_whenever_eventlet_came(cluster: FakeCluster, order: str) -> None:
    script = """
        import sys
        if sys.argv[2] == "after": import volward_openstack.client
        import eventlet; eventlet.monkey_patch()
        from volward_openstack.client import Client
        print(Client(sys.argv[1]).status()["node"])
    """
    assert run(script, cluster.socket("n1"), order) == "n1"


def test_others_run_while_a_silent_daemon_is_waited_for() -> None:
    script = """
        import eventlet; eventlet.monkey_patch()
        import os, socket, tempfile, time
        from volward_openstack.client import Client
        from volward_openstack.problems import TimedOut
        path = os.path.join(tempfile.mkdtemp(), "sock")
        listener = socket.socket(socket.AF_UNIX); listener.bind(path); listener.listen()
        beats = []
        def beat():
            while True:
                eventlet.sleep(0.01); beats.append(1)
        eventlet.spawn(beat)
        begun = time.monotonic()
        try:
            Client(path).status(patience=0.5)
        except TimedOut:
            print(len(beats) > 10, time.monotonic() - begun < 2)
    """
    assert run(script) == "True True"


def test_a_full_backlog_ends_with_the_deadline_under_eventlet_too() -> None:
    script = """
        import eventlet; eventlet.monkey_patch()
        import os, socket, tempfile, time
        from eventlet import patcher
        from volward_openstack.client import Client
        from volward_openstack.problems import TimedOut
        path = os.path.join(tempfile.mkdtemp(), "sock")
        listener = socket.socket(socket.AF_UNIX); listener.bind(path); listener.listen(0)
        real = patcher.original("socket"); waiting = []
        while True:
            one = real.socket(real.AF_UNIX); one.setblocking(False); waiting.append(one)
            try: one.connect(path)
            except BlockingIOError: break
        beats = []
        def beat():
            while True:
                eventlet.sleep(0.01); beats.append(1)
        eventlet.spawn(beat)
        begun = time.monotonic()
        try:
            Client(path).status(patience=0.5)
        except TimedOut:
            print(len(beats) > 10, time.monotonic() - begun < 2)
    """
    assert run(script) == "True True"
