//! Maps the error codes of Janus to failures of a join.

use meetbot_types::{Failure, FailureCode};

/// The failure for an error of Janus itself.
pub(super) fn by_server(code: u32, why: &str) -> Failure {
    let (code, detail) = match code {
        // 403: the server requires an API secret; 405 to 407: a token.
        403 | 405..=407 => {
            (FailureCode::AuthFailure, "the Janus server requires a key or token".to_owned())
        }
        460 => {
            (FailureCode::MeetingNotFound, "the Janus server has no VideoRoom plugin".to_owned())
        }
        code => (FailureCode::InternalError, format!("Janus refuses: {why} ({code})")),
    };
    Failure::new(code, detail)
}

/// The failure for an error of the room.
pub(super) fn by_room(code: u32, why: &str, has_pin: bool) -> Failure {
    let (code, detail) = match code {
        426 => (FailureCode::MeetingNotFound, format!("there is no such room: {why}")),
        // The missing element is the pin: everything else is in the request.
        429 => (
            FailureCode::AuthFailure,
            "the room requires a pin: add `pin=` to the meeting's URL".to_owned(),
        ),
        433 if has_pin => (FailureCode::AuthFailure, "the room does not accept the pin".to_owned()),
        433 => (FailureCode::AuthFailure, format!("the room does not accept the bot: {why}")),
        432 => (FailureCode::MeetingFull, "the room is full".to_owned()),
        430 => {
            (FailureCode::MeetingNotFound, format!("the server does not take this room id: {why}"))
        }
        code => (FailureCode::InternalError, format!("the room refuses the bot: {why} ({code})")),
    };
    Failure::new(code, detail)
}
