//! Browsers with the profile of an account.

use meetbot_types::{Failure, FailureCode};

use super::*;

impl TestSession {
    /// A session whose browser has the profile of this account.
    fn with_account(account: Option<&str>) -> Self {
        let mut harness = Self::set();
        harness.session = harness.session.signed_in_as(account.map(ToOwned::to_owned));
        harness
    }

    /// Why it was refused.
    fn refusal(&mut self) -> Option<Failure> {
        std::iter::from_fn(|| self.session.output()).find_map(|output| match output {
            Output::Event(MeetingEvent::Refused(failure)) => Some(failure),
            _ => None,
        })
    }
}

fn page_of_guest() -> Survey {
    page("Ready to join?", &[field("Your name"), button("Ask to join")])
}

#[test]
fn a_page_of_a_guest_in_place_of_an_account_is_a_lost_login() {
    let mut harness = TestSession::with_account(Some("notes"));
    // A page that is being built may show the field for a moment.
    for survey in [page_of_guest(), page("Ready to join?", &[]), page_of_guest(), page_of_guest()] {
        harness.look(&survey);
    }
    assert_eq!(harness.events(), Vec::<String>::new(), "nothing is typed");
    harness.look(&page_of_guest());
    let refused = harness.refusal().unwrap();
    assert_eq!(refused.code, FailureCode::AuthFailure);
    assert!(refused.detail.contains("browser login google --account notes"), "{refused:?}");
    assert!(harness.session.evidence().is_some());
}

#[test]
fn a_page_that_asks_to_sign_in_is_a_lost_login_of_an_account_and_a_refusal_of_a_guest() {
    for (account, detail) in [(Some("notes"), "is signed out"), (None, "admits nobody without one")]
    {
        let mut harness = TestSession::with_account(account);
        for _ in 0..2 {
            harness.look(&page("Sign in", &[button("Next")]));
        }
        let refused = harness.refusal().unwrap();
        assert_eq!(refused.code, FailureCode::AuthFailure);
        assert!(refused.detail.contains(detail), "{refused:?}");
    }
}

#[test]
fn an_account_joins_without_a_name() {
    let mut harness = TestSession::with_account(Some("notes"));
    let survey = page("Ready to join?", &[button("Switch account"), button("Join now")]);
    for _ in 0..6 {
        harness.look(&survey);
    }
    assert_eq!(harness.events(), ["false|Join now|1"]);
}
