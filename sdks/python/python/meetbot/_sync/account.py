"""The key's consumer, and the server itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _calls
from .caller import Caller

if TYPE_CHECKING:
    from .._responses import ErasureReceipt, Host, PlatformPage, Usage


class AccountCalls(Caller):
    """The calls about a consumer's use, its erasure, the server's machine and the platforms that it joins."""

    def usage(self, *, timeout: float | None = None) -> Usage:
        """What the key's consumer has used this month, in the key's world (live or test), and what it may use (`GET /api/v1/usage`).

        Example:
            >>> usage = mb.usage()
            >>> print(usage.max_bots)
            None
        """
        return self._call(_calls.usage(), timeout)

    def list_platforms(self, *, timeout: float | None = None) -> PlatformPage:
        """Every platform that the server recognises, with each way into its meetings: whether a job for it is taken with this key, and what the
        operator has to install or set where none is (`GET /api/v1/platforms`). All of it is on one page. With a test key the sandbox plays the
        meetings of every platform.

        Example:
            >>> page = mb.list_platforms()
            >>> print([way.platform.value for way in page.data if way.platform == "sandbox" and way.joinable])
            ['sandbox']
        """
        return self._call(_calls.list_platforms(), timeout)

    def erase_consumer(self, confirm: str, *, timeout: float | None = None) -> ErasureReceipt:
        """Cancels all bots of the key's consumer and erases everything it has, this key included (scope `admin`).

        A live key erases both worlds, a test key the test world alone.

        Args:
            confirm: The consumer's name.
            timeout: How many seconds one try may take, for this call alone.

        Example:
            >>> from meetbot import MeetbotForbiddenError
            >>> try:
            ...     mb.erase_consumer("acme")
            ... except MeetbotForbiddenError as error:
            ...     print(error.code)
            forbidden
        """
        return self._call(_calls.erase_consumer(confirm), timeout)

    def host(self, *, timeout: float | None = None) -> Host:
        """The machine of the server, and how much the server does on it (`GET /api/v1/admin/host`, scope `admin`).

        Example:
            >>> from meetbot import MeetbotForbiddenError
            >>> try:
            ...     print((mb.host()).bots.running)
            ... except MeetbotForbiddenError as error:
            ...     print(error.code)
            forbidden
        """
        return self._call(_calls.host(), timeout)
