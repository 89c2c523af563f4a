/** Receives webhooks in a Cloudflare Worker; `webhookHandler` alone is what `Deno.serve`, `Bun.serve({ fetch })` and a route of Next.js take. */

import { webhookHandler } from "@meetbot/sdk/webhooks";

interface Environment {
  MEETBOT_WEBHOOK_SECRET: string;
}

let handler: ReturnType<typeof webhookHandler> | undefined;

export default {
  fetch(request: Request, environment: Environment): Promise<Response> {
    // Made once, so that a webhook which comes again is known.
    handler ??= webhookHandler({
      secret: environment.MEETBOT_WEBHOOK_SECRET,
      onEvent(event) {
        if (event.event === "job.finalized") console.log("recorded:", event.data.jobId, event.data.manifestUri);
      },
    });
    return handler(request);
  },
};
