//! What the host says to the question whether the meeting may be recorded. Pure.

use crate::bounds::{self, Exceeded};

/// The answers so far.
#[derive(Debug, Default)]
pub(super) struct Permission {
    last: Option<bool>,
    /// The question was asked since.
    asked: bool,
    /// How many were news.
    answers: u32,
}

impl Permission {
    pub(super) fn granted(&self) -> bool {
        self.last == Some(true)
    }

    pub(super) fn denied(&self) -> bool {
        self.last == Some(false)
    }

    /// The host is asked: the next answer is news, whatever it is.
    pub(super) const fn ask(&mut self) {
        self.asked = true;
    }

    /// The host answers. Answers whether that is news.
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
    fn an_answer_is_news_once_and_again_when_it_was_asked_for_again() {
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
