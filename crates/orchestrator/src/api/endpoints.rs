//! Calls about a webhook endpoint: redeliver all its deliveries, and send a test event.

use axum::{
    Extension, Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use meetbot_types::{
    DeliveryId, DeliveryTry, ErrorBody, Issue, Redeliver, Redelivered, TestWebhook, TestedWebhook,
    Timestamp, time::InvalidTimestamp,
};
use serde_json::Value;
use url::Url;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    caller::{Caller, share_refused},
    error::ApiError,
    query::Query,
    request::{BODY_LIMIT, JsonBody, idempotency_key, replay},
};
use crate::{
    egress::Guard,
    fields::{Fields, Ignored, Issues, REDELIVER, TEST_WEBHOOK},
    store::{EndpointRedelivery, StoredResponse},
    webhooks::test_event,
};

pub(super) fn router() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(redeliver_all)).routes(routes!(test_webhook))
}

/// Send all deliveries of an endpoint once more that were made since a time, whatever became of them, each with the same `deliveryId`.
///
/// At most 1,000 at once, the oldest first: `nextCursor` is not null where there are more, and goes on behind them.
#[utoipa::path(post, path = "/api/v1/webhooks/deliveries/redeliver", tag = "webhooks", request_body = Redeliver,
    responses(
        (status = 200, description = "So many are pending again", body = Redelivered),
        (status = 400, description = "invalid_input: every problem of the body", body = ErrorBody),
        (status = 404, description = "not_found: nothing was ever sent to this endpoint", body = ErrorBody),
    ))]
async fn redeliver_all(
    State(server): State<Server>,
    Caller { tenant, .. }: Caller,
    headers: HeaderMap,
    query: Query,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Response, ApiError> {
    let (which, ignored) = query.with(read_redeliver(&body))?;
    let idempotency = idempotency_key(
        &headers,
        "POST",
        "/api/v1/webhooks/deliveries/redeliver",
        &body,
        &ignored,
    )?;
    match server.store.redeliver_all(tenant, which, idempotency, server.store.now()).await? {
        EndpointRedelivery::Sent(sent) => {
            server.outbox.notify_one();
            Ok((Extension(ignored), Json(sent)).into_response())
        }
        EndpointRedelivery::NoEndpoint => {
            Err(ApiError::not_found("nothing was ever sent to this endpoint"))
        }
        EndpointRedelivery::Prior(prior) => replay(prior),
    }
}

/// Send a test event to a URL, signed and sent as every webhook is, and answer what came of it.
///
/// Its `event` is `webhook.test`, its `data` has `test`: true and the `jobId` of no job. It is tried once; no list and no metric has it, and how the endpoint is does not change by it. The answer comes within 11 s.
#[utoipa::path(post, path = "/api/v1/webhooks/test", tag = "webhooks", request_body = TestWebhook,
    responses(
        (status = 200, description = "What became of it, also where the endpoint did not take it", body = TestedWebhook),
        (status = 400, description = "invalid_input: every problem of the body", body = ErrorBody),
    ))]
async fn test_webhook(
    State(server): State<Server>,
    caller: Caller,
    headers: HeaderMap,
    query: Query,
    JsonBody(body): JsonBody<BODY_LIMIT>,
) -> Result<Response, ApiError> {
    let (TestWebhook { endpoint }, ignored) = query.with(read_test(&body, &server.guard))?;
    let idempotency = idempotency_key(&headers, "POST", "/api/v1/webhooks/test", &body, &ignored)?;
    let (store, tenant, now) = (&server.store, caller.tenant, server.store.now());
    let share = server.webhook_tests.take(caller.key().id);
    let _share =
        share.map_err(|none| share_refused(none, "the key has too many test events under way"))?;
    let name = &caller.key().consumer_name;
    let gone = || ApiError::unauthorized("the consumer of this key is erased");
    let secrets = store.webhook_secrets(name, now).await?.ok_or_else(gone)?;
    let kept = |tested: &TestedWebhook, ignored: String| {
        let body = serde_json::to_string(tested).map_err(|_| ApiError::internal())?;
        Ok::<_, ApiError>(StoredResponse { status: 200, body, ignored })
    };
    let key = idempotency.as_ref().map(|asked| (asked.key.clone(), asked.ignored.clone()));
    if let Some(idempotency) = idempotency {
        let unknown = kept(&not_known(endpoint.clone(), now.wall), idempotency.ignored.clone())?;
        if let Some(prior) = store.begin_request(tenant, idempotency, unknown, now).await? {
            return replay(prior);
        }
    }
    let tested = test_event::send(&server.post, endpoint, secrets, now.wall).await;
    if let Some((key, ignored)) = key {
        store.set_final_response(tenant, key, kept(&tested, ignored)?).await?;
    }
    Ok((Extension(ignored), Json(tested)).into_response())
}

