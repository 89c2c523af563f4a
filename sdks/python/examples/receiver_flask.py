"""Receives webhooks with Flask: `flask --app receiver_flask run --port 8000` (pip install flask)."""

import os

from flask import Flask, abort, request

from meetbot import webhooks

app = Flask(__name__)

# Two while the secret is rotated, with a comma between them.
SECRETS = os.environ["MEETBOT_WEBHOOK_SECRET"].split(",")


@app.post("/webhook/meetbot")
def meetbot_hook() -> str:
    raw = request.get_data()  # bytes: what is parsed and printed again has another signature
    try:
        event = webhooks.unwrap(raw, request.headers, SECRETS)
    except webhooks.MeetbotSignatureError:
        abort(401)
    # Keep `event.delivery_id` where you keep your data: a delivery may come twice.
    if isinstance(event.data, webhooks.Finalized):
        print("recorded:", event.data.job_id, event.data.manifest_uri, flush=True)
    elif isinstance(event.data, webhooks.Failed):
        print("failed:", event.data.job_id, event.data.failure_code, flush=True)
    return "ok"
