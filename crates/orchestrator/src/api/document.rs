//! The OpenAPI document, and the parts that are common to all calls.

use axum::http::Method;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Content, Header, ObjectBuilder, Ref, RefOr, Required, Response, Schema, Type,
        extensions::Extensions,
        header::HeaderBuilder,
        path::{Operation, ParameterBuilder, ParameterIn, PathItem},
        response::ResponseBuilder,
        schema::ArrayItems,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::login_paths;

#[derive(OpenApi)]
#[openapi(
    info(title = "meetbot", description = DESCRIPTION, license(name = "MIT", identifier = "MIT")),
    servers((url = "https://api.meetbot.dev")),
    modifiers(&BearerKey),
    security(("apiKey" = [])),
    tags(
        (name = "jobs", description = "A job: one bot asked for one meeting"),
        (name = "control", description = "What can be asked of a bot in a meeting"),
        (name = "consumers", description = "Who uses the server"),
        (name = "recordings", description = "What was recorded"),
        (name = "webhooks", description = "How events were delivered"),
        (name = "operators", description = "For those who run the server"),
        (name = "login", description = "How `meetbot login` gets a key"),
    )
)]
pub(super) struct Document;

const DESCRIPTION: &str = "Bots that join video meetings, record each speaker, and leave by themselves.\n\n\
    A field or query parameter whose name is a known one misspelt (other case, underscores, hyphens, or one letter that is wrong, missing, too many or swapped with its neighbour), or \
    what other products call it, is refused: 400 with the issue code `unknown_field` and the right name. So is a known field in the wrong place: in another object of the body, at its top level, or in the query. Other unknown ones are passed over and named in `X-Meetbot-Ignored`. \
    `metadata` is not looked into. A field that stands twice in one object is refused (`duplicate_field`), and so is a query parameter that cannot be repeated.\n\n\
    A path that no call has is answered 404 `no_such_path`; `not_found` means that there is no such job, delivery, file, key or consumer.";

struct BearerKey;

impl Modify for BearerKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key: mb_live_… or mb_test_…. Its scope is read, write, admin or operator, each of which includes those before it, or worker, which opens none of these calls; each call says which it needs."))
            .build();
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("apiKey", SecurityScheme::Http(scheme));
    }
}

const REQUEST_ID: &str = "X-Request-Id";
const IGNORED: &str = "X-Meetbot-Ignored";

/// Error responses that any call may give.
const REFUSALS: [(&str, &str); 11] = [
    ("400", "invalid_input: every problem of the request"),
    ("401", "unauthorized: no key, or none that is known"),
    ("403", "forbidden: the key's scope does not reach this"),
    ("409", "conflict: a request with this Idempotency-Key is still running"),
    ("413", "payload_too_large"),
    ("415", "unsupported_media_type: the body must be JSON, and not compressed"),
    ("422", "idempotency_mismatch: this Idempotency-Key was used for another request"),
    ("429", "rate_limited or quota_exceeded: ask again after Retry-After"),
    ("431", "The request's line and headers are larger than 64 KiB; the answer has no body"),
    ("500", "internal_error: a bug, which the server's log explains"),
    ("503", "unavailable: ask again after Retry-After"),
];

/// The SDKs' name of each operation, in snake case; each language converts it (`dispatch_bot`, `dispatchBot`, `DispatchBot`).
/// `None` if the SDKs have no method for the operation.
const SDK_NAMES: [(&str, Option<&str>); 43] = [
    ("cancel_job", Some("cancel_bot")),
    ("change_quota", None),
    ("complete_login", None),
    ("create_job", Some("dispatch_bot")),
    ("create_key", None),
    ("delete_recording", Some("delete_recording")),
    ("end_own_key", None),
    ("erase_any_consumer", None),
    ("erase_consumer", Some("erase_consumer")),
    ("find_login", None),
    ("get_artifact", Some("artifact")),
    ("get_consumer", None),
    ("get_delivery", Some("get_delivery")),
    ("get_host", Some("host")),
    ("get_job", Some("get_bot")),
    ("get_manifest", Some("manifest")),
    ("get_metrics", None),
    ("get_usage", Some("usage")),
    ("healthz", None),
    ("init_login", None),
    ("leave_call", Some("leave_bot")),
    ("list_artifacts", Some("artifacts")),
    ("list_consumers", None),
    ("list_deliveries", Some("deliveries")),
    ("list_events", Some("watch")),
    ("list_feed", None),
    ("list_jobs", Some("list_bots")),
    ("list_keys", None),
    ("list_platforms", Some("list_platforms")),
    ("list_secrets", None),
    ("list_uses", None),
    ("pause_recording", Some("pause_recording")),
    ("poll_login", None),
    ("readyz", None),
    ("redeliver", Some("redeliver")),
    ("redeliver_all", None),
    ("request_recording_permission", Some("request_recording_permission")),
    ("resume_recording", Some("resume_recording")),
    ("revoke_key", None),
    ("rotate_secret", None),
    ("send_chat_message", Some("send_chat_message")),
    ("stop_recording", Some("stop_recording")),
    ("test_webhook", None),
];

