"""How `request` handles the redirects of `spec/vectors/redirects.json`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scripted_server import VECTORS

import meetbot
from meetbot import MeetBot, Request, Response


def redirected(case: dict[str, Any]) -> None:
    """A call by `request` that is redirected."""
    base_url = json.loads((VECTORS / "redirects.json").read_text())["baseUrl"]
    responses = [
        Response(one["status"], {"Location": one["location"]} if one["location"] is not None else {}, b"elsewhere")
        for one in case["redirects"]
    ]
    requests: list[Request] = []

    def transport(request: Request) -> Response:
        requests.append(request)
        return (responses + [Response(200, {}, b"elsewhere")])[len(requests) - 1]

    mb = MeetBot("mb_test_0123456789", base_url, transport=transport)

    def call() -> bytes:
        return mb.request(case["method"], case["path"], headers={"range": "bytes=0-9", "x-team": "a"}).body

    expect = case["error"]
    if expect is None:
        assert call() == b"elsewhere"
    else:
        with pytest.raises(meetbot.MeetbotUnexpectedStatusError) as caught:
            call()
        found = caught.value
        assert expect["message"] in str(found)
        assert (found.status, found.attempts) == (expect["status"], 1)
        assert (found.body or None) == (None if "more than" in str(found) else "elsewhere")
        assert "Signature" not in f"{found} {found!r}"
    assert [request.url for request in requests[1:]] == case["asked"]
    for index, request in enumerate(requests):
        names = {name.lower() for name in request.headers}
        assert {"accept", "range", "user-agent"} <= names
        assert ("authorization" in names, "x-team" in names) == (index == 0, index == 0)
