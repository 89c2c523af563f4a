//! Verifies the signatures of a webhook. Pure.

use meetbot::{Timestamp, verify_webhook_signature};
use meetbot_types::signature::{SIGNATURE_HEADER, SecretError, verify_standard};
use reqwest::header::HeaderMap;
use serde::Serialize;

/// How far the time in `webhook-timestamp` may be from ours, in seconds: what the verifiers of Standard Webhooks allow.
const TOLERANCE_SECONDS: u64 = 300;

/// The result of verifying a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Signature {
    /// It is made with the secret of this number, from 1.
    Good(usize),
    /// It is made with none of the secrets.
    Wrong,
    /// It is good but its timestamp is too far from our clock.
    Stale,
    /// There is none.
    Missing,
}

/// Both signatures of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Signatures {
    /// `X-Meetbot-Signature`.
    pub(crate) meetbot: Signature,
    /// `webhook-signature`, with `webhook-id` and `webhook-timestamp`.
    pub(crate) standard: Signature,
}

impl Signatures {
    /// Whether one of them is good: during a rotation they may be made with different secrets.
    pub(crate) const fn are_good(&self) -> bool {
        matches!(self.meetbot, Signature::Good(_)) || matches!(self.standard, Signature::Good(_))
    }

    /// Both results as text.
    pub(crate) fn describe(&self) -> String {
        let describe = |signature| match signature {
            Signature::Good(number) => format!("good (secret {number})"),
            Signature::Wrong => {
                "made with none of the secrets given, or of another body".to_owned()
            }
            Signature::Stale => {
                "good, but more than five minutes from this machine's clock".to_owned()
            }
            Signature::Missing => "missing".to_owned(),
        };
        format!(
            "X-Meetbot-Signature is {}; webhook-signature is {}",
            describe(self.meetbot),
            describe(self.standard)
        )
    }
}

/// Verifies the signatures of a webhook with all of the secrets. An invalid secret matches no signature.
pub(crate) fn judge(
    body: &[u8],
    headers: &HeaderMap,
    secrets: &[String],
    now: Timestamp,
) -> Signatures {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let found = |verifies: &dyn Fn(&str) -> Result<bool, SecretError>| {
        secrets
            .iter()
            .position(|secret| verifies(secret) == Ok(true))
            .map_or(Signature::Wrong, |index| Signature::Good(index + 1))
    };
    let meetbot = header(SIGNATURE_HEADER);
    let standard = header("webhook-signature")
        .zip(header("webhook-id"))
        .zip(header("webhook-timestamp"))
        .map(|((signatures, id), timestamp)| {
            let verifies = |secret: &str| verify_standard(id, timestamp, body, signatures, secret);
            let fresh = timestamp
                .parse::<i64>()
                .is_ok_and(|sent| sent.abs_diff(now.as_seconds()) <= TOLERANCE_SECONDS);
            match found(&verifies) {
                Signature::Good(_) if !fresh => Signature::Stale,
                signature => signature,
            }
        });
    Signatures {
        meetbot: meetbot.map_or(Signature::Missing, |header| {
            found(&|secret| verify_webhook_signature(body, Some(header), secret))
        }),
        standard: standard.unwrap_or(Signature::Missing),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use meetbot_types::signature::{sign, sign_standard};

    use super::{Signature::*, *};

    const OLD: &str = "whsec_b2xk";
    const NEW: &str = "whsec_bmV3";
    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn headers(meetbot: Option<&str>, standard: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut add = |name: &'static str, value: String| {
            headers.insert(name, value.parse().unwrap());
        };
        if let Some(secret) = meetbot {
            add("x-meetbot-signature", sign(b"{}", secret));
        }
        if let Some(secret) = standard {
            add("webhook-signature", sign_standard("dlv_1", NOW, b"{}", secret).unwrap());
            add("webhook-id", "dlv_1".to_owned());
            add("webhook-timestamp", "0".to_owned());
        }
        headers
    }

    fn judged(body: &[u8], headers: &HeaderMap, secrets: &[&str], now: Timestamp) -> Signatures {
        let secrets: Vec<String> = secrets.iter().map(ToString::to_string).collect();
        judge(body, headers, &secrets, now)
    }

    #[test]
    fn one_valid_signature_suffices_and_each_result_is_printed() {
        let both = headers(Some(OLD), Some(NEW));
        for (secrets, meetbot, standard, good) in [
            (&[OLD][..], Good(1), Wrong, true),
            (&[NEW], Wrong, Good(1), true),
            (&[OLD, NEW], Good(1), Good(2), true),
            (&["whsec_dGhpcmQ="], Wrong, Wrong, false),
            (&[], Wrong, Wrong, false),
        ] {
            let signatures = judged(b"{}", &both, secrets, NOW);
            assert_eq!(signatures, Signatures { meetbot, standard });
            assert_eq!(signatures.are_good(), good);
        }
        assert!(!judged(b"{ }", &both, &[OLD, NEW], NOW).are_good(), "a changed byte");
        let none = judged(b"{}", &HeaderMap::new(), &[OLD], NOW);
        assert_eq!(none, Signatures { meetbot: Missing, standard: Missing });
    }

    #[test]
    fn a_replayed_webhook_is_refused_by_the_scheme_that_signs_the_time() {
        let standard = headers(None, Some(NEW));
        let later = |seconds| NOW + Duration::from_secs(seconds);
        assert!(judged(b"{}", &standard, &[NEW], later(300)).are_good());
        assert_eq!(judged(b"{}", &standard, &[NEW], later(301)).standard, Stale);
    }
}
