//! The host's answers to requests for permission to record. Pure.

use crate::bounds::{self, Exceeded};

/// The answers so far.
#[derive(Debug, Default)]
pub(super) struct Permission {
    last: Option<bool>,
    /// The host was asked since the last answer.
    asked: bool,
    /// How many answers were changes.
    answers: u32,
}

impl Permission {
    pub(super) fn granted(&self) -> bool {
        self.last == Some(true)
    }

    pub(super) fn denied(&self) -> bool {
        self.last == Some(false)
    }

    /// The host is asked: the next answer counts as a change in any case.
    pub(super) const fn ask(&mut self) {
        self.asked = true;
    }

    /// The host answers. Returns whether that is a change.
    pub(super) fn answer(&mut self, granted: bool) -> Result<bool, Exceeded> {
        let is_news = std::mem::take(&mut self.asked) || self.last != Some(granted);
        self.last = Some(granted);
        self.answers += u32::from(is_news);
        if self.answers > bounds::ANSWERS { Err(Exceeded::Answers) } else { Ok(is_news) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equal_answer_is_a_change_only_after_another_request() {
        let mut permission = Permission::default();
        assert!(!permission.granted() && !permission.denied());
        for (asks, granted, is_news) in [
            (true, false, true),
            (false, false, false),
            (true, false, true),
            (false, true, true),
            (false, true, false),
        ] {
            if asks {
                permission.ask();
            }
            assert_eq!(permission.answer(granted), Ok(is_news));
            assert_eq!((permission.granted(), permission.denied()), (granted, !granted));
        }
    }
}
