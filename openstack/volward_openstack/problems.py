"""How a call fails. The text of each is one sentence for people, the daemon's own where it gave one."""

from volward_openstack.shapes import Problem


class VolwardError(Exception):
    """A call that has not done what was asked for."""

    @property
    def sentence(self) -> str:
        """What went wrong, for whoever asked."""
        return str(self)


class NoDaemon(VolwardError):
    """Nobody listens at the socket: nothing was begun."""


class NotAllowed(VolwardError):
    """The socket cannot be opened by this user: nothing was begun."""


class TimedOut(VolwardError):
    """There was no answer in time. The daemon may still be at work."""


class Unusable(VolwardError):
    """What came back is no answer of a daemon that this package knows, or the connection broke."""


class Refusal(VolwardError):
    """The daemon answered, and the answer is no.

    kind            the kind of failure (`refused`, `denied`, ...); a later daemon may have others
    code            the exact reason, for programs: `held-elsewhere`, or a policy's own
    retry_after_ms  asking again makes sense after so many milliseconds; None: not by itself
    request         the request's id, for `volward explain`
    details         more of it, a line each
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem["message"])
        self.kind = problem["kind"]
        self.code = problem["code"]
        self.retry_after_ms = problem.get("retry_after_ms")
        self.request = problem.get("request")
        self.details = problem.get("details", [])

    @property
    def sentence(self) -> str:
        """The daemon's sentence, its code, when to ask again, and where to read more."""
        text = f"{self} ({self.code})"
        if self.retry_after_ms is not None:
            text += f"; try again in {-(-self.retry_after_ms // 1000)} s"
        if self.request is not None:
            text += f"; why: volward explain {self.request}"
        return text
