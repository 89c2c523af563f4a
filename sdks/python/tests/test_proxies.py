"""Connecting to a server: proxies from settings and from the environment, base URLs, and servers that do not speak the expected protocol."""

from __future__ import annotations

import base64
import itertools
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from scripted_server import KEY, ScriptedServer, a_job, answer, refusal

from meetbot import (
    AsyncMeetBot,
    HttpxTransport,
    MeetBot,
    MeetbotConfigurationError,
    MeetbotConnectionError,
    MeetbotUnexpectedStatusError,
)

ID = "job_01KAB1CDEFGHJKMNPQRSTVWXYZ"

VARIABLES = [
    name
    for lower in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "request_method")
    for name in (lower, lower.upper())
]

#: Passwords as they are made and as they are read from files, and the user's part as the proxy is to get it.
SPELLINGS = [
    ("http://user:a|b@{}", "user:a|b"),
    ("http://{}\n", None),
    ("{}", None),
    ("http://user:a b@{}", "user:a b"),
    ("http://user:ä@{}", "user:ä"),
    ('http://user:^"{{}}[]@{}', 'user:^"{}[]'),
    ("http://user:p@ss@{}", "user:p@ss"),
    ("http://user:p%40ss@{}/\r\n", "user:p@ss"),
]

#: Invalid proxies.
UNUSABLE = ["socks5://127.0.0.1:1", "http://me:s3cret#w@127.0.0.1:1", "http://127.0.0.1:s3cret", "ftp://s3cret@127.0.0.1", "http://me:s3\ncret@127.0.0.1:1"]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def proxy(scripted: Any) -> ScriptedServer:
    found: ScriptedServer = scripted(answer(a_job("recording")))
    return found


def asked(proxy: ScriptedServer) -> list[tuple[str, str | None]]:
    return [(request.path, request.headers.get("proxy-authorization")) for request in proxy.requests]


