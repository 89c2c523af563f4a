//! The OpenAPI document, and what holds of every call: said here, once, and not at each of them.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        Content, Header, ObjectBuilder, Ref, RefOr, Required, Response, Type,
        header::HeaderBuilder,
        path::{Operation, ParameterBuilder, ParameterIn, PathItem},
        response::ResponseBuilder,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

#[derive(OpenApi)]
#[openapi(
    info(title = "meetbot", description = "Bots that join video meetings, record each speaker, and leave by themselves.", license(name = "MIT", identifier = "MIT")),
    modifiers(&BearerKey),
    security(("apiKey" = [])),
    tags(
        (name = "jobs", description = "A job: one bot asked for one meeting"),
        (name = "control", description = "What can be asked of a bot in a meeting"),
        (name = "consumers", description = "Who uses the server"),
        (name = "recordings", description = "What was recorded"),
        (name = "webhooks", description = "How events were delivered"),
        (name = "operators", description = "For those who run the server"),
    )
)]
pub(super) struct Document;

struct BearerKey;

impl Modify for BearerKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key: mb_live_… or mb_test_…. Its scope is read, write or admin, each of which includes those before it; each call says which it needs."))
            .build();
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("apiKey", SecurityScheme::Http(scheme));
    }
}

const REQUEST_ID: &str = "X-Request-Id";

/// The refusals that do not depend on the call.
const REFUSALS: [(&str, &str); 10] = [
    ("400", "invalid_input: every problem of the request"),
    ("401", "unauthorized: no key, or none that is known"),
    ("403", "forbidden: the key's scope does not reach this"),
    ("409", "conflict: a request with this Idempotency-Key is still running"),
    ("413", "payload_too_large"),
    ("415", "unsupported_media_type: the body must be JSON"),
    ("422", "idempotency_mismatch: this Idempotency-Key was used for another request"),
    ("429", "rate_limited or quota_exceeded: ask again after Retry-After"),
    ("500", "internal_error: a bug, which the server's log explains"),
    ("503", "unavailable: ask again after Retry-After"),
];

/// Adds to each call what any call may be answered.
pub(super) fn complete(document: &mut utoipa::openapi::OpenApi) {
    for item in document.paths.paths.values_mut() {
        if let Some(post) = &mut item.post {
            take_idempotency_key(post);
        }
        for operation in operations(item) {
            answer(operation);
        }
    }
    let components = document.components.get_or_insert_with(Default::default);
    let id = header("The request's id: the one that was sent, when it is short and plain");
    components.headers.insert(REQUEST_ID.to_owned(), id.into());
    for (status, description) in REFUSALS {
        components.responses.insert(status.to_owned(), refusal(status, description).into());
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

/// What every call may be answered.
fn answer(operation: &mut Operation) {
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            let id = Ref::new(format!("#/components/headers/{REQUEST_ID}"));
            response.headers.insert(REQUEST_ID.to_owned(), RefOr::Ref(id));
        }
    }
    let open = [SecurityRequirement::default()];
    if operation.security.as_deref().is_none_or(|needs| needs != open) {
        refuses(operation, &["401", "403", "429"]);
    }
    if operation.request_body.is_some() {
        refuses(operation, &["400", "413", "415"]);
    }
    refuses(operation, &["500", "503"]);
}

/// Refers to the refusals that the call does not describe itself.
fn refuses(operation: &mut Operation, statuses: &[&str]) {
    for status in statuses {
        let response = RefOr::Ref(Ref::from_response_name(*status));
        operation.responses.responses.entry((*status).to_owned()).or_insert(response);
    }
}

fn refusal(status: &str, description: &str) -> Response {
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
