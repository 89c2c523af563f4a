"""docs/webhooks.md: each of its verifiers judges the vectors that every SDK's does, and its commands are typed."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from snippets import ROOT, heard, programs, running, snippets

from meetbot import MeetBot, MeetbotConfigurationError, testing

DOCUMENT = "docs/webhooks.md"
SECRET = "whsec_dGVzdA=="
VECTORS = ROOT / "spec" / "vectors" / "webhook_signatures.json"


def test_the_commands_of_the_readme_work(tmp_path: Path) -> None:
    first, ledger, follow, rotate = snippets(DOCUMENT, "sh")
    export, listen, forward = (line.partition(" #")[0] for line in first.splitlines())
    assert [line.split()[:3] for line in (listen, forward)] == [["meetbot", "webhooks", "listen"]] * 2
    environment = {"PATH": programs(tmp_path / "bin", {}), "MEETBOT_SERVER_LISTEN": "127.0.0.1:0"}

    def typed(block: str) -> str:
        ran = subprocess.run(
            ["sh", "-ec", block], cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    @contextmanager
    def listening(line: str) -> Iterator[tuple[Queue[str], str]]:
        command = ["sh", "-ec", f"{export}\n{line} --listen 127.0.0.1:0"]
        with running(command, tmp_path, environment) as lines:
            yield lines, heard(lines, "listening: ").split()[2]

    assert "`meetbot serve --dev`" in (ROOT / DOCUMENT).read_text()
    with running(["meetbot", "serve", "--dev"], tmp_path, environment, terminal=True) as server:
        environment["MEETBOT_API_BASE_URL"] = heard(server, "serves at").split()[3]
        environment["MEETBOT_API_KEY"] = heard(server, "MEETBOT_API_KEY").partition("=")[2]
        mb = MeetBot(environment["MEETBOT_API_KEY"], environment["MEETBOT_API_BASE_URL"])
        with listening(listen) as (came, last), listening(forward.replace("http://localhost:8000/webhook/meetbot", last)) as (passed_on, url):
            job = mb.dispatch_bot(
                meeting_url="https://sandbox.meetbot.dev/two-speakers?seconds=5", on_finalize_url=url
            )
            for lines in (passed_on, came):
                heard(lines, "job.finalized")
            (delivery,) = mb.deliveries(job_id=job.id).data
            said = typed(ledger.replace("dlv_…", delivery.id).replace("URL", url))
            assert delivery.id in said and f"{url} took the test event" in said
            for lines in (passed_on, came):
                heard(lines, "job.finalized")
        # As a list, which ends.
        listed = typed(follow.replace("text/event-stream", "application/json"))
        assert [event["data"]["jobId"] for event in json.loads(listed)["data"]] == [job.id]
        (secret,) = typed(rotate).split()
        assert typed("meetbot webhooks secret").split() == [secret]


def vectors(kind: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(VECTORS.read_text())[kind]
    assert len(cases) >= 8
    return cases


def function(snippet: str, name: str) -> Any:
    """A function that a Python snippet defines."""
    scope: dict[str, Any] = {}
    exec(compile(snippet, DOCUMENT, "exec"), scope)
    return scope[name]


def test_python_verifies_as_the_vectors_say() -> None:
    plain, bounded, rotating = snippets(DOCUMENT, "python")
    is_from_meetbot = function(plain, "is_from_meetbot")
    during_a_rotation = function(rotating, "is_from_meetbot_during_a_rotation")
    for case in vectors("cases"):
        headers = {"X-Meetbot-Signature": case["header"]} if case["header"] else {}
        body, secret = case["body"].encode(), case["secret"]
        if case.get("error"):
            with pytest.raises(MeetbotConfigurationError):
                is_from_meetbot(body, headers, secret)
            continue
        assert is_from_meetbot(body, headers, secret) is case["valid"], case["name"]
        assert during_a_rotation(body, headers, ["whsec_b3RoZXI=", secret]) is case["valid"]

    says = function(bounded, "what_meetbot_says")
    data = {"event": "job.finalized", "manifestUri": "file:///m.json"}
    body, headers = testing.sign_webhook(data, SECRET)
    assert says(body, headers, SECRET) == "recorded: file:///m.json"
    assert says(body + b" ", headers, SECRET).startswith("401 ")
    body, headers = testing.sign_webhook(data, SECRET, sent_at=time.time() - 301)
    assert says(body, headers, SECRET).startswith("401 ")


JUDGE_IN_JAVASCRIPT = """
import { readFileSync } from "node:fs";
import { verifyWebhookSignature } from "./plain.mjs";
import { verifyStandardWebhook } from "./standard.mjs";

const vectors = JSON.parse(readFileSync(process.argv[2]));
const wrong = [];
const judged = (verify, argument) => {
  try {
    return verify(argument);
  } catch (error) {
    return error.message.split(":")[0];
  }
};
for (const { name, body, header, secret, valid } of vectors.cases) {
  const found = judged(verifyWebhookSignature, { body: Buffer.from(body), header: header ?? undefined, secret });
  if (found !== (valid ?? "secret")) wrong.push(name);
}
for (const { name, id, timestamp, body, header, secret, valid } of vectors.standard) {
  const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": header };
  const at = (seconds) => judged(verifyStandardWebhook, { body, headers, secret, now: Number(timestamp) + seconds });
  if (at(299) !== (valid ?? "secret") || (valid !== undefined && (at(301) || at(-301)))) wrong.push(name);
}
const { body, header, secret } = vectors.cases[0];
for (const verify of [verifyWebhookSignature, verifyStandardWebhook]) {
  for (const none of [undefined, null, 7, {}, [secret]]) {
    if (judged(verify, { body, header, headers: {}, secret: none }) !== "secret") wrong.push(`${verify.name} ${none}`);
  }
  for (const parsed of [undefined, null, {}, [1]]) {
    if (judged(verify, { body: parsed, header, headers: {}, secret }) !== "body") wrong.push(`${verify.name} ${parsed}`);
  }
}
console.log(JSON.stringify(wrong));
"""


def test_javascript_verifies_as_the_vectors_say(tmp_path: Path) -> None:
    plain, standard = snippets(DOCUMENT, "js")
    (tmp_path / "plain.mjs").write_text(plain)
    (tmp_path / "standard.mjs").write_text(standard)
    (tmp_path / "judge.mjs").write_text(JUDGE_IN_JAVASCRIPT)
    said = subprocess.check_output(["node", "judge.mjs", VECTORS], cwd=tmp_path, text=True)
    assert json.loads(said) == []
