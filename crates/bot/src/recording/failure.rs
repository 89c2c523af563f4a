//! Why a job fails whose recording cannot be written.

use std::io;

use meetbot_types::{Cause, Failure, FailureCode};

use crate::bounds;

/// The recording cannot be written, or the meeting went beyond one of its bounds.
pub(crate) fn cannot_write(error: &io::Error) -> Cause {
    if let Some(exceeded) = bounds::exceeded(error) {
        return Cause::Failed(exceeded.failure());
    }
    let detail = match error.kind() {
        io::ErrorKind::StorageFull => {
            "the disk is full; what was recorded until then is kept".to_owned()
        }
        _ => format!("the recording cannot be written: {error}"),
    };
    Cause::Failed(Failure::new(FailureCode::InternalError, detail))
}
