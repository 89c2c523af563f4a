"""Type checks of the package: `cargo xtask test python` runs mypy and pyright over this file, whose errors are all expected."""

# An `ignore` that pyright does not need is an error too, as mypy says by itself.
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from contextlib import aclosing, closing
from typing import TYPE_CHECKING, get_args

from scripted_server import KEY
from werkzeug.datastructures import Headers

import meetbot
from meetbot import (
    AsyncMeetBot,
    AutoLeaveSettings,
    DeliveryState,
    DeliveryStateWord,
    Job,
    JobStatus,
    JobStatusWord,
    MeetBot,
    Platform,
    PlatformWord,
    TimelineEvent,
    testing,
    webhooks,
)
from meetbot import _events, _models, _responses

if TYPE_CHECKING:
    from typing_extensions import assert_type

    # An unknown name has to be an error: if it were none, mypy would report an unused `ignore` comment.
    from meetbot import Jobb  # type: ignore[attr-defined] # noqa: F401
    from meetbot.testing import MockSever  # type: ignore[attr-defined] # noqa: F401

SECRET = "whsec_dGVzdA=="


class Ours(MeetBot):
    """A program's subclass of the client."""


class AsyncOurs(AsyncMeetBot):
    """The same for asyncio."""


def test_models_of_a_subclass_keep_their_type() -> None:
    with Ours(KEY, "http://x.example") as ours:
        again = ours.with_options(timeout=1)
        if TYPE_CHECKING:
            assert_type(ours, Ours)
            assert_type(again, Ours)
        assert type(again) is Ours


async def a_subclass_for_asyncio_too() -> None:
    async with AsyncOurs(KEY) as ours:
        if TYPE_CHECKING:
            assert_type(ours, AsyncOurs)
            assert_type(ours.with_options(timeout=1), AsyncOurs)


async def streams_can_be_closed(mb: MeetBot, amb: AsyncMeetBot) -> None:
    with closing(mb.watch("job_1")) as events, closing(mb.iter_bots()) as jobs:
        if TYPE_CHECKING:
            assert_type(next(events), TimelineEvent)
            assert_type(next(jobs), Job)
    async with aclosing(amb.watch("job_1")) as aevents, aclosing(amb.iter_bots()) as ajobs:
        if TYPE_CHECKING:
            assert_type(await anext(aevents), TimelineEvent)
            assert_type(await anext(ajobs), Job)
    for event in mb.watch("job_1"):
        print(event.id)


def words_that_are_written_out_are_known(mb: MeetBot, amb: AsyncMeetBot, job: Job) -> None:
    """Each `ignore` here is an error that a type checker has to find; one that it does not find is an error too."""
    mb.list_bots(status="failed", platform="janus")
    mb.list_bots(status=["queued", job.status, JobStatus("a word of tomorrow")], platform=Platform("hangouts"))
    mb.list_bots(status="faild")  # type: ignore[arg-type]
    mb.list_bots(status=["queued", "faild"])  # type: ignore[list-item]
    mb.list_bots(platform="google_meet")  # type: ignore[arg-type]
    mb.iter_bots(status="faild")  # type: ignore[arg-type]
    amb.iter_bots(status="faild")  # type: ignore[arg-type]
    mb.dispatch_bot("https://x.example", platform="zoom")  # type: ignore[arg-type]
    mb.deliveries(state="ded")  # type: ignore[arg-type]
    mb.deliveries(job_id=job, state="dead")
    mb.dispatch_bot("https://x.example", auto_leave={"after_silence_seconds": 3, "after_solo_seconds": None})
    mb.dispatch_bot("https://x.example", auto_leave={"after_silence": 3})  # type: ignore[arg-type]
    mb.get_bot(job)
    mb.get_bot(5)  # type: ignore[arg-type]
    print([caption.text for caption in mb.captions(job)], [message.text for message in mb.chat(job.id)])


def test_the_words_of_arguments_are_those_of_their_sets() -> None:
    for word, kind in ((JobStatusWord, JobStatus), (PlatformWord, Platform), (DeliveryStateWord, DeliveryState)):
        own, written_out = get_args(word)
        assert own is kind and list(get_args(written_out)) == [str(one) for one in kind]
    assert set(AutoLeaveSettings.__annotations__) == set(meetbot.AutoLeaveConfig.model_fields)


def test_unwrap_accepts_the_headers_of_frameworks() -> None:
    body, headers = testing.sign_webhook({}, SECRET)
    assert webhooks.unwrap(body, headers, SECRET).version == 2
    # Flask's are no mapping.
    assert webhooks.unwrap(body, Headers(headers), SECRET).version == 2


def test_every_model_of_an_answer_can_be_imported() -> None:
    kinds = {
        name
        for module in (_events, _models, _responses)
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, _models.Model)
    }
    # Pages that the client takes apart.
    inner = {"Model", "JobPage", "EventPage", "FilePage"}
    assert kinds - inner <= set(meetbot.__all__) | set(webhooks.__all__)
    for name in meetbot.__all__:
        assert getattr(meetbot, name) is not None
