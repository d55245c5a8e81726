"""`ForkGuard`: drivers do not survive a fork, and a child must not hang in one."""

from __future__ import annotations

import os

from dispatch.errors import BackendUnavailableError


class ForkGuard:
    """Knows in which process a driver was started, and refuses it in the children of that process.

    Drivers start threads and map device memory, and neither lives on in a forked child: its first wait for a kernel
    would never return.

    Parameters
    ----------
    driver : str
        What the driver is called in messages, such as ``"OpenCL"``.
    """

    def __init__(self, driver: str) -> None:
        self._driver = driver
        self._started_in: int | None = None

    @property
    def remedy(self) -> str:
        """What to do about a fork."""
        return f"start processes by 'spawn' or 'forkserver', or use {self._driver} only in the children"

    def started(self) -> None:
        """Note that the driver has been started; the first call counts."""
        if self._started_in is None:
            self._started_in = os.getpid()

    def reason(self) -> str:
        """Return why the driver cannot be used in this process, or the empty string."""
        if self._started_in is None or self._started_in == os.getpid():
            return ""
        return f"{self._driver} was in use before this process was forked, and its driver does not survive that"

    def why_not(self) -> str:
        """Return reason and remedy as `Backend.supports` gives them, or the empty string."""
        reason = self.reason()
        return f"{reason}; {self.remedy}" if reason else ""

    def check(self) -> None:
        """Refuse the driver in a forked child.

        Raises
        ------
        BackendUnavailableError
            When the driver was started before the fork.
        """
        reason = self.reason()
        if reason:
            raise BackendUnavailableError(reason, self.remedy)
