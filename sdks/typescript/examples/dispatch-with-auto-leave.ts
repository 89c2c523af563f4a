/** Dispatches a bot to a meeting of a later day, with rules for leaving and data of your own. */

import { createMeetbot } from "@meetbot/sdk";

const mb = createMeetbot();
const job = await mb.dispatchBot({
  externalId: "q2-board-meeting-acme",
  meetingUrl: "https://sandbox.meetbot.dev/two-speakers",
  joinAt: new Date("2026-05-15T14:00:00Z"),
  displayName: "Acme Notetaker",
  onFinalizeUrl: "https://api.acme.example/meetbot/finalize",
  metadata: { customer_id: "cust_4711" },
  autoLeave: { afterEntryDelaySeconds: 300, afterMaxSeconds: 7200, onBotDetected: true },
});
console.log(job.id, job.status, job.joinAt);
