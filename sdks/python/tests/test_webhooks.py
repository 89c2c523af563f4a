"""Webhooks as a receiver takes them: typed, fresh, and signed with any of its secrets."""

from __future__ import annotations

import time
from typing import Any

import pytest

from meetbot import MeetbotDecodeError, MeetbotError, testing, verify_webhook_signature, webhooks

SECRET, OLD = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_dGVzdA=="


def test_an_event_is_read_as_what_it_is() -> None:
    events: list[tuple[dict[str, Any], type]] = [
        ({"event": "job.status_changed", "previousStatus": "queued"}, webhooks.StatusChanged),
        ({"event": "job.finalized", "durationMs": 7}, webhooks.Finalized),
        ({"event": "job.failed", "failure_code": "network_loss"}, webhooks.Failed),
        ({"event": "bot.recording_permission_denied", "permission": "denied"}, webhooks.PermissionChanged),
        ({"event": "bot.participant_left", "participant": {"id": "p", "name": "B", "isHost": False, "isBot": False}}, webhooks.ParticipantChanged),
    ]
    for data, kind in events:
        event = webhooks.unwrap(*testing.sign_webhook(data, SECRET), SECRET)
        assert type(event.data) is kind and event.event == data["event"]
    new = webhooks.unwrap(*testing.sign_webhook({"event": "job.new", "answer": 42}, SECRET), SECRET)
    assert type(new.data) is webhooks.EventData
    assert new.data.model_extra == {"answer": 42}


def test_any_of_several_secrets_will_do_and_no_other() -> None:
    body, headers = testing.sign_webhook({"event": "job.finalized"}, OLD)
    assert webhooks.unwrap(body, headers, [SECRET, OLD]).data.event == "job.finalized"
    signature = headers["x-meetbot-signature"]
    assert verify_webhook_signature(body=body, header=signature, secret=[SECRET, OLD])
    with pytest.raises(webhooks.MeetbotSignatureError) as told:
        webhooks.unwrap(body, headers, SECRET)
    assert isinstance(told.value, MeetbotError) and SECRET not in str(told.value)


def test_a_changed_byte_and_a_missing_header_are_refused_in_both_schemes() -> None:
    body, headers = testing.sign_webhook({"event": "job.finalized"}, SECRET)
    ours = {"X-Meetbot-Signature": headers["x-meetbot-signature"]}
    standard = {name: value for name, value in headers.items() if name.startswith("webhook-")}
    for some in [ours, standard]:
        assert webhooks.unwrap(body, some, SECRET, tolerance=None).attempt == 1
        with pytest.raises(webhooks.MeetbotSignatureError):
            webhooks.unwrap(body.replace(b"completed", b"Completed"), some, SECRET, tolerance=None)
    for other in [{}, {**standard, "webhook-id": "dlv_other"}, {**standard, "webhook-timestamp": "1"}]:
        with pytest.raises(webhooks.MeetbotSignatureError):
            webhooks.unwrap(body, other, SECRET)


def test_an_old_webhook_that_is_sent_again_is_refused() -> None:
    for age, tolerance, taken in [(0, 300, True), (299, 300, True), (310, 300, False), (-310, 300, False), (9999, None, True)]:
        body, headers = testing.sign_webhook({}, SECRET, sent_at=time.time() - age)
        try:
            webhooks.unwrap(body, headers, SECRET, tolerance=tolerance)
            assert taken, age
        except webhooks.MeetbotSignatureError as error:
            assert not taken and "clock" in str(error)


def test_leaving_the_signed_time_out_makes_no_webhook_fresh() -> None:
    body, headers = testing.sign_webhook({}, SECRET, sent_at=time.time() - 9999)
    stripped = {"X-Meetbot-Signature": headers["x-meetbot-signature"]}
    with pytest.raises(webhooks.MeetbotSignatureError, match="tolerance=None"):
        webhooks.unwrap(body, stripped, SECRET)


def test_what_is_signed_but_no_event_is_told_apart() -> None:
    with pytest.raises(MeetbotDecodeError) as told:
        webhooks.unwrap(*testing.sign_webhook(b"[1]", SECRET), SECRET)
    assert told.value.body == "[1]"


def test_the_body_may_be_anything_that_holds_bytes() -> None:
    body, headers = testing.sign_webhook({}, SECRET)
    bodies: list[Any] = [body, bytearray(body), memoryview(body), body.decode()]
    for one in bodies:
        assert webhooks.unwrap(one, headers, SECRET).version == 2
