//! Jobs for streams without a request for a bot: the body of `POST /api/v1/jobs` that an app's setting `auto_dispatch` makes. Pure.

use meetbot_types::{Issue, signature};
use serde_json::{Map, Value};

use crate::{
    fields::NEW_JOB,
    jobs::create::{self, CreationRules, New},
};

/// Fields of the body that are the stream's: `externalId` keeps a second job from being made for it.
const OF_THE_STREAM: [&str; 4] = ["meetingUrl", "externalId", "platform", "joinAt"];
/// What an id of the stream's own is made of.
const PREFIX: &str = "zoom-stream-";
/// A meeting's number for trying a template.
const SOME_MEETING: &str = "91234567890";

/// The body of the job for a stream of a meeting with this number.
pub(crate) fn body(template: &Map<String, Value>, stream: &str, meeting: &str) -> String {
    let mut body = template.clone();
    body.insert("meetingUrl".to_owned(), format!("https://zoom.us/j/{meeting}").into());
    body.insert("externalId".to_owned(), external_id(stream).into());
    Value::Object(body).to_string()
}

/// A valid `externalId` for a stream with any id.
fn external_id(stream: &str) -> String {
    let fits = PREFIX.len() + stream.len() <= create::MAX_EXTERNAL_ID
        && stream.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        format!("{PREFIX}{stream}")
    } else {
        format!("{PREFIX}{}", signature::sha256(stream.as_bytes()))
    }
}

/// Whether a job can be made of the template. The error is a sentence about what cannot stay.
pub(crate) fn check(
    template: &Map<String, Value>,
    terms: &CreationRules<'_>,
) -> Result<(), String> {
    if let Some(field) = OF_THE_STREAM.iter().find(|field| template.contains_key(**field)) {
        return Err(format!("must not have {field}: it follows from the stream"));
    }
    let said = |issue: Issue| format!("{}: {}", issue.path.join("."), issue.message);
    match create::create(&body(template, "", SOME_MEETING), terms) {
        Ok(New { ignored, .. }) => match ignored.header() {
            Some(fields) => {
                let right = NEW_JOB.names().iter().filter(|name| !OF_THE_STREAM.contains(name));
                let right = right.copied().collect::<Vec<_>>().join(", ");
                Err(format!("has fields that no job has: {fields}; it may have {right}"))
            }
            None => Ok(()),
        },
        Err(issues) => Err(issues.into_iter().map(said).collect::<Vec<_>>().join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_external_id_from_a_stream_is_valid() {
        let id_of = |stream: &str| {
            let body: Value =
                serde_json::from_str(&body(&Map::new(), stream, "123456789")).unwrap();
            assert_eq!(body["meetingUrl"], json!("https://zoom.us/j/123456789"));
            body["externalId"].as_str().unwrap().to_owned()
        };
        assert_eq!(
            id_of("609340fb2a7946909659956c8aa9250c"),
            "zoom-stream-609340fb2a7946909659956c8aa9250c"
        );
        for odd in ["a b", "ü", "\n", &"x".repeat(1_024)] {
            let id = id_of(odd);
            assert!(
                id.len() <= create::MAX_EXTERNAL_ID && id.bytes().all(|it| it.is_ascii_graphic())
            );
            assert_ne!(id, id_of("other"));
        }
    }
}