@pytest.mark.parametrize(("spelling", "plain"), SPELLINGS)
def test_a_proxy_is_used_however_it_is_spelt(
    spelling: str, plain: str | None, proxy: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = proxy.url.removeprefix("http://")
    url = spelling.format(address)
    # There is no such server.
    server = "http://meetbot.invalid"
    assert MeetBot(KEY, server, proxy=url).get_bot(ID)
    monkeypatch.setenv("HTTP_PROXY", url)
    assert MeetBot(KEY, server).get_bot(ID)
    expected = None if plain is None else "Basic " + base64.b64encode(plain.encode()).decode()
    assert asked(proxy) == [(f"{server}/api/v1/jobs/{ID}", expected)] * 2


@pytest.mark.parametrize("url", [*UNUSABLE, "", " \n"])
@pytest.mark.parametrize("kind", [MeetBot, AsyncMeetBot])
def test_a_proxy_that_cannot_be_used_is_an_error_that_shows_no_password(
    url: str, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MeetbotConfigurationError, match="^the proxy ") as caught:
        kind(KEY, "http://127.0.0.1:1", proxy=url)
    assert "s3" not in str(caught.value)
    for name, server in [("HTTP_PROXY", "http://x"), ("https_proxy", "https://x"), ("ALL_PROXY", "https://x")]:
        monkeypatch.setenv(name, url)
        if not url.strip():
            kind(KEY, server)
        else:
            with pytest.raises(MeetbotConfigurationError, match=name) as caught:
                kind(KEY, server)
            assert "s3" not in str(caught.value)
        monkeypatch.delenv(name)


def test_tls_and_proxy_settings_are_refused_with_a_custom_transport() -> None:
    with httpx.Client() as client:
        for given in ({"proxy": "http://127.0.0.1:1"}, {"ca_bundle": b"x"}, {"client_cert": b"x"}):
            settings: dict[str, Any] = given
            with pytest.raises(MeetbotConfigurationError, match=next(iter(given))):
                MeetBot(KEY, transport=HttpxTransport(client), **settings)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_a_server_on_loopback_is_reached_directly_but_by_a_proxy_that_is_set(
    name: str, proxy: ScriptedServer, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted(answer(a_job("recording")))
    monkeypatch.setenv(name, proxy.url)
    for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
        assert MeetBot(KEY, url).get_bot(ID)
    assert (len(proxy.requests), len(server.requests)) == (0, 2)
    assert MeetBot(KEY, server.url, proxy=proxy.url).get_bot(ID)
    assert (len(proxy.requests), len(server.requests)) == (1, 2)


@pytest.mark.parametrize("kind", [MeetBot, AsyncMeetBot])
def test_an_unencrypted_key_gives_one_warning(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    for url in ("http://127.0.0.1:3010", "http://localhost:3010", "https://meetbot.example"):
        kind(KEY, url)
    assert caplog.records == []
    mb = kind(KEY, "http://meetbot.example:3010")
    mb.with_options(timeout=1)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("meetbot", "WARNING")
    assert "http://meetbot.example:3010" in record.getMessage() and KEY not in record.getMessage()


#: Without type stubs.
bypassed: Callable[..., Any] = getattr(urllib.request, "proxy_bypass_environment")

#: Exceptions that Python reads otherwise, and for which servers. It knows neither networks nor ports that are not written out, and takes white
#: space for part of a name and an address for a name with others below it.
OTHERWISE = {
    "other.example *": True,
    "other.example,*": True,
    "fd00::1": True,
    "10.0.0.0/8": True,
    "*.example.com": True,
    "a.example b.example": True,
    "bücher.example": True,
    "example.com:80": True,
    "1.2.3": False,
}


@pytest.mark.parametrize(
    "exceptions",
    [
        "", "*", "intranet", "INTRANET", "intranet,10.1.2.3", " intranet , 10.1.2.3 ", "10.1.2.3:3010", "intranet:3010",
        "[fd00::1]", "[fd00::1]:3010", "example.com", ".example.com", "..example.com", "xample.com", "com", "a.example.com", "example.com:3010",
        "10.1.2.3", "10.1.2.3:1", ",,", *OTHERWISE,
    ],
)  # fmt: skip
def test_no_proxy_is_read_as_pythons_own_urllib_reads_it(exceptions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # An unusable proxy gives an error if it would be used.
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", exceptions)
    hosts = ["intranet", "10.1.2.3", "[fd00::1]", "example.com", "a.example.com", "badexample.com", "b.example", "xn--bcher-kva.example"]
    differ = set()
    for host, port in itertools.product(hosts, ["", ":3010", ":1"]):
        try:
            MeetBot(KEY, f"http://{host}{port}")
            ours = True
        except MeetbotConfigurationError:
            ours = False
        if ours != bool(bypassed(host + port, {"no": exceptions} if exceptions else {})):
            differ.add(ours)
    expected = {OTHERWISE[exceptions]} if exceptions in OTHERWISE else set()
    assert differ == expected


def test_the_proxy_variable_that_cgi_clients_can_set_is_ignored(
    proxy: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = "http://meetbot.invalid"
    monkeypatch.setenv("REQUEST_METHOD", "GET")
    # One that cannot be used would be an error.
    monkeypatch.setenv("HTTP_PROXY", UNUSABLE[0])
    MeetBot(KEY, server)
    monkeypatch.setenv("http_proxy", proxy.url)
    assert MeetBot(KEY, server).get_bot(ID)
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("end", ["/api/v1", "/api/v1/", "/api/v1\n"])
def test_a_base_url_may_end_in_the_version(end: str, client: Any, scripted: Any) -> None:
    server = scripted(answer(a_job("recording")))
    mb = client(server.url + end)
    assert mb.get_bot(ID).status == "recording" and mb.base_url == server.url
    assert server.requests[0].path == f"/api/v1/jobs/{ID}"
    behind = client(f"{server.url}/behind{end}")
    assert behind.get_bot(ID) and behind.base_url == f"{server.url}/behind"


@pytest.mark.parametrize("wrong", ["?x=1", "#x", " x", "/a b", "/a\tb"])
def test_an_invalid_base_url_is_an_error(wrong: str) -> None:
    with pytest.raises(MeetbotConfigurationError, match="base URL"):
        MeetBot(KEY, f"http://127.0.0.1:3010{wrong}")


def test_only_a_not_found_of_meetbot_is_none(client: Any, scripted: Any) -> None:
    others = [refusal(404, "no_such_path"), answer(b"<html>nginx</html>", 404), answer({"detail": "Not Found"}, 404)]
    for other in others:
        mb = client(scripted(other).url)
        for call in (mb.get_bot, mb.get_delivery):
            with pytest.raises(MeetbotUnexpectedStatusError, match="base URL") as caught:
                call(ID)
            assert caught.value.status == 404
    mb = client(scripted(refusal(404, "not_found")).url)
    assert mb.get_bot(ID) is None and mb.get_delivery("dlv_1") is None


@contextmanager
def speaking(said: bytes) -> Iterator[int]:
    """The port of a server that answers any input with these bytes, and disconnects."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak() -> None:
            while True:
                connection, _ = listener.accept()
                with connection:
                    if not connection.recv(16_384):
                        return
                    connection.sendall(said)

        thread = threading.Thread(target=speak)
        thread.start()
        port = listener.getsockname()[1]
        yield port
        # A connection without input ends it.
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join()


@pytest.mark.parametrize(
    ("scheme", "said", "right"),
    [
        ("https", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "with http://"),
        ("http", b"\x15\x03\x03\x00\x02\x02\x46", "with https://"),
    ],
)
def test_an_error_hints_at_the_wrong_scheme(
    scheme: str, said: bytes, right: str, client: Any
) -> None:
    with speaking(said) as port:
        url = f"{scheme}://127.0.0.1:{port}"
        with pytest.raises(MeetbotConnectionError, match=right):
            client(url, max_retries=0).get_bot(ID)
        with httpx.Client() as inner, pytest.raises(MeetbotConnectionError, match=right):
            MeetBot(KEY, url, max_retries=0, transport=HttpxTransport(inner)).get_bot(ID)


def test_an_answer_that_is_not_http_is_shown(client: Any) -> None:
    with speaking(f"SSH-2.0-{KEY} {'x' * 10_000}\r\n\r\n".encode()) as port:
        url = f"http://127.0.0.1:{port}"
        with pytest.raises(MeetbotConnectionError, match="begins with .SSH-2.0-mb_…") as ours:
            client(url, max_retries=0).get_bot(ID)
        with httpx.Client() as inner, pytest.raises(MeetbotConnectionError, match="SSH-2.0-mb_…") as theirs:
            MeetBot(KEY, url, max_retries=0, transport=HttpxTransport(inner)).get_bot(ID)
    for error in (ours, theirs):
        assert KEY not in str(error.value) and "https://" not in str(error.value)
        assert len(str(error.value)) < 600
