//! The failure of a job whose recording cannot be written.

use std::io;

use meetbot_types::{Cause, Failure, FailureCode};

use crate::bounds;

/// The cause for an I/O error, or for a meeting that exceeded one of its bounds.
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
