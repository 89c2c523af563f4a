/** Receives webhooks with `node:http`: verified, fresh, each once, and typed. */

import { createServer } from "node:http";
import { nodeWebhookHandler } from "@meetbot/sdk/webhooks";

const secret = process.env.MEETBOT_WEBHOOK_SECRET ?? "";
const handler = nodeWebhookHandler({
  secret,
  onEvent(event) {
    switch (event.event) {
      case "job.finalized":
        console.log("recorded:", event.data.jobId, event.data.manifestUri);
        break;
      case "job.failed":
        console.log("failed:", event.data.jobId, event.data.failureCode);
        break;
    }
  },
});
createServer(handler).listen(8000);
