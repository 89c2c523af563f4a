//! Why a job failed, who pays for it, and what to do about it.

use serde::{Deserialize, Serialize};

words! {
    /// The machine-readable reason of a failed job.
    pub enum FailureCode {
        /// In the waiting room; the host did not come in time.
        WaitingForHost = "waiting_for_host",
        /// There is no such meeting.
        MeetingNotFound = "meeting_not_found",
        /// The host refused the bot.
        HostDeniedAdmission = "host_denied_admission",
        /// Kicked out, or disconnected by the meeting.
        RemovedFromMeeting = "removed_from_meeting",
        /// The meeting was over before anything was recorded.
        MeetingEnded = "meeting_ended",
        /// Something broke on our side.
        InternalError = "internal_error",
        /// No worker could start a bot in time.
        DispatchTimeout = "dispatch_timeout",
        /// The connection to the meeting was lost and did not come back.
        NetworkLoss = "network_loss",
        /// The meeting does not allow recording.
        RecordingDisabled = "recording_disabled",
        /// Nobody let the bot in.
        LobbyTimeout = "lobby_timeout",
        /// The meeting did not accept the passcode or the login.
        AuthFailure = "auth_failure",
        /// The consumer's quota was used up, or the meeting took more of the server than one meeting may.
        QuotaExceeded = "quota_exceeded",
        /// The platform refused the bot's browser, address or account as automated.
        BotBlocked = "bot_blocked",
        /// The meeting admits only people who have registered for it.
        RegistrationRequired = "registration_required",
        /// The meeting has as many participants as it takes.
        MeetingFull = "meeting_full",
    }
}

impl FailureCode {
    /// Whether the minutes in the meeting are billed. A code that is not known is not billed.
    pub fn billed(&self) -> bool {
        matches!(self, Self::RemovedFromMeeting | Self::NetworkLoss | Self::QuotaExceeded)
    }

    /// Whether sending another bot to the same meeting may help, without anybody changing anything.
    pub fn retryable(&self) -> bool {
        matches!(
            self,
            Self::WaitingForHost
                | Self::InternalError
                | Self::DispatchTimeout
                | Self::NetworkLoss
                | Self::LobbyTimeout
                | Self::MeetingFull
        )
    }

    /// What the caller who dispatched the bot should do.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::WaitingForHost => {
                "Send a bot again when the host is there, or tell the user that nobody had started the meeting."
            }
            Self::MeetingNotFound => {
                "Tell the user that the meeting's URL is wrong or no longer valid."
            }
            Self::HostDeniedAdmission => {
                "Do not retry by itself: ask the host before sending another bot."
            }
            Self::RemovedFromMeeting => {
                "Respect it: someone took the bot out. What was recorded until then is in the manifest."
            }
            Self::MeetingEnded => {
                "Nothing to record: the meeting was over. Check the time of the meeting."
            }
            Self::InternalError => "Retry; if it happens again, report it with the job's id.",
            Self::DispatchTimeout => {
                "Retry later, or add workers: no bot could be started in time."
            }
            Self::NetworkLoss => {
                "Retry if the meeting still goes on. What was recorded until then, if anything, is in the manifest."
            }
            Self::RecordingDisabled => "Ask the host to allow recording for this meeting.",
            Self::LobbyTimeout => "Ask the host to admit the bot, then send another.",
            Self::AuthFailure => {
                "Check the passcode in the meeting's URL, or whether the meeting needs a login."
            }
            Self::QuotaExceeded => {
                "Wait for the next period or raise the quota or bound that the detail names. What was recorded until then is in the manifest."
            }
            Self::BotBlocked => {
                "Do not retry by itself: further tries make the platform trust the server's address less. Ask the server's operator to set what the detail names."
            }
            Self::RegistrationRequired => {
                "Do not retry: ask the host for a meeting, or for a link to it, that needs no registration."
            }
            Self::MeetingFull => "Retry later, or ask the host to make room for the bot.",
            Self::Other(_) => {
                "This version does not know the code: see the server's documentation."
            }
        }
    }
}

/// Why a bot could not do what was asked: a code, and a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Failure {
    /// The machine-readable reason.
    pub code: FailureCode,
    /// What happened, in a sentence.
    pub detail: String,
}

impl Failure {
    /// A failure with its sentence.
    pub fn new(code: FailureCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use xtask::spec_file;

    #[test]
    fn the_table_in_the_docs_is_up_to_date() {
        let mut page = String::from(
            "# Failure codes\n\n<!-- Made from crates/types/src/failure.rs by its tests; `cargo xtask update` rewrites it. -->\n\n\
             A job that ends `failed` says why in `failureCode`. The set may grow: treat a code you do not know as \"not retryable\".\n\n\
             | code | billed | retry may help | what to do |\n| --- | --- | --- | --- |\n",
        );
        let yes_no = |yes| if yes { "yes" } else { "no" };
        for code in FailureCode::ALL {
            writeln!(
                page,
                "| `{code}` | {} | {} | {} |",
                yes_no(code.billed()),
                yes_no(code.retryable()),
                code.advice()
            )
            .unwrap();
        }
        spec_file::check("docs/failure-codes.md", &page);
    }

    #[test]
    fn the_table_of_the_dashboard_is_up_to_date() {
        let mut module = String::from(
            "// What failure codes mean. Made from crates/types/src/failure.rs by its tests; `cargo xtask update` rewrites it.\n\n\
             /** @type {Record<string, {billed: boolean, retryable: boolean, advice: string} | undefined>} */\n\
             export const FAILURES = {\n",
        );
        for code in FailureCode::ALL {
            writeln!(
                module,
                "  {code}: {{ billed: {}, retryable: {}, advice: {:?} }},",
                code.billed(),
                code.retryable(),
                code.advice()
            )
            .unwrap();
        }
        module.push_str("};\n");
        spec_file::check("dashboard/failures.js", &module);
    }
}
