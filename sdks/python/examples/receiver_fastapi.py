"""Receives webhooks with FastAPI: `uvicorn receiver_fastapi:app --port 8000` (pip install fastapi uvicorn)."""

import os

from fastapi import FastAPI, HTTPException, Request

from meetbot import webhooks

app = FastAPI()

# Two while the secret is rotated, with a comma between them.
SECRETS = os.environ["MEETBOT_WEBHOOK_SECRET"].split(",")


@app.post("/webhook/meetbot")
async def meetbot_hook(request: Request) -> str:
    raw = await request.body()  # bytes: what is parsed and printed again has another signature
    try:
        event = webhooks.unwrap(raw, request.headers, SECRETS)
    except webhooks.MeetbotSignatureError:
        raise HTTPException(401) from None
    # Keep `event.delivery_id` where you keep your data: a delivery may come twice.
    if isinstance(event.data, webhooks.Finalized):
        print("recorded:", event.data.job_id, event.data.manifest_uri, flush=True)
    elif isinstance(event.data, webhooks.Failed):
        print("failed:", event.data.job_id, event.data.failure_code, flush=True)
    return "ok"