/// Adds the common responses and the SDKs' name to each operation.
pub(super) fn complete(document: &mut utoipa::openapi::OpenApi) {
    for (path, item) in &mut document.paths.paths {
        // A login is identified by its code, so `Idempotency-Key` does not apply.
        if let Some(post) = &mut item.post
            && !path.starts_with(login_paths::FOLDER)
        {
            take_idempotency_key(post);
        }
        for (_, operation) in operations(item) {
            answer(operation);
            say_sdk_name(operation);
        }
    }
    let components = document.components.get_or_insert_with(Default::default);
    for (name, schema) in &mut components.schemas {
        if let Some(element) = name.strip_prefix("Page_") {
            refer_to_element(schema, element);
        }
    }
    let id = header("The request's id: the one that was sent, when it is short and plain");
    components.headers.insert(REQUEST_ID.to_owned(), id.into());
    let ignored = header(
        "The request's fields and query parameters that are not known here and were passed over: at most 20 names, percent-encoded, with commas between them; one of an object in the body with its path, as in autoLeave.afterLunch; an empty name as \"\". Missing when there are none.",
    );
    components.headers.insert(IGNORED.to_owned(), ignored.into());
    for (status, description) in REFUSALS {
        components.responses.insert(status.to_owned(), refusal(status, description).into());
    }
}

/// Replaces the schema of a page's elements, which utoipa writes inline, by a reference.
fn refer_to_element(page: &mut RefOr<Schema>, element: &str) {
    if let RefOr::T(Schema::Object(page)) = page
        && let Some(RefOr::T(Schema::Array(data))) = page.properties.get_mut("data")
    {
        data.items = ArrayItems::RefOrSchema(Box::new(Ref::from_schema_name(element).into()));
    }
}

/// The operations of a path.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let all = [
        (Method::GET, get),
        (Method::PUT, put),
        (Method::POST, post),
        (Method::DELETE, delete),
        (Method::PATCH, patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Adds the name of the operation's method in the SDKs.
fn say_sdk_name(operation: &mut Operation) {
    let id = operation.operation_id.as_deref();
    if let Some((_, name)) = SDK_NAMES.iter().find(|(known, _)| Some(*known) == id) {
        let named = Extensions::from_iter([("x-sdk-name", *name)]);
        operation.extensions.get_or_insert_default().merge(named);
    }
}

/// The components of responses that every call may give.
fn answer(operation: &mut Operation) {
    let open = [SecurityRequirement::default()];
    let is_keyed = operation.security.as_deref().is_none_or(|needs| needs != open);
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let names = [REQUEST_ID, IGNORED];
        let names = if is_keyed && status.starts_with('2') { &names[..] } else { &names[..1] };
        for name in names {
            let header = Ref::new(format!("#/components/headers/{name}"));
            response.headers.insert((*name).to_owned(), RefOr::Ref(header));
        }
    }
    if is_keyed {
        refuses(operation, &["401", "403", "429"]);
    }
    if operation.request_body.is_some() {
        refuses(operation, &["400", "413", "415"]);
    }
    refuses(operation, &["431", "500", "503"]);
}

/// Adds references to the common error responses that the operation does not describe itself.
fn refuses(operation: &mut Operation, statuses: &[&str]) {
    for status in statuses {
        let response = RefOr::Ref(Ref::from_response_name(*status));
        operation.responses.responses.entry((*status).to_owned()).or_insert(response);
    }
}

fn refusal(status: &str, description: &str) -> Response {
    if status == "431" {
        // hyper gives this response before a request is parsed; it has no body of the API.
        return ResponseBuilder::new().description(description).build();
    }
    let body = Content::new(Some(Ref::from_schema_name("ErrorBody")));
    let id = header("The request's id, which the body has too");
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/json", body)
        .header(REQUEST_ID, id);
    match status {
        "401" => response.header("WWW-Authenticate", header("Bearer")),
        "429" | "503" => response.header("Retry-After", header("Seconds to wait")),
        _ => response,
    }
    .build()
}

fn header(description: &str) -> Header {
    let text = ObjectBuilder::new().schema_type(Type::String).build();
    HeaderBuilder::new().schema(Some(text)).description(Some(description)).build()
}

fn take_idempotency_key(operation: &mut Operation) {
    let key = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(255))
        .pattern(Some("^[!-~]([ -~]*[!-~])?[\\t ]*$"));
    let parameter = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "1 to 255 printable characters; the same key gets the same answer for 24 h",
        ))
        .schema(Some(key))
        .build();
    operation.parameters.get_or_insert_default().push(parameter.into());
    refuses(operation, &["400", "409", "413", "422"]);
}
