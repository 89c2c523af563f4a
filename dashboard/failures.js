// What failure codes mean. Made from crates/types/src/failure.rs by its tests; `cargo xtask update` rewrites it.

/** @type {Record<string, {billed: boolean, retryable: boolean, advice: string} | undefined>} */
export const FAILURES = {
  waiting_for_host: { billed: false, retryable: true, advice: "Send a bot again when the host is there, or tell the user that nobody had started the meeting." },
  meeting_not_found: { billed: false, retryable: false, advice: "Tell the user that the meeting's URL is wrong or no longer valid." },
  host_denied_admission: { billed: false, retryable: false, advice: "Do not retry by itself: ask the host before sending another bot." },
  removed_from_meeting: { billed: true, retryable: false, advice: "Respect it: someone took the bot out. What was recorded until then is in the manifest." },
  meeting_ended: { billed: false, retryable: false, advice: "Nothing to record: the meeting was over. Check the time of the meeting." },
  internal_error: { billed: false, retryable: true, advice: "Retry; if it happens again, report it with the job's id." },
  dispatch_timeout: { billed: false, retryable: true, advice: "Retry later, or add workers: no bot could be started in time." },
  network_loss: { billed: true, retryable: true, advice: "Retry if the meeting still goes on. What was recorded until then, if anything, is in the manifest." },
  recording_disabled: { billed: false, retryable: false, advice: "Ask the host to allow recording for this meeting." },
  lobby_timeout: { billed: false, retryable: true, advice: "Ask the host to admit the bot, then send another." },
  auth_failure: { billed: false, retryable: false, advice: "Check the passcode in the meeting's URL, or whether the meeting needs a login." },
  quota_exceeded: { billed: true, retryable: false, advice: "Wait for the next period or raise the quota or bound that the detail names. What was recorded until then is in the manifest." },
  bot_blocked: { billed: false, retryable: false, advice: "Do not retry by itself: further tries make the platform trust the server's address less. Ask the server's operator to set what the detail names." },
  registration_required: { billed: false, retryable: false, advice: "Do not retry: ask the host for a meeting, or for a link to it, that needs no registration." },
  meeting_full: { billed: false, retryable: true, advice: "Retry later, or ask the host to make room for the bot." },
};
