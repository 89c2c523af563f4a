"""Verification and decoding of webhooks in a receiver."""

from __future__ import annotations

import base64
import hmac
import time
from typing import Any

import pytest

from meetbot import (
    MeetbotConfigurationError,
    MeetbotDecodeError,
    MeetbotError,
    testing,
    verify_webhook_signature,
    webhooks,
)

SECRET, OLD = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_dGVzdA=="


def test_an_event_is_parsed_into_its_model() -> None:
    events: list[tuple[dict[str, Any], type]] = [
        ({"event": "job.status_changed", "previousStatus": "queued"}, webhooks.StatusChanged),
        ({"event": "job.finalized", "durationMs": 7}, webhooks.Finalized),
        ({"event": "job.failed", "failure_code": "network_loss"}, webhooks.Failed),
        ({"event": "job.artifact_ready", "artifact": {"name": "audio.mixed.webm", "mediaType": "audio/webm", "bytes": 7, "sha256": "ab"}}, webhooks.ArtifactReady),
        ({"event": "bot.recording_permission_denied", "permission": "denied"}, webhooks.PermissionChanged),
        ({"event": "bot.participant_renamed", "participant": {"id": "p", "name": "Bo", "isHost": False, "isBot": False}, "previousName": "B"}, webhooks.ParticipantRenamed),
        ({"event": "bot.participant_left", "participant": {"id": "p", "name": "B", "isHost": False, "isBot": False}}, webhooks.ParticipantChanged),
    ]
    for data, kind in events:
        event = webhooks.unwrap(*testing.sign_webhook(data, SECRET), SECRET)
        assert type(event.data) is kind and event.event == data["event"]
    new = webhooks.unwrap(*testing.sign_webhook({"event": "job.new", "answer": 42}, SECRET), SECRET)
    assert type(new.data) is webhooks.EventData
    assert new.data.model_extra == {"answer": 42}


def test_one_of_several_secrets_is_sufficient() -> None:
    body, headers = testing.sign_webhook({"event": "job.finalized"}, OLD)
    assert webhooks.unwrap(body, headers, [SECRET, OLD]).data.event == "job.finalized"
    signature = headers["x-meetbot-signature"]
    assert verify_webhook_signature(body=body, header=signature, secret=[SECRET, OLD])
    with pytest.raises(webhooks.MeetbotSignatureError) as caught:
        webhooks.unwrap(body, headers, SECRET)
    assert isinstance(caught.value, MeetbotError) and SECRET not in str(caught.value)


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


def test_a_webhook_without_the_signed_time_is_refused() -> None:
    body, headers = testing.sign_webhook({}, SECRET, sent_at=time.time() - 9999)
    stripped = {"X-Meetbot-Signature": headers["x-meetbot-signature"]}
    with pytest.raises(webhooks.MeetbotSignatureError, match="tolerance=None"):
        webhooks.unwrap(body, stripped, SECRET)


def test_a_signed_body_that_is_no_event_is_a_decode_error() -> None:
    with pytest.raises(MeetbotDecodeError) as caught:
        webhooks.unwrap(*testing.sign_webhook(b"[1]", SECRET), SECRET)
    assert caught.value.body == "[1]"


def test_the_body_may_be_anything_that_holds_bytes() -> None:
    body, headers = testing.sign_webhook({}, SECRET)
    bodies: list[Any] = [body, bytearray(body), memoryview(body), body.decode()]
    for one in bodies:
        assert webhooks.unwrap(one, headers, SECRET).version == 2


def test_a_header_or_a_body_that_is_no_text_is_refused() -> None:
    # As servers give them that decode headers with surrogateescape.
    stranger = b"sha256=\xff".decode(errors="surrogateescape")
    assert not verify_webhook_signature(body=b"{}", header=stranger, secret=SECRET)
    assert not verify_webhook_signature(body="\ud800", header="sha256=00", secret=SECRET)
    body, headers = testing.sign_webhook({}, SECRET)
    ours = {"x-meetbot-signature": stranger}
    cases: list[tuple[Any, dict[str, str]]] = [(body, ours), ("\ud800", headers)]
    cases += [(body, {**headers, f"webhook-{name}": stranger}) for name in ("id", "timestamp", "signature")]
    for content, given in cases:
        with pytest.raises(webhooks.MeetbotSignatureError):
            webhooks.unwrap(content, given, SECRET, tolerance=None if given is ours else 300)


def test_only_a_tolerance_of_none_accepts_any_age() -> None:
    body, headers = testing.sign_webhook({}, SECRET, sent_at=time.time() - 9999)
    with pytest.raises(webhooks.MeetbotSignatureError, match="clock"):
        webhooks.unwrap(body, headers, SECRET, tolerance=float("nan"))


