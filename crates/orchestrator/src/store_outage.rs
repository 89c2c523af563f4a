//! Remembers when the store was last unavailable. Bots could not report meanwhile, and must not be given up for it.

use std::sync::{Mutex, PoisonError};

use crate::{
    clock::LeaseTime,
    store::{Result, StoreError},
};

/// When the store was last unavailable. Shared by the ingest API, which receives reports, and the reaper, which gives bots up.
#[derive(Debug, Default)]
pub(crate) struct StoreOutage(Mutex<Option<LeaseTime>>);

impl StoreOutage {
    /// Records an outage at `now` if `result` is an error of an unavailable or full store. Returns `result` unchanged.
    pub(crate) fn observe<T>(&self, result: Result<T>, now: LeaseTime) -> Result<T> {
        if matches!(result, Err(StoreError::Full | StoreError::Unavailable(_))) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
        result
    }

    /// When the store was last seen unavailable; `None` if never.
    pub(crate) fn last(&self) -> Option<LeaseTime> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
