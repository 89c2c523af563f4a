/** Receives webhooks in Fastify: the plugin keeps the raw body in a scope of its own, and other routes parse JSON as before. */

import Fastify from "fastify";
import { fastifyWebhooks } from "@meetbot/sdk/webhooks";

const app = Fastify();
app.register(fastifyWebhooks, {
  path: "/webhook/meetbot",
  secret: process.env.MEETBOT_WEBHOOK_SECRET ?? "",
  onEvent(event) {
    if (event.event === "job.finalized") console.log("recorded:", event.data.jobId, event.data.manifestUri);
  },
});
await app.listen({ port: 8000 });