/// The response that is replayed if the server died during the try.
fn not_known(endpoint: String, at: Timestamp) -> TestedWebhook {
    let error = Some("the server stopped during the try".to_owned());
    let tried = DeliveryTry { at, duration_ms: 0, status: None, error, answer: None };
    TestedWebhook { delivery_id: DeliveryId::generate(at), endpoint, delivered: false, tried }
}

/// Reads which deliveries to send again, and the names of ignored fields. Pure.
pub(super) fn read_redeliver(body: &str) -> Result<(Redeliver, Ignored), Vec<Issue>> {
    let fields = Fields::read(body).map_err(Issues::into_vec)?;
    let (mut issues, mut ignored) = (Issues::default(), Ignored::default());
    let endpoint = url(&fields, &mut issues, |url| {
        let is_http = Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        let problem = "is not an http or https URL, as in https://example.com/hooks/meetbot";
        is_http.then_some(()).ok_or(("invalid_url", problem.to_owned()))
    });
    let since = since(&fields, &mut issues);
    let cursor = cursor(&fields, &mut issues);
    REDELIVER.check_names(&fields, &mut issues, &mut ignored);
    match (endpoint, since) {
        (Some(endpoint), Some(since)) if issues.is_empty() => {
            Ok((Redeliver { endpoint, since, cursor }, ignored))
        }
        _ => Err(issues.into_vec()),
    }
}

/// Reads the endpoint of a test event, and the names of ignored fields. Pure.
pub(super) fn read_test(body: &str, guard: &Guard) -> Result<(TestWebhook, Ignored), Vec<Issue>> {
    let fields = Fields::read(body).map_err(Issues::into_vec)?;
    let (mut issues, mut ignored) = (Issues::default(), Ignored::default());
    let endpoint = url(&fields, &mut issues, |url| {
        guard.check(url).map_err(|problem| (problem.code(), problem.to_string()))
    });
    TEST_WEBHOOK.check_names(&fields, &mut issues, &mut ignored);
    match endpoint {
        Some(endpoint) if issues.is_empty() => Ok((TestWebhook { endpoint }, ignored)),
        _ => Err(issues.into_vec()),
    }
}