@pytest.mark.parametrize("sent", ["abc", "1e3", "", "1" * 400, "1" * 5000])
def test_an_invalid_timestamp_is_refused_also_with_a_valid_signature(sent: str) -> None:
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.digest(key, f"dlv_1.{sent}.{{}}".encode(), "sha256")
    headers = {
        "webhook-id": "dlv_1",
        "webhook-timestamp": sent,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
    with pytest.raises(webhooks.MeetbotSignatureError):
        webhooks.unwrap(b"{}", headers, SECRET)


@pytest.mark.parametrize("end", ["\n", "\r\n", " \t\n", "\u00a0", "\n\ufeff"])
def test_a_secret_from_a_file_is_the_same_secret(end: str) -> None:
    secrets: list[Any] = [SECRET + end, f"\n{SECRET}{end}", [OLD, SECRET + end]]
    secrets += [(SECRET + end).encode(), [OLD.encode(), (SECRET + end).encode()], f"\ufeff{SECRET}".encode()]
    for secret in secrets:
        body, headers = testing.sign_webhook({"event": "job.finalized"}, SECRET)
        assert webhooks.unwrap(body, headers, secret).event == "job.finalized"
        assert verify_webhook_signature(body=body, header=headers["x-meetbot-signature"], secret=secret)
        assert not verify_webhook_signature(body=body + b" ", header=headers["x-meetbot-signature"], secret=secret)
    assert testing.sign_webhook({}, SECRET + end) == testing.sign_webhook({}, SECRET)


@pytest.mark.parametrize(
    ("secret", "named"),
    [(f"\u200b{SECRET}", "U\\+200B as its character 1,"), (f"{SECRET}\u2060".encode(), f"U\\+2060 as its character {len(SECRET) + 1},")],
    ids=["text", "bytes"],
)
def test_an_invisible_character_in_a_secret_is_named(secret: str | bytes, named: str) -> None:
    with pytest.raises(MeetbotConfigurationError, match=named):
        verify_webhook_signature(body=b"{}", header=None, secret=secret)


#: Values that are given instead of a secret by mistake.
NO_SECRETS: list[Any] = [
    None, "", " \n", b"", "mb_live_abc", SECRET.removeprefix("whsec_"), f'"{SECRET}"', "whsec_", SECRET[:-1], f"{SECRET},{OLD}",
    "whsec_\ud800", "whsec_ä", b"\xff\xfe", 7, object(), {"secret": SECRET}, [], (), [None], [SECRET, None], [SECRET, ""], [[SECRET]], bytearray(b"x"),
]  # fmt: skip


@pytest.mark.parametrize("secret", NO_SECRETS, ids=repr)
def test_an_invalid_secret_is_a_configuration_error(secret: Any) -> None:
    body, headers = testing.sign_webhook({"event": "job.finalized"}, SECRET)
    for header in (headers["x-meetbot-signature"], "sha256=00", None):
        with pytest.raises(MeetbotConfigurationError, match="secret") as caught:
            verify_webhook_signature(body=body, header=header, secret=secret)
        assert SECRET.removeprefix("whsec_") not in str(caught.value) and "mb_live" not in str(caught.value)
    for given in (headers, {}):
        with pytest.raises(MeetbotConfigurationError, match="secret"):
            webhooks.unwrap(body, given, secret, tolerance=None)
    if not isinstance(secret, (list, tuple)):
        with pytest.raises(MeetbotConfigurationError, match="secret"):
            testing.sign_webhook({}, secret)


@pytest.mark.parametrize("body", [{"event": "x"}, None, 7, ["x"], object()], ids=repr)
def test_a_parsed_body_is_a_configuration_error(body: Any) -> None:
    _, headers = testing.sign_webhook({}, SECRET)
    with pytest.raises(MeetbotConfigurationError, match=f"body is of the type {type(body).__name__}"):
        verify_webhook_signature(body=body, header=headers["x-meetbot-signature"], secret=SECRET)
    with pytest.raises(MeetbotConfigurationError, match="body"):
        webhooks.unwrap(body, headers, SECRET)


def test_headers_of_another_type_are_a_configuration_error() -> None:
    body, headers = testing.sign_webhook({}, SECRET)
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    wrong: list[Any] = [None, raw, dict(raw), "x"]
    for one in wrong:
        with pytest.raises(MeetbotConfigurationError, match="headers"):
            webhooks.unwrap(body, one, SECRET)
    header: Any = headers["x-meetbot-signature"].encode()
    with pytest.raises(MeetbotConfigurationError, match="header"):
        verify_webhook_signature(body=body, header=header, secret=SECRET)
