//! What the numbers of Zoom mean for a bot: why a stream stopped (`RTMS_STOP_REASON`) and why a handshake failed (`RTMS_STATUS_CODE`), as documented in
//! November 2026 (developers.zoom.us, `docs/rtms/data-types`).

use meetbot_types::{Failure, FailureCode};

use super::protocol::MediaType;

/// What a stream's stop means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Somebody took the bot out.
    Removed,
    /// The meeting is over.
    Ended,
    /// Consent was withdrawn: what was recorded is to be deleted.
    Revoked,
    /// For good.
    Failed(Failure),
    /// The stream may come back, by the same servers or by others.
    Interrupted(String),
}

/// Why a handshake does not lead on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// For good.
    Failed(Failure),
    /// The connection before is still known to the server: it forgets it after three keep-alives without an answer (30 s).
    Duplicate,
    /// Sound is not given in the codec that was asked for, or not with these parameters.
    Codec(Failure),
    /// This type of media is not given to this app; the others may be.
    NotGiven(String),
    /// The stream is no longer there: another one may come.
    Gone(String),
}

/// What the stop of a stream means. `None` is a stream that ended without saying why.
pub(super) fn stop(reason: Option<u64>) -> Stop {
    let failed = |code, detail: &str| Stop::Failed(Failure::new(code, detail.to_owned()));
    match reason {
        // The host, or the person whose app it is, stopped it; that person left or was put out; the host disabled the app.
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
        // An app closed it (`STOP_BC_RECEIVER_REQUEST_CLOSE`): this bot did not, since it listens no more once it has; the meeting may go on.
        Some(20) => Stop::Interrupted("the stream was closed by the app".to_owned()),
        Some(reason) => Stop::Interrupted(format!("Zoom stopped the stream (reason {reason})")),
        None => Stop::Interrupted("Zoom stopped the stream without a reason".to_owned()),
    }
}

/// Why the signalling connection is refused. `said` is Zoom's own reason.
pub(super) fn signalling_refusal(status: u64, said: &str) -> Refusal {
    match status {
        2 | 40 => Refusal::Gone(format!("Zoom knows no such stream{}", because(status, said))),
        3 => Refusal::Failed(Failure::new(
            FailureCode::AuthFailure,
            format!(
                "Zoom refused the signature: `client_id` and `client_secret_file` have to be those of the app that the stream is for{}",
                because(status, said)
            ),
        )),
        8 => Refusal::Duplicate,
        _ => unexpected("signalling", status, said),
    }
}

/// Why a media connection is refused.
pub(super) fn media_refusal(media: MediaType, status: u64, said: &str) -> Refusal {
    match (status, media) {
        (2 | 3 | 40, _) => signalling_refusal(status, said),
        (15 | 16, _) => Refusal::Duplicate,
        (17..=24, MediaType::Audio) => Refusal::Codec(Failure::new(
            FailureCode::InternalError,
            format!(
                "Zoom gives this meeting's sound neither as Opus nor as L16 at 48 kHz for each person{}",
                because(status, said)
            ),
        )),
        (9..=14 | 17 | 25..=39 | 43, _) => Refusal::NotGiven(format!(
            "Zoom does not give the meeting's {}{}",
            word(media),
            because(status, said)
        )),
        _ => unexpected("media", status, said),
    }
}

/// What a type of media is called in sentences.
pub(super) const fn word(media: MediaType) -> &'static str {
    match media {
        MediaType::Audio => "sound",
        MediaType::Video => "cameras",
        MediaType::Share => "shared screen",
        MediaType::Transcript => "transcript",
        MediaType::Chat => "chat",
    }
}

fn unexpected(connection: &str, status: u64, said: &str) -> Refusal {
    let because = because(status, said);
    let detail = format!("Zoom refused the bot's {connection} handshake{because}");
    Refusal::Failed(Failure::new(FailureCode::InternalError, detail))
}

fn because(status: u64, said: &str) -> String {
    if said.is_empty() {
        format!(" (status {status})")
    } else {
        format!(" (status {status}: {})", crate::bounds::REASON.cut(said.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stop_reason_of_the_documents_ends_as_it_should() {
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
    fn each_status_of_a_handshake_means_what_the_documents_say() {
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
