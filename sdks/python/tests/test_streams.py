"""The iterators of `watch` and `iter_bots`: they go on after a timeout and an error, and lose nothing."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import aclosing, closing
from typing import Any

import pytest
from scripted_server import HANG, KEY, STREAM, a_job, an_event, answer, refusal

from meetbot import (
    AsyncMeetBot,
    Job,
    JobStatus,
    MeetBot,
    MeetbotForbiddenError,
    MeetbotNotFoundError,
    MeetbotServerError,
    testing,
)

ID = "job_01KAB1CDEFGHJKMNPQRSTVWXYZ"
NOW = 0.05


def events(*sequences: int) -> Any:
    """A stream that gives these events and ends."""
    return answer(b"".join(map(an_event, sequences)), Content_Type="text/event-stream")


def test_a_wait_for_an_event_that_is_given_up_ends_nothing_and_loses_nothing(scripted: Any) -> None:
    server = scripted(answer(a_job()), events=STREAM)

    async def main() -> list[int]:
        watched = AsyncMeetBot(KEY, server.url).watch(ID)
        seen = []
        for sequence in range(1, 6):
            for _ in range(2):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(anext(watched), NOW)
            server.send(an_event(sequence))
            seen.append((await asyncio.wait_for(anext(watched), 30)).data.sequence)
        return seen

    assert asyncio.run(main()) == [1, 2, 3, 4, 5]
    assert len(server.requests) == 1


def test_an_event_that_comes_as_its_wait_is_cancelled_is_given_to_the_next(scripted: Any) -> None:
    server = scripted(answer(a_job()), events=STREAM)

    async def main() -> list[int]:
        watched = AsyncMeetBot(KEY, server.url).watch(ID)
        seen = []
        for sequence in range(1, 101):
            waiting = asyncio.ensure_future(anext(watched))
            await asyncio.sleep(0)
            server.send(an_event(sequence))
            # Sometimes before the event has come, sometimes after, and often in between.
            until = time.monotonic() + 0.0005 * (sequence % 10)
            while time.monotonic() < until:
                pass
            waiting.cancel()
            try:
                seen.append((await waiting).data.sequence)
            except asyncio.CancelledError:
                seen.append((await asyncio.wait_for(anext(watched), 30)).data.sequence)
        return seen

    assert asyncio.run(main()) == list(range(1, 101))


def test_a_watch_goes_on_in_the_next_loop(scripted: Any) -> None:
    server = scripted(STREAM, events(1, 2, 3, 4))
    watched = AsyncMeetBot(KEY, server.url).watch(ID)

    async def one() -> int:
        return (await asyncio.wait_for(anext(watched), 30)).data.sequence

    async def one_and_a_wait_that_is_given_up() -> int:
        sequence = await one()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(watched), NOW)
        return sequence

    server.send(an_event(1))
    assert asyncio.run(one()) == 1
    server.send(an_event(2))
    assert asyncio.run(one_and_a_wait_that_is_given_up()) == 2
    assert len(server.requests) == 1
    # That loop no longer drains its completions.
    server.send(an_event(3))
    assert [asyncio.run(one()), asyncio.run(one())] == [3, 4]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_watch_goes_on_after_an_error(kind: str, scripted: Any) -> None:
    server = scripted(events(1, 2), refusal(404, "not_found"), refusal(403, "forbidden"), events(1, 2, 3))
    loop = asyncio.new_event_loop()
    if kind == "sync":
        watched: Any = MeetBot(KEY, server.url).watch(ID)
    else:
        watched = AsyncMeetBot(KEY, server.url).watch(ID)

    def following() -> int:
        event = next(watched) if kind == "sync" else loop.run_until_complete(anext(watched))
        return int(event.data.sequence)

    assert [following(), following()] == [1, 2]
    with pytest.raises(MeetbotNotFoundError):
        following()
    with pytest.raises(MeetbotForbiddenError):
        following()
    assert following() == 3
    loop.close()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_page_that_failed_is_asked_for_again(kind: str, scripted: Any) -> None:
    first, last = ({"data": [a_job()], "nextCursor": cursor} for cursor in ("a", None))
    server = scripted(answer(first), refusal(500, "internal"), answer(last))
    loop = asyncio.new_event_loop()
    if kind == "sync":
        jobs: Any = MeetBot(KEY, server.url, max_retries=0).iter_bots(status=iter([JobStatus.QUEUED]))
    else:
        jobs = AsyncMeetBot(KEY, server.url, max_retries=0).iter_bots(status=iter([JobStatus.QUEUED]))

    def following() -> Any:
        if kind == "sync":
            return next(jobs, None)
        return loop.run_until_complete(anext(jobs, None))

    assert isinstance(following(), Job)
    with pytest.raises(MeetbotServerError):
        following()
    assert isinstance(following(), Job)
    assert following() is None and following() is None
    assert [request.path.partition("?")[2] for request in server.requests] == [
        "status=queued",
        "status=queued&cursor=a",
        "status=queued&cursor=a",
    ]
    loop.close()


def test_a_timeline_through_a_transport_survives_a_time_limit_too() -> None:
    mock = testing.MockServer()
    event = {
        "id": "evt_1",
        "event": "job.status_changed",
        "emittedAt": "2026-01-01T00:00:00.000Z",
        "data": {"event": "job.status_changed", "sequence": 1, "jobId": ID, "status": "recording"},
    }
    last = {**event, "id": "evt_2", "data": {**event["data"], "sequence": 2, "status": "completed"}}  # type: ignore[dict-item]
    mock.answer_next(200, {"data": [event], "nextCursor": None})
    mock.answer_next(200, {"data": [event, last], "nextCursor": None})

    async def main() -> list[str | None]:
        watched = mock.async_client().watch(ID)
        seen = [(await anext(watched)).id]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(watched), NOW)
        return seen + [one.id async for one in watched]

    assert asyncio.run(main()) == ["evt_1", "evt_2"]


def test_a_closed_stream_disconnects_and_ends(scripted: Any) -> None:
    server = scripted(HANG)

    async def main() -> None:
        async with aclosing(AsyncMeetBot(KEY, server.url).watch(ID)) as watched:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(watched), NOW)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(watched), NOW)
        assert await asyncio.to_thread(server.hung_up.acquire, True, 30)
        assert [event async for event in watched] == []

    asyncio.run(main())
    with closing(MeetBot(KEY, scripted(events(1, 2)).url).watch(ID)) as watched:
        assert next(watched).data.sequence == 1
    assert list(watched) == []


def test_closing_a_stream_ends_the_wait_for_it(scripted: Any) -> None:
    server = scripted(HANG)

    async def main() -> list[int]:
        watched = AsyncMeetBot(KEY, server.url).watch(ID)

        async def all_of_it() -> list[int]:
            return [event.data.sequence async for event in watched]

        waiting = asyncio.create_task(all_of_it())
        assert await asyncio.to_thread(server.came.acquire, True, 30)
        with pytest.raises(RuntimeError, match="already"):
            await anext(watched)
        await watched.aclose()
        return await asyncio.wait_for(waiting, 30)

    assert asyncio.run(main()) == []


def test_a_dropped_stream_disconnects(scripted: Any) -> None:
    server = scripted(HANG)

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(AsyncMeetBot(KEY, server.url).watch(ID)), NOW)
        gc.collect()
        assert await asyncio.to_thread(server.hung_up.acquire, True, 30)

    asyncio.run(main())
