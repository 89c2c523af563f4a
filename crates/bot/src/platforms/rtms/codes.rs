//! Zoom's codes: why a stream stopped (`RTMS_STOP_REASON`) and why a handshake failed (`RTMS_STATUS_CODE`), as documented in
//! November 2026 (developers.zoom.us, `docs/rtms/data-types`).

use meetbot_types::{Failure, FailureCode};

use super::protocol::MediaType;

/// The meaning of a stream's stop.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bot was removed.
    Removed,
    /// The meeting is over.
    Ended,
    /// Consent was withdrawn: the recording must be deleted.
    Revoked,
    /// Permanent.
    Failed(Failure),
    /// The stream may come back, on the same or other servers.
    Interrupted(String),
}

/// The meaning of a failed handshake.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Permanent.
    Failed(Failure),
    /// The server still has the previous connection: it drops it after three unanswered keep-alives (30 s).
    Duplicate,
    /// Audio is not available in the requested codec, or with these parameters.
    Codec(Failure),
    /// This type of media is not available to this app; others may be.
    NotGiven(String),
    /// The stream has ended: another one may begin.
    Gone(String),
}

/// The meaning of a stream's stop. `None` is a stop without a reason.
pub(super) fn stop(reason: Option<u64>) -> Stop {
    let failed = |code, detail: &str| Stop::Failed(Failure::new(code, detail.to_owned()));
    match reason {
        // The host or the app's user stopped it; the user left or was removed; the host disabled the app.
        Some(1..=5) => Stop::Removed,
        Some(6) => Stop::Ended,
        Some(7) => Stop::Interrupted("Zoom cancelled the stream".to_owned()),
        Some(8) => Stop::Revoked,
        // `STOP_BC_ALL_APPS_DISABLED`: joining again cannot help.
        Some(9) => failed(FailureCode::RecordingDisabled, "all apps were disabled in this meeting"),
        Some(18) => failed(
            FailureCode::AuthFailure,
            "Zoom could not authenticate the app; check `client_id` and `client_secret_file` of the app",
        ),
        Some(23) => failed(
            FailureCode::RecordingDisabled,
            "an administrator of the host's account disabled the app",
        ),
        // A client of the app closed it (`STOP_BC_RECEIVER_REQUEST_CLOSE`), not this bot, which would not read the message; the meeting may continue.
        Some(20) => Stop::Interrupted("the stream was closed by the app".to_owned()),
        Some(reason) => Stop::Interrupted(format!("Zoom stopped the stream (reason {reason})")),
        None => Stop::Interrupted("Zoom stopped the stream without a reason".to_owned()),
    }
}

/// Why the signalling connection is refused. `zoom_reason` is the reason that Zoom sent.
pub(super) fn signalling_refusal(status: u64, zoom_reason: &str) -> Refusal {
    match status {
        2 | 40 => {
            Refusal::Gone(format!("Zoom knows no such stream{}", because(status, zoom_reason)))
        }
        3 => Refusal::Failed(Failure::new(
            FailureCode::AuthFailure,
            format!(
                "Zoom refused the signature: `client_id` and `client_secret_file` have to be those of the app that the stream is for{}",
                because(status, zoom_reason)
            ),
        )),
        8 => Refusal::Duplicate,
        _ => unexpected("signalling", status, zoom_reason),
    }
}

/// Why a media connection is refused.
pub(super) fn media_refusal(media: MediaType, status: u64, zoom_reason: &str) -> Refusal {
    match (status, media) {
        (2 | 3 | 40, _) => signalling_refusal(status, zoom_reason),
        (15 | 16, _) => Refusal::Duplicate,
        (17..=24, MediaType::Audio) => Refusal::Codec(Failure::new(
            FailureCode::InternalError,
            format!(
                "Zoom gives this meeting's sound neither as Opus nor as L16 at 48 kHz for each person{}",
                because(status, zoom_reason)
            ),
        )),
        (9..=14 | 17 | 25..=39 | 43, _) => Refusal::NotGiven(format!(
            "Zoom does not give the meeting's {}{}",
            word(media),
            because(status, zoom_reason)
        )),
        _ => unexpected("media", status, zoom_reason),
    }
}

/// The name of a type of media in texts.
pub(super) const fn word(media: MediaType) -> &'static str {
    match media {
        MediaType::Audio => "sound",
        MediaType::Video => "cameras",
        MediaType::Share => "shared screen",
        MediaType::Transcript => "transcript",
        MediaType::Chat => "chat",
    }
}

fn unexpected(connection: &str, status: u64, zoom_reason: &str) -> Refusal {
    let because = because(status, zoom_reason);
    let detail = format!("Zoom refused the bot's {connection} handshake{because}");
    Refusal::Failed(Failure::new(FailureCode::InternalError, detail))
}

fn because(status: u64, zoom_reason: &str) -> String {
    if zoom_reason.is_empty() {
        format!(" (status {status})")
    } else {
        format!(" (status {status}: {})", crate::bounds::REASON.cut(zoom_reason.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_documented_stop_reason_has_its_meaning() {
        use FailureCode::{AuthFailure, RecordingDisabled};
        for reason in 0..=30 {
            let stop = stop(Some(reason));
            let as_it_should = match reason {
                1..=5 => stop == Stop::Removed,
                6 => stop == Stop::Ended,
                8 => stop == Stop::Revoked,
                9 | 23 => {
                    matches!(&stop, Stop::Failed(failure) if failure.code == RecordingDisabled)
                }
                18 => matches!(&stop, Stop::Failed(failure) if failure.code == AuthFailure),
                _ => matches!(&stop, Stop::Interrupted(_)),
            };
            assert!(as_it_should, "{reason}: {stop:?}");
        }
    }

    #[test]
    fn each_documented_handshake_status_has_its_meaning() {
        for status in 1..=50 {
            let refusal = signalling_refusal(status, "x");
            let as_it_should = match status {
                2 | 40 => matches!(&refusal, Refusal::Gone(_)),
                3 => {
                    matches!(&refusal, Refusal::Failed(failure) if failure.code == FailureCode::AuthFailure)
                }
                8 => refusal == Refusal::Duplicate,
                _ => {
                    matches!(&refusal, Refusal::Failed(failure) if failure.code == FailureCode::InternalError)
                }
            };
            assert!(as_it_should, "{status}: {refusal:?}");
        }
        let audio = |status| media_refusal(MediaType::Audio, status, "");
        for status in 17..=24 {
            let refusal = audio(status);
            assert!(
                matches!(&refusal, Refusal::Codec(failure) if failure.code == FailureCode::InternalError),
                "{status}: {refusal:?}"
            );
        }
        assert_eq!(audio(16), Refusal::Duplicate);
        for (media, status) in [
            (MediaType::Audio, 9),
            (MediaType::Video, 10),
            (MediaType::Share, 35),
            (MediaType::Transcript, 43),
            (MediaType::Chat, 13),
        ] {
            let refusal = media_refusal(media, status, "");
            assert!(matches!(refusal, Refusal::NotGiven(_)), "{media:?} {status}");
        }
    }
}
