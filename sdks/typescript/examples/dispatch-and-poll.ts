/** Dispatches a bot, and asks for its job every five seconds until it has ended. */

import { createMeetbot, isFinal } from "@meetbot/sdk";

const mb = createMeetbot({ apiKey: process.env.MEETBOT_API_KEY });
const job = await mb.dispatchBot({
  externalId: "lesson-2026-05-09-pavel",
  meetingUrl: "https://sandbox.meetbot.dev/two-speakers",
  displayName: "Acme Notetaker",
});
console.log(`dispatched ${job.id} → ${job.status}`);

for (;;) {
  const snapshot = await mb.getBot(job.id);
  if (snapshot === null) throw new Error("there is no such job");
  console.log(snapshot.status);
  if (isFinal(snapshot.status)) {
    console.log("manifest:", snapshot.manifestUri);
    break;
  }
  await new Promise((resolve) => setTimeout(resolve, 5000));
}
