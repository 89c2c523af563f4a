"""The contestants: each makes the same call (get a job, as a pydantic model) as a good SDK on that HTTP library would.

All of them reuse connections, set the same headers and the same time limit, look at the status, and validate the body from its
bytes with the same model. None of the others retries; meetbot does, and its price is in its numbers.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meetbot import Job

URL = os.environ["MEETBOT_API_BASE_URL"]
HEADERS = {
    "Authorization": f"Bearer {os.environ['MEETBOT_API_KEY']}",
    "Accept": "application/json",
    "User-Agent": "meetbot-bench",
}
TIMEOUT_SECONDS = 30.0
MOST_CONNECTIONS = 100

def _read(body: bytes) -> Job:
    """The model of a body; it is imported at the first, as meetbot does."""
    from meetbot import Job

    return Job.model_validate_json(body)


Call = Callable[[str], Any]
AsyncCall = Callable[[str], Awaitable[Any]]


def meetbot_sync() -> Call:
    from meetbot import MeetBot

    return MeetBot().get_bot


def httpx_sync() -> Call:
    import httpx

    limits = httpx.Limits(
        max_connections=MOST_CONNECTIONS, max_keepalive_connections=MOST_CONNECTIONS
    )
    client = httpx.Client(base_url=URL, headers=HEADERS, timeout=TIMEOUT_SECONDS, limits=limits)

    def get(job_id: str) -> Job:
        answer = client.get(f"/api/v1/jobs/{job_id}")
        answer.raise_for_status()
        return _read(answer.content)

    return get


def pyreqwest_sync() -> Call:
    from datetime import timedelta

    from pyreqwest.client import SyncClientBuilder

    builder = SyncClientBuilder().base_url(URL + "/").default_headers(HEADERS)
    client = builder.timeout(timedelta(seconds=TIMEOUT_SECONDS)).error_for_status(True).build()

    def get(job_id: str) -> Job:
        answer = client.get(f"api/v1/jobs/{job_id}").build().send()
        return _read(bytes(answer.bytes()))

    return get


def meetbot_async() -> AsyncCall:
    from meetbot import AsyncMeetBot

    return AsyncMeetBot().get_bot


def httpx_async() -> AsyncCall:
    import httpx

    limits = httpx.Limits(
        max_connections=MOST_CONNECTIONS, max_keepalive_connections=MOST_CONNECTIONS
    )
    client = httpx.AsyncClient(
        base_url=URL, headers=HEADERS, timeout=TIMEOUT_SECONDS, limits=limits
    )

    async def get(job_id: str) -> Job:
        answer = await client.get(f"/api/v1/jobs/{job_id}")
        answer.raise_for_status()
        return _read(answer.content)

    return get


def aiohttp_async() -> AsyncCall:
    import aiohttp

    session = aiohttp.ClientSession(
        base_url=URL,
        headers=HEADERS,
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
        connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS),
    )

    async def get(job_id: str) -> Job:
        async with session.get(f"/api/v1/jobs/{job_id}") as answer:
            answer.raise_for_status()
            return _read(await answer.read())

    return get


def pyreqwest_async() -> AsyncCall:
    from datetime import timedelta

    from pyreqwest.client import ClientBuilder

    builder = ClientBuilder().base_url(URL + "/").default_headers(HEADERS)
    client = builder.timeout(timedelta(seconds=TIMEOUT_SECONDS)).error_for_status(True).build()

    async def get(job_id: str) -> Job:
        answer = await client.get(f"api/v1/jobs/{job_id}").build().send()
        return _read(bytes(await answer.bytes()))

    return get


SYNC: dict[str, Callable[[], Call]] = {
    "httpx": httpx_sync,
    "pyreqwest": pyreqwest_sync,
    "meetbot": meetbot_sync,
}
ASYNC: dict[str, Callable[[], AsyncCall]] = {
    "httpx": httpx_async,
    "aiohttp": aiohttp_async,
    "pyreqwest": pyreqwest_async,
    "meetbot": meetbot_async,
}
