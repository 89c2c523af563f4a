"""TLS with a private authority and client certificates."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from scripted_server import a_job

from meetbot import MeetbotConfigurationError, MeetbotConnectionError

ID = "job_01KAB1CDEFGHJKMNPQRSTVWXYZ"


class Answers(BaseHTTPRequestHandler):
    """Answers every GET with a job."""

    def do_GET(self) -> None:
        body = json.dumps(a_job()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Logs nothing."""


class Server(ThreadingHTTPServer):
    """Ignores handshakes that fail because the client has no certificate."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Logs nothing."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def demanding(authority: trustme.CA) -> Iterator[str]:
    """The URL of a server that shows a certificate of the authority, and demands one."""
    server = Server(("127.0.0.1", 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://localhost:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_demands_a_certificate_gets_it(
    client: Any, demanding: str, authority: trustme.CA, tmp_path: Path
) -> None:
    roots = authority.cert_pem.bytes()
    mine = authority.issue_cert("me@example.org")
    both = mine.private_key_and_cert_chain_pem.bytes()
    whole, key, chain = tmp_path / "whole.pem", tmp_path / "key.pem", tmp_path / "chain.pem"
    whole.write_bytes(both)
    mine.private_key_pem.write_to_path(key)
    mine.cert_chain_pems[0].write_to_path(chain)
    for given in [both, whole, str(whole), (chain, key), (str(chain), key.read_bytes())]:
        mb = client(demanding, ca_bundle=roots, client_cert=given, max_retries=0)
        assert mb.get_bot(ID).id == ID
    with pytest.raises(MeetbotConnectionError, match="ertificate"):
        client(demanding, ca_bundle=roots, max_retries=0).get_bot(ID)


def test_a_certificate_that_cannot_be_used_is_an_error_without_its_key(
    client: Any, authority: trustme.CA, tmp_path: Path
) -> None:
    mine, anothers = authority.issue_cert("me@example.org"), authority.issue_cert("you@example.org")
    chain, key = mine.cert_chain_pems[0].bytes(), mine.private_key_pem.bytes()
    encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
    for wrong, message in [
        (tmp_path / "nowhere.pem", "cannot be read.*nowhere.pem"),
        ((chain, tmp_path / "nowhere.pem"), "key cannot be read.*nowhere.pem"),
        (b"no PEM", "holds no certificate"),
        (chain, "without its private key"),
        ((chain, encrypted), "encrypted"),
        ((chain, anothers.private_key_pem.bytes()), "cannot be used together"),
    ]:
        with pytest.raises(MeetbotConfigurationError, match=message) as error:
            client("https://localhost:1", client_cert=wrong)
        assert key.decode().splitlines()[1] not in str(error.value)
