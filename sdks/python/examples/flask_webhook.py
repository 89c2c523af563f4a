import os
from flask import Flask, request, abort
from meetbot import verify_webhook_signature

app = Flask(__name__)
WEBHOOK_SECRET = os.environ["MEETBOT_WEBHOOK_SECRET"]  # whsec_…

@app.post("/webhook/meetbot")
def meetbot_hook():
    raw = request.get_data()  # bytes — do NOT use request.json
    if not verify_webhook_signature(
        body=raw,
        header=request.headers.get("X-Meetbot-Signature"),
        secret=WEBHOOK_SECRET,
    ):
        abort(401)

    event = request.get_json()
    if event["data"]["event"] == "job.finalized":
        manifest_uri = event["data"]["manifestUri"]
        process_recording_async(event["data"]["jobId"], manifest_uri)
    return "ok"
