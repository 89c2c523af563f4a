//! Polling, for conditions that give no signal.

use std::{
    fmt::Display,
    thread,
    time::{Duration, Instant},
};

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// Calls `look` until it succeeds. Its error says what is missing.
///
/// # Panics
/// With the last error, once `patience` is over.
#[expect(clippy::disallowed_methods, reason = "the patience of a test is counted on the clock")]
pub fn poll_until<T, M: Display>(patience: Duration, mut look: impl FnMut() -> Result<T, M>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match look() {
            Ok(found) => return found,
            Err(missing) => assert!(Instant::now() < deadline, "after {patience:?}: {missing}"),
        }
        thread::park_timeout(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn polling_returns_a_value_or_fails_with_the_last_state() {
        let mut looks = 0..3;
        let third = || looks.next().filter(|look| *look == 2).ok_or("it comes later");
        assert_eq!(poll_until(Duration::from_hours(1), third), 2);
        let never = catch_unwind(|| poll_until(Duration::ZERO, || Err::<(), _>("no bot")));
        let said = never.expect_err("it never comes");
        assert_eq!(said.downcast_ref::<String>().map(String::as_str), Some("after 0ns: no bot"));
    }
}
