//! When the store was last away: bots that could not be heard meanwhile are not given up for it.

use std::sync::{Mutex, PoisonError};

use crate::{
    clock::LeaseTime,
    store::{Result, StoreError},
};

/// Shared by those who hear bots and those who give them up.
#[derive(Debug, Default)]
pub(crate) struct Away(Mutex<Option<LeaseTime>>);

impl Away {
    /// What the store has just answered.
    pub(crate) fn note<T>(&self, answered: Result<T>, now: LeaseTime) -> Result<T> {
        if matches!(answered, Err(StoreError::Full | StoreError::Unavailable(_))) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
        answered
    }

    /// When it was last away, if ever.
    pub(crate) fn last(&self) -> Option<LeaseTime> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
