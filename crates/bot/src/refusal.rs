//! Classifies unsuccessful answers of the orchestrator. Proxies in between refuse requests too; their answers are not final.

use meetbot_types::ErrorBody;
use reqwest::Response;

/// The most bytes that are read of such an answer; an error body of the orchestrator is far smaller.
const LARGEST: usize = 64 * 1024;

/// Why a request was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another attempt has the job, or this one's lease is over.
    Superseded,
    /// The orchestrator cannot read the request.
    Unreadable,
    /// The orchestrator cannot be reached, or cannot answer now: worth another try.
    Unavailable(String),
}

/// Reads why a request was refused.
pub(crate) async fn read(mut answer: Response) -> Refusal {
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        if body.len() + chunk.len() > LARGEST {
            return judge(status, b"");
        }
        body.extend_from_slice(&chunk);
    }
    judge(status, &body)
}

/// Only an error body with an id, whose code matches the status, comes from the orchestrator.
fn judge(status: u16, body: &[u8]) -> Refusal {
    let own = serde_json::from_slice::<ErrorBody>(body)
        .is_ok_and(|body| body.request_id.is_some() && body.error.status() == status);
    match status {
        // An unknown token belongs to an attempt that is over.
        401 | 409 if own => Refusal::Superseded,
        400 | 413 | 415 if own => Refusal::Unreadable,
        _ => Refusal::Unavailable(format!("it answers {status}")),
    }
}

#[cfg(test)]
mod tests {
    use meetbot_types::ErrorCode;

    use super::*;

    #[test]
    fn only_refusals_of_the_orchestrator_are_final() {
        let own = |error: ErrorCode, request_id: Option<&str>| {
            let (message, request_id) = ("no".to_owned(), request_id.map(ToOwned::to_owned));
            serde_json::to_vec(&ErrorBody { error, message, issues: None, request_id }).unwrap()
        };
        for code in ErrorCode::ALL {
            let status = code.status();
            let expected = match status {
                401 | 409 => Refusal::Superseded,
                400 | 413 | 415 => Refusal::Unreadable,
                _ => Refusal::Unavailable(format!("it answers {status}")),
            };
            assert_eq!(judge(status, &own(code.clone(), Some("req_1"))), expected, "{code}");
        }
        let conflict = own(ErrorCode::Conflict, Some("req_1"));
        for (status, body) in [
            (409, &b"<html><h1>409 Conflict</h1></html>"[..]),
            (401, b"{\"message\":\"Unauthorized\"}"),
            (401, b"{\"error\":\"Unauthorized\",\"status\":401,\"requestId\":\"6f-1\"}"),
            (409, b"{\"error\":\"conflict\",\"message\":\"a proxy's\"}"),
            (409, b""),
            (409, &conflict[..conflict.len() - 1]),
            (401, &conflict),
            (400, &conflict),
            (400, b"Bad Request"),
            (413, b"<html>413 Request Entity Too Large</html>"),
            (415, b"null"),
            (403, b"{\"error\":\"forbidden\",\"message\":\"\",\"requestId\":\"req_1\"}"),
        ] {
            let unavailable = Refusal::Unavailable(format!("it answers {status}"));
            assert_eq!(judge(status, body), unavailable, "{}", String::from_utf8_lossy(body));
        }
    }
}