/// The endpoint in the normalized form that a job with this URL stores.
fn url(
    fields: &Fields<'_>,
    issues: &mut Issues,
    check: impl FnOnce(&str) -> Result<(), (&'static str, String)>,
) -> Option<String> {
    const NAME: &str = "endpoint";
    let value = fields.required(NAME, "the URL that webhooks are sent to", issues)?;
    let Value::String(text) = value else {
        issues.wrong_type(&[NAME], "a string with a URL");
        return None;
    };
    if let Err((code, message)) = check(&text) {
        issues.add(&[NAME], code, message);
        return None;
    }
    Url::parse(&text).ok().map(Into::into)
}

fn since(fields: &Fields<'_>, issues: &mut Issues) -> Option<Timestamp> {
    const NAME: &str = "since";
    let Value::String(text) = fields.required(NAME, "an RFC 3339 time", issues)? else {
        issues.wrong_type(&[NAME], "a string with an RFC 3339 time");
        return None;
    };
    match text.parse() {
        Ok(since) => Some(since),
        Err(error @ InvalidTimestamp::Malformed) => {
            issues.add(&[NAME], "invalid_time", format!("is {error}; the offset is required"));
            None
        }
        Err(error) => {
            issues.add(&[NAME], "invalid_time", format!("is {error}"));
            None
        }
    }
}

fn cursor(fields: &Fields<'_>, issues: &mut Issues) -> Option<DeliveryId> {
    const NAME: &str = "cursor";
    let value = fields.value(NAME, issues)?;
    let read = value.as_str().and_then(|text| text.parse().ok());
    if read.is_none() {
        let message = "is not a nextCursor that this call gave";
        issues.add(&[NAME], "invalid_cursor", message);
    }
    read
}

#[cfg(test)]
mod tests {
    use meetbot_types::AddressPolicy;
    use serde_json::json;

    use super::*;

    fn problems<T>(read: Result<T, Vec<Issue>>) -> Vec<String> {
        let issues = read.err().unwrap_or_default().into_iter();
        issues.map(|issue| format!("{} {}", issue.path.join("."), issue.code)).collect()
    }

    #[test]
    fn an_endpoint_is_normalized_and_a_time_requires_an_offset() {
        let body = json!({"endpoint": "HTTPS://A.example/x y?k=1", "since": "2026-11-29T12:00:00+02:00", "note": 1});
        let (which, ignored) = read_redeliver(&body.to_string()).unwrap();
        assert_eq!(which.endpoint, "https://a.example/x%20y?k=1");
        assert_eq!(which.since.to_string(), "2026-11-29T10:00:00.000Z");
        assert_eq!((which.cursor, ignored.header()), (None, Some("note")));
    }

    #[test]
    fn all_issues_of_a_redelivery_are_reported_together() {
        for (body, wanted) in [
            (json!({}), vec!["endpoint required", "since required"]),
            (json!({"endpoint": null, "since": null}), vec!["endpoint required", "since required"]),
            (
                json!({"endpoint": 5, "since": 1_700_000_000, "cursor": 7}),
                vec!["endpoint invalid_type", "since invalid_type", "cursor invalid_cursor"],
            ),
            (
                json!({"endpoint": "ftp://a.example", "since": "2026-11-29", "cursor": "dlv_1"}),
                vec!["endpoint invalid_url", "since invalid_time", "cursor invalid_cursor"],
            ),
            (
                json!({"endpoint": "javascript:alert(1)", "since": "2026-11-29T10:00:00"}),
                vec!["endpoint invalid_url", "since invalid_time"],
            ),
            (
                json!({"url": "https://a.example", "Since": "2026-11-29T10:00:00Z"}),
                vec![
                    "endpoint required",
                    "since required",
                    "Since unknown_field",
                    "url unknown_field",
                ],
            ),
        ] {
            assert_eq!(problems(read_redeliver(&body.to_string())), wanted, "{body}");
        }
        assert_eq!(problems(read_redeliver("[]")), [" invalid_json"]);
    }

    #[test]
    fn a_test_event_has_the_address_policy_of_webhooks() {
        let guard = Guard::new(AddressPolicy { loopback: false, networks: Vec::new() });
        let read = |endpoint: &str| read_test(&json!({"endpoint": endpoint}).to_string(), &guard);
        assert!(read("https://a.example/x").is_ok());
        for (endpoint, code) in [
            ("http://127.0.0.1/", "address_not_allowed"),
            ("http://2130706433/", "address_not_allowed"),
            ("http://[::ffff:169.254.169.254]/", "address_not_allowed"),
            ("https://user:word@a.example/", "invalid_url"),
            ("file:///etc/passwd", "invalid_url"),
            ("", "invalid_url"),
        ] {
            assert_eq!(problems(read(endpoint)), [format!("endpoint {code}")], "{endpoint}");
        }
    }
}
