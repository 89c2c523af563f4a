//! Suggests the known name that an unknown query parameter probably means.

use super::{
    other_names::OF_PARAMETERS,
    shape::{FieldPath, Shape, ends_of_path},
    spelling::Spelling,
};

/// The names that a call accepts, besides path parameters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Of its query.
    pub(crate) parameters: Vec<String>,
    /// Of its headers.
    pub(crate) headers: Vec<String>,
    /// Of its body, where it takes one.
    pub(crate) body: Option<&'static Shape>,
}

impl Known {
    /// A hint for an unknown parameter: the parameter, header or body field that it probably means.
    pub(crate) fn meant(&self, name: &str) -> Option<String> {
        let spelling = Spelling::of(name);
        // Some clients repeat a parameter as `status[]` or `status[0]`.
        let repeated = || self.fitting(&Spelling::of(ends_of_path(name)?.0));
        if let Some(right) = self.fitting(&spelling).or_else(repeated) {
            return Some(format!("did you mean {right}?"));
        }
        if let Some(header) = self.headers.iter().find(|header| spelling.is(header)) {
            return Some(format!("did you mean the header {header}?"));
        }
        let FieldPath { name, object } = self.body?.of_parameter(name)?;
        Some(match object {
            Some(object) => format!("{name} belongs in the body, in {object}"),
            None => format!("{name} belongs in the body"),
        })
    }

    fn fitting(&self, name: &Spelling) -> Option<&str> {
        let all = || self.parameters.iter().map(String::as_str);
        let elsewhere = || {
            let known = |right: &str| all().find(|known| *known == right);
            let mut rows =
                OF_PARAMETERS.iter().filter_map(|(right, others)| Some((known(right)?, others)));
            Some(rows.find(|(_, others)| others.iter().any(|other| name.is(other)))?.0)
        };
        all()
            .find(|known| name.is(known))
            .or_else(elsewhere)
            .or_else(|| all().find(|known| name.is_near(known)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::{CHAT_MESSAGE, NEW_JOB};

    fn known(parameters: &[&str], headers: &[&str]) -> Known {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Known { parameters: owned(parameters), headers: owned(headers), body: None }
    }

    #[test]
    fn an_unknown_parameter_gets_the_hint_of_a_known_one() {
        let jobs = known(
            &[
                "status",
                "externalId",
                "platform",
                "createdAfter",
                "createdBefore",
                "limit",
                "cursor",
            ],
            &[],
        );
        let deliveries = known(&["jobId", "state", "limit", "cursor"], &[]);
        let events = known(&["limit", "cursor"], &["Last-Event-ID"]);
        for (call, names, right) in [
            (
                &jobs,
                "nextCursor next_cursor page_token pageToken after starting_after offset page page[number] cursor[] Cursor cursr before",
                "cursor",
            ),
            (
                &jobs,
                "statuses status[] status[0] status[in] state states STATUS stauts job_status status.eq",
                "status",
            ),
            (
                &jobs,
                "external_id externalID externalIds external-id deduplication_key",
                "externalId",
            ),
            (
                &jobs,
                "created_after since created_at__gte created[gte] createdAt[gt] from",
                "createdAfter",
            ),
            (&jobs, "created_before until created_at[lt] end_date", "createdBefore"),
            (&jobs, "page_size pageSize per_page page[size] limit[] Limit count", "limit"),
            (&jobs, "meeting_platform platforms Platform", "platform"),
            (&deliveries, "status statuses states state[] deliveryState", "state"),
            (&deliveries, "job_id jobid bot_id botId job jobIds", "jobId"),
            (&deliveries, "page next_cursor since", "cursor"),
            (&events, "since after offset page", "cursor"),
            (&events, "last_event_id lastEventId Last-Event-ID", "the header Last-Event-ID"),
        ] {
            for name in names.split(' ') {
                let hint = format!("did you mean {right}?");
                assert_eq!(call.meant(name).as_deref(), Some(&*hint), "{name}");
            }
        }
        for name in [
            "",
            " ",
            "utm_source",
            "expand",
            "sort",
            "q",
            "a.b",
            "[]",
            "[status]",
            "metadata",
            "joinAt",
            "meetingUrl",
            "x[status]",
        ] {
            assert_eq!(jobs.meant(name), None, "{name}");
        }
        assert_eq!(known(&[], &[]).meant("cursor"), None);
    }

    #[test]
    fn a_body_field_in_the_query_gets_a_hint() {
        let call = |body| Known { body: Some(body), ..known(&[], &["Idempotency-Key"]) };
        let create = call(&*NEW_JOB);
        for (name, hint) in [
            ("joinAt", "joinAt belongs in the body"),
            ("join_at", "joinAt belongs in the body"),
            ("bot_name", "displayName belongs in the body"),
            ("url", "meetingUrl belongs in the body"),
            ("metadata[note]", "metadata belongs in the body"),
            ("afterSoloSeconds", "afterSoloSeconds belongs in the body, in autoLeave"),
            ("autoLeave[afterSoloSeconds]", "afterSoloSeconds belongs in the body, in autoLeave"),
            ("webhooks.onFinalise", "onFinalize belongs in the body, in webhooks"),
            ("idempotency_key", "did you mean the header Idempotency-Key?"),
        ] {
            assert_eq!(create.meant(name).as_deref(), Some(hint), "{name}");
        }
        for name in ["utm_source", "message", "cursor", ""] {
            assert_eq!(create.meant(name), None, "{name}");
        }
        assert_eq!(
            call(&*CHAT_MESSAGE).meant("text").as_deref(),
            Some("message belongs in the body")
        );
    }

    #[test]
    fn no_name_of_another_api_is_a_known_parameter() {
        for (right, others) in OF_PARAMETERS {
            for other in *others {
                assert_eq!(
                    known(&[right], &[]).meant(other),
                    Some(format!("did you mean {right}?")),
                    "{other}"
                );
            }
        }
    }
}
