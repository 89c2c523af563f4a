//! Errors of a bucket, with the setting to change. No part of a request is repeated, since it may hold a secret.

use std::{error::Error, io};

/// Why something could not be done in the bucket.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// It does not answer, or not now; the same may work later.
    #[error("the bucket cannot be reached: {0}")]
    Away(String),
    /// Its server's name is not known.
    #[error("the bucket cannot be reached: {0}; is storage.endpoint right, and storage.region?")]
    NoSuchHost(String),
    /// It refuses, and will until something is changed.
    #[error("the bucket refuses: {said}; {remedy}")]
    Refused {
        /// What it said.
        said: String,
        /// What to change.
        remedy: &'static str,
    },
    /// There is no such object.
    #[error("the object is not there")]
    Missing,
    /// The object was there, or is being written by another.
    #[error("the object is there already")]
    Exists,
    /// The object is not what it was any more.
    #[error("the object was changed by another")]
    Changed,
    /// The range begins behind the object's end.
    #[error("the range is outside of the object")]
    OutOfRange,
    /// What is there is not what was put there.
    #[error("{0}")]
    Wrong(String),
    /// The prefix is that of other servers.
    #[error(
        "{url} is used by other meetbot servers (cluster {other}, and this one is {own}): give storage.url another prefix, or take the object meetbot.json away where those are gone for good"
    )]
    OtherCluster {
        /// Which prefix.
        url: String,
        /// Whose it is.
        other: String,
        /// Who asked.
        own: String,
    },
    /// It was cancelled.
    #[error("it was stopped")]
    Stopped,
    /// The file on this machine.
    #[error("the copy on disk: {0}")]
    Disk(#[from] io::Error),
}

impl BucketError {
    /// Whether it is about the settings: a server does not start like this.
    pub const fn is_lasting(&self) -> bool {
        matches!(self, Self::NoSuchHost(_) | Self::Refused { .. } | Self::OtherCluster { .. })
    }
}

