/** A typical program in any runtime: a meeting from its dispatch to its recording, and webhooks. Uses only features of all runtimes. */

import { MeetBot, isFinal, verifyWebhookSignature, type ManifestFile, type Options } from "@meetbot/sdk";
import { signWebhook } from "@meetbot/sdk/testing";
import { unwrap, webhookHandler } from "@meetbot/sdk/webhooks";

const SECRET = "whsec_dGVzdA==";

function holds(condition: boolean, what: string): void {
  if (!condition) throw new Error(`it does not hold that ${what}`);
}

/** Returns a line for each step; throws at the first failure. */
export async function story(options: Options): Promise<string[]> {
  const result: string[] = [];
  const mb = new MeetBot(options);

  const meetingUrl = "https://sandbox.meetbot.dev/two-speakers?seconds=3";
  const { data: job, response } = await mb.dispatchBot({ meetingUrl, displayName: "Acme Notetaker 👋" }).withResponse();
  holds(response.status === 201 && response.attempts === 1, "a dispatch makes a job at its first try");
  result.push(`dispatched ${job.status}`);

  let sequence = 0;
  for await (const event of mb.watch(job.id)) {
    holds(event.data.sequence === ++sequence, "no event is missed");
    if (event.data.status === "recording") break;
  }
  const ended = await mb.waitForBot(job.id);
  holds(isFinal(ended.status), "a wait goes on to the end");
  result.push(`watched, and waited until it was ${ended.status}`);

  const manifest = await mb.manifest(job.id);
  const file = manifest.files.find((one) => one.name === "events.jsonl") as ManifestFile;
  let bytes = 0;
  for await (const piece of mb.artifactStream(job.id, file.name as string, { expected: file })) bytes += piece.length;
  holds(bytes === file.bytes, "a download is as long as the manifest says");
  const other = mb.artifactStream(job.id, file.name as string, { expected: { ...file, sha256: "00".repeat(32) } });
  result.push(`downloaded, with another hash: ${await kindOf(async () => { for await (const _ of other); })}`);

  holds((await mb.getBot("job_01KAB1CDEFGHJKMNPQRSTVWXYZ")) === null, "a job that is not there is null");
  result.push(`a wrong request: ${await kindOf(() => mb.dispatchBot({ meetingUrl: "not-a-url" }))}`);
  holds((await aborted(mb)) === "given up", "a call that is aborted rejects with the signal's reason");

  const { body, headers } = signWebhook({ event: "job.finalized", jobId: job.id }, SECRET);
  const header = headers["x-meetbot-signature"];
  holds(verifyWebhookSignature({ body, header, secret: SECRET }), "a signature is verified");
  holds(!verifyWebhookSignature({ body, header, secret: "whsec_b3RoZXI=" }), "one of another secret is not");
  holds(unwrap(body, headers, SECRET).data.jobId === job.id, "a webhook is read");
  const events: string[] = [];
  const handler = webhookHandler({ secret: SECRET, onEvent: (event) => void events.push(event.event) });
  const post = async (sent: Uint8Array): Promise<number> => (await handler(new Request("https://hook.invalid/", { method: "POST", body: sent as BodyInit, headers }))).status;
  result.push(`a receiver: ${await post(body)}, again ${await post(body)}, changed ${await post(Uint8Array.of(...body, 32))}, took ${events}`);
  return result;
}

/** The expected lines. */
export const EXPECTED: readonly string[] = [
  "dispatched queued",
  "watched, and waited until it was completed",
  "downloaded, with another hash: decode",
  "a wrong request: validation",
  "a receiver: 200, again 200, changed 401, took job.finalized",
];

async function kindOf(act: () => PromiseLike<unknown>): Promise<string> {
  try {
    await act();
  } catch (error) {
    return String((error as { kind?: unknown }).kind ?? error);
  }
  return "nothing";
}

async function aborted(mb: MeetBot): Promise<unknown> {
  const controller = new AbortController();
  const call = mb.listBots({}, { signal: controller.signal }).then(() => "an answer", (reason: unknown) => reason);
  controller.abort("given up");
  return call;
}
