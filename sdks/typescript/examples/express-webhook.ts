/** Receives webhooks in Express, with the signature alone: it refuses no replays. */

import express from "express";
import { verifyWebhookSignature } from "@meetbot/sdk";

const secret = process.env.MEETBOT_WEBHOOK_SECRET ?? ""; // whsec_…
const app = express();

// The raw body: what is parsed and printed again has another signature.
app.post("/webhook/meetbot", express.raw({ type: "application/json" }), (request, response) => {
  if (!verifyWebhookSignature({ body: request.body, header: request.get("X-Meetbot-Signature"), secret })) {
    response.sendStatus(401);
    return;
  }
  const event = JSON.parse(request.body.toString());
  if (event.data.event === "job.finalized") {
    console.log("recorded:", event.data.jobId, event.data.manifestUri);
  }
  response.send("ok");
});

app.listen(8000);