impl From<BucketError> for io::Error {
    fn from(error: BucketError) -> Self {
        let kind = match &error {
            BucketError::Disk(_) => {
                let BucketError::Disk(error) = error else { unreachable!() };
                return error;
            }
            BucketError::Missing => io::ErrorKind::NotFound,
            BucketError::Away(_) | BucketError::NoSuchHost(_) => io::ErrorKind::NotConnected,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// The error codes of S3 with their remedies.
const REMEDIES: [(&str, &str); 16] = [
    ("AccessDenied", RIGHTS),
    ("AllAccessDisabled", RIGHTS),
    ("InvalidAccessKeyId", KEY),
    ("NotSignedUp", KEY),
    ("SignatureDoesNotMatch", "is the secret access key the one of the access key id?"),
    ("ExpiredToken", "the session token is over: get new credentials"),
    ("InvalidToken", "is the session token that of the access key?"),
    (
        "RequestTimeTooSkewed",
        "this machine's clock is wrong: let chrony or systemd-timesyncd set it",
    ),
    ("AuthorizationHeaderMalformed", REGION),
    ("PermanentRedirect", REGION),
    ("TemporaryRedirect", REGION),
    ("IllegalLocationConstraintException", REGION),
    ("NoSuchBucket", "make the bucket, or mend the name in storage.url"),
    ("InvalidBucketName", "mend the name in storage.url"),
    ("NotImplemented", "meetbot needs a server that knows If-None-Match and If-Match"),
    ("MethodNotAllowed", "is storage.endpoint an S3 server?"),
];

const KEY: &str = "is the access key id right, and of this server?";
const UNKNOWN: &str = "see what the code means there";
const RIGHTS: &str = "the credentials need s3:PutObject, s3:GetObject, s3:DeleteObject, s3:ListBucket and s3:AbortMultipartUpload under storage.url";
const REGION: &str = "is storage.region the bucket's?";

impl From<object_store::Error> for BucketError {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error as E;
        let text = error.to_string();
        // An error's body is XML, of which the code and the message are fit to be shown.
        let code = element(&text, "Code");
        match (&error, code) {
            (E::NotFound { .. }, Some("NoSuchBucket")) => {}
            (E::NotFound { .. }, _) => return Self::Missing,
            (E::Precondition { .. }, _) => return Self::Changed,
            (_, Some("OperationAborted" | "ConditionalRequestConflict"))
            | (E::AlreadyExists { .. }, _) => return Self::Exists,
            (_, Some("InvalidRange")) => return Self::OutOfRange,
            _ => {}
        }
        if let Some(code) = code {
            let said = match element(&text, "Message") {
                Some(message) => format!("{code} ({message})"),
                None => code.to_owned(),
            };
            let known = REMEDIES.iter().find(|(known, _)| *known == code);
            let known = known.or_else(|| is_refusal(&text).then_some(&("", UNKNOWN)));
            return known.map_or_else(
                || Self::Away(said.clone()),
                |(_, remedy)| Self::Refused { said: said.clone(), remedy },
            );
        }
        if matches!(error, E::PermissionDenied { .. } | E::Unauthenticated { .. }) {
            return Self::Refused { said: "403, without a reason".to_owned(), remedy: RIGHTS };
        }
        if text.contains("without LOCATION") {
            let said = "it is in another region".to_owned();
            return Self::Refused { said, remedy: REGION };
        }
        let innermost = innermost(&error);
        // How the system's and hyper's errors of a name that is not known begin.
        if text.contains("dns error") || innermost.contains("lookup address") {
            return Self::NoSuchHost(innermost);
        }
        Self::Away(innermost)
    }
}

/// Whether the answer says that the request is wrong, and not the moment.
fn is_refusal(text: &str) -> bool {
    let status = text.split_once("status code: ").and_then(|(_, rest)| rest.get(..3)?.parse().ok());
    status.is_some_and(|status: u16| {
        (400..500).contains(&status) && !matches!(status, 408 | 409 | 425 | 429)
    })
}

/// What stands in an element of XML.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (within, _) = rest.split_once(&format!("</{name}>"))?;
    // Long texts repeat the request.
    Some(within.trim()).filter(|within| within.len() <= 300 && !within.contains('<'))
}

/// The error below all others, which names neither a URL nor headers. An answer that is no XML is named by its status alone.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    let text = last.to_string();
    match text.split_once("non-2xx status code: ") {
        Some((_, rest)) => rest.chars().take_while(|letter| *letter != ':').collect(),
        None => text.chars().take(300).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(
        body: &str,
        make: fn(String, Box<dyn Error + Send + Sync>) -> object_store::Error,
    ) -> BucketError {
        make("a/b".to_owned(), body.into()).into()
    }

    fn denied(path: String, source: Box<dyn Error + Send + Sync>) -> object_store::Error {
        object_store::Error::PermissionDenied { path, source }
    }

    fn generic(_: String, source: Box<dyn Error + Send + Sync>) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source }
    }

    fn missing(path: String, source: Box<dyn Error + Send + Sync>) -> object_store::Error {
        object_store::Error::NotFound { path, source }
    }

    #[test]
    fn a_refusal_of_a_bucket_names_the_setting_to_change() {
        let xml = |code: &str| {
            format!(
                "Server returned non-2xx status code: 403: <Error><Code>{code}</Code><Message>No.</Message></Error>"
            )
        };
        for (code, reported) in [
            ("AccessDenied", "s3:PutObject"),
            ("SignatureDoesNotMatch", "secret access key"),
            ("RequestTimeTooSkewed", "clock"),
            ("AuthorizationHeaderMalformed", "storage.region"),
            ("InvalidAccessKeyId", "access key id"),
        ] {
            let error = of(&xml(code), denied);
            assert!(error.is_lasting());
            let text = error.to_string();
            assert!(
                text.contains(reported) && text.contains(code) && text.contains("No."),
                "{text}"
            );
        }
        let none = of("<Code>NoSuchBucket</Code>", missing);
        assert!(none.is_lasting() && none.to_string().contains("make the bucket"), "{none}");
        assert!(matches!(of("<Code>NoSuchKey</Code>", missing), BucketError::Missing));
        assert!(matches!(of("", denied), BucketError::Refused { .. }));
        let redirect = "Received redirect without LOCATION, this normally indicates";
        assert!(of(redirect, generic).to_string().contains("storage.region"));
    }

    #[test]
    fn a_temporary_error_is_described_as_such_and_an_unknown_code_is_not() {
        let unknown = "non-2xx status code: 400 Bad Request: <Error><Code>OddWish</Code></Error>";
        assert!(of(unknown, generic).is_lasting());
        for body in ["status code: 429 <Code>Busy</Code>", "status code: 503 <Code>Odd</Code>"] {
            assert!(!of(body, generic).is_lasting(), "{body}");
        }
        for body in ["<Code>SlowDown</Code>", "<Code>InternalError</Code>", "connection refused"] {
            assert!(!of(body, generic).is_lasting(), "{body}");
        }
        let name = "dns error: failed to lookup address information: Name or service not known";
        assert!(matches!(of(name, generic), BucketError::NoSuchHost(_)));
    }

    #[test]
    fn nothing_of_a_request_is_repeated() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message><CanonicalRequest>x-amz-security-token:t0ken</CanonicalRequest></Error>";
        let error = of(body, denied);
        assert!(!format!("{error} {error:?}").contains("t0ken"));
        let page = "Server returned non-2xx status code: 502 Bad Gateway: <html>t0ken</html>";
        let error = of(page, generic);
        assert_eq!(error.to_string(), "the bucket cannot be reached: 502 Bad Gateway");
    }
}
