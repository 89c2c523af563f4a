//! The HTTP API. The only place that knows axum.

mod admin;
mod caller;
mod cli_auth;
mod consumers;
mod control;
mod dashboard;
mod deletion;
mod deliveries;
mod document;
mod endpoints;
mod error;
mod events;
mod feed;
mod health;
pub(crate) mod hooks;
mod host;
mod ingest;
mod jobs;
mod known_keys;
mod login_paths;
mod metrics;
mod open_connections;
mod pages;
mod parameters;
mod platforms;
mod query;
mod recording;
mod request;
mod sending;
pub(crate) mod serve;
mod session_cookie;
mod sessions;
#[cfg(any(test, fuzzing))]
pub(crate) mod untrusted;
mod usage;
pub(crate) mod work;

use std::{mem, net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, Response, Uri, header},
    middleware::{self, Next},
    response::IntoResponse as _,
    routing::get,
};
use meetbot_types::{AddressPolicy, Availability, JobId, KeyId, RequestId};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

use self::{
    caller::RequestName,
    error::{ApiError, request_id},
    open_connections::Admission,
    parameters::Parameters,
};
pub(crate) use self::{health::Readiness, known_keys::KnownKeys};
use crate::{
    audit::Audit,
    clock::Clock,
    egress::Guard,
    limits::{Allowance, Limits},
    logins::Logins,
    metrics::Metrics,
    recordings::Recordings,
    shares::Shares,
    store::Store,
    store_outage::StoreOutage,
    wake::Wakes,
    webhooks::Post,
};

const REQUEST_ID: &str = "x-request-id";
/// When to ask again for what others of the same key or address hold.
const BUSY: Duration = Duration::from_secs(2);

/// What the API works on.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) store_outage: Arc<StoreOutage>,
    pub(crate) wakes: Arc<Wakes>,
    /// Wakes the dispatch.
    pub(crate) queue: Arc<Notify>,
    /// Wakes the webhook sender.
    pub(crate) outbox: Arc<Notify>,
    /// Wakes the task that has mixes made.
    pub(crate) mixes: Arc<Notify>,
    /// Wakes the task that brings recordings into the bucket.
    pub(crate) uploads: Arc<Notify>,
    pub(crate) guard: Arc<Guard>,
    /// Where meetings may be.
    pub(crate) meetings: Arc<AddressPolicy>,
    /// The ways into meetings that bots know.
    pub(crate) available: Arc<[Availability]>,
    pub(crate) scenario: fn(&str) -> Result<(), String>,
    pub(crate) recordings: Recordings,
    /// How long a job may wait for a worker.
    pub(crate) start_within: Duration,
    /// No more jobs are claimed.
    pub(crate) draining: CancellationToken,
    /// Nobody may wait any longer.
    pub(crate) stopping: CancellationToken,
    pub(crate) known_keys: Arc<KnownKeys>,
    pub(crate) metrics: Arc<Metrics>,
    /// Whether there is a dashboard, and sessions for it.
    pub(crate) dashboard: bool,
    /// How many bots may run.
    pub(crate) max_bots: usize,
    pub(crate) audit: Arc<Audit>,
    pub(crate) limits: Limits,
    /// Requests of each key.
    pub(crate) requests: Arc<Allowance<KeyId>>,
    /// Keys that nobody knows, from each address.
    pub(crate) unknown_keys: Arc<Allowance<IpAddr>>,
    /// The turn to look up a key from an address that has shown too many of them.
    pub(crate) suspects: Arc<Semaphore>,
    /// Room for requests that are worked on.
    pub(crate) room: Arc<Semaphore>,
    /// Who has how many calls that are worked on, or whose answer is being sent.
    pub(crate) calls: Arc<Shares<KeyId>>,
    /// Who has how many event streams and downloads.
    pub(crate) streams: Arc<Shares<KeyId>>,
    /// Sends test events.
    pub(crate) post: Arc<Post>,
    /// Who has how many test events under way, each of which may take as long as its endpoint.
    pub(crate) webhook_tests: Arc<Shares<KeyId>>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) hooks: Arc<hooks::Hooks>,
    pub(crate) workers: Arc<work::Workers>,
    /// Logins of `meetbot login` that wait.
    pub(crate) logins: Arc<Logins>,
}

impl Server {
    /// Something happened to a job: all who may wait for it look.
    fn happened(&self, job: JobId) {
        self.wakes.poke(job);
        self.queue.notify_one();
        self.outbox.notify_one();
    }
}

/// What needs a key, and says which.
fn keyed() -> OpenApiRouter<Server> {
    let mut keyed = OpenApiRouter::new()
        .merge(jobs::router())
        .merge(control::router())
        .merge(consumers::router())
        .merge(deletion::router())
        .merge(events::router())
        .merge(feed::router())
        .merge(recording::router())
        .merge(deliveries::router())
        .merge(endpoints::router())
        .merge(host::router())
        .merge(admin::router())
        .merge(metrics::router())
        .merge(platforms::router())
        .merge(usage::router())
        .merge(cli_auth::router());
    caller::document_scopes(keyed.get_openapi_mut());
    keyed
}

/// What is documented, with these calls that need a key.
fn routes(keyed: OpenApiRouter<Server>) -> OpenApiRouter<Server> {
    OpenApiRouter::with_openapi(document::Document::openapi())
        .merge(keyed)
        .merge(health::router())
        .merge(cli_auth::open_router())
}

/// The whole API.
pub(crate) fn router(server: Server) -> Router {
    let mut keyed = keyed();
    let parameters = Arc::new(Parameters::of(keyed.get_openapi_mut()));
    // The last one is asked first.
    let keyed = keyed
        .route_layer(middleware::from_fn_with_state(parameters, parameters::judge))
        .route_layer(middleware::from_fn_with_state(server.clone(), caller::admit));
    let (router, mut document) = routes(keyed).split_for_parts();
    document::complete(&mut document);
    // It is at the server that serves it.
    document.servers = Some(vec![utoipa::openapi::Server::new("/")]);
    // Anybody may ask for it, and need not take the answer: all answers are the same bytes.
    let document = Bytes::from(serde_json::to_vec(&document).expect("the document is JSON"));
    let media_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    router
        .merge(ingest::router())
        .merge(work::router(&server))
        .merge(hooks::router())
        .merge(sessions::router(&server))
        .merge(dashboard::router(server.dashboard))
        .route("/openapi.json", get(async move || (media_type, document)))
        .fallback(async |uri: Uri| ApiError::no_such_path(uri.path()))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            ApiError::method_not_allowed(method.as_str(), uri.path())
        })
        .layer(CatchPanicLayer::custom(crashed))
        .layer(middleware::from_fn_with_state(server.clone(), shed))
        .layer(middleware::from_fn_with_state(server.clone(), answer))
        .with_state(server)
}

fn crashed(_: Box<dyn std::any::Any + Send>) -> Response<Body> {
    tracing::error!("a request met a bug");
    ApiError::internal().into_response()
}

/// Refuses requests beyond the limits before they cost anything. Those of bots and workers and `/healthz` are exempt.
async fn shed(State(server): State<Server>, request: Request, next: Next) -> Response<Body> {
    let path = request.uri().path();
    let is_spared = path.starts_with(ingest::PATH) || path.starts_with(work::PATH);
    if is_spared || path == "/healthz" {
        return next.run(request).await;
    }
    let refusal = match request.extensions().get() {
        Some(Admission::OverConnectionLimit) => {
            server.metrics.refused("connections");
            Some(ApiError::unavailable("too many connections are open"))
        }
        Some(Admission::OverAddressLimit) => {
            server.metrics.refused("connections_per_address");
            let message = "too many connections are open from this address";
            Some(ApiError::rate_limited(message, BUSY))
        }
        Some(Admission::Admitted) | None => None,
    };
    if let Some(refusal) = refusal {
        let mut response = refusal.into_response();
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    let Ok(_turn) = server.room.try_acquire() else {
        server.metrics.refused("requests_at_once");
        return ApiError::unavailable("the server has too much to do").into_response();
    };
    next.run(request).await
}

/// The outermost layer: gives each request its id, each error its body, and counts them.
async fn answer(State(server): State<Server>, mut request: Request, next: Next) -> Response<Body> {
    let began = server.clock.now();
    let id = request_id(request.headers().get(REQUEST_ID), || RequestId::generate(began.wall));
    request.extensions_mut().insert(RequestName(id.as_str().into()));
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().cloned();
    // At the highest level, so that no filter takes it from the lines within.
    let span = tracing::error_span!("request", request = id);
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        let headers = mem::take(response.headers_mut());
        response = error.answer(&id);
        response.headers_mut().extend(headers);
    }
    let took = server.clock.now().steady.saturating_sub(began.steady);
    let route = route.as_ref().map(MatchedPath::as_str);
    let path = if route == Some(login_paths::POLL) { login_paths::POLL } else { &path };
    server.metrics.answered(method.as_str(), route, response.status().as_u16(), took);
    let status = response.status().as_u16();
    span.in_scope(
        || tracing::debug!(%method, path, status, ms = took.as_secs_f64() * 1000.0, "answered"),
    );
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};
    use xtask::spec_file;

    use super::*;

    fn document() -> utoipa::openapi::OpenApi {
        let mut document = routes(keyed()).to_openapi();
        document::complete(&mut document);
        document
    }

    /// The names of a schema's properties, those of the objects among them included, in their order.
    fn paths(document: &Value, schema: &Value) -> Vec<String> {
        if let Some(reference) = schema["$ref"].as_str() {
            return paths(document, document.pointer(&reference[1..]).unwrap());
        }
        let choices = schema["oneOf"].as_array().into_iter().flatten();
        let mut found: Vec<String> = choices.flat_map(|choice| paths(document, choice)).collect();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            found.push(name.clone());
            let within = paths(document, property).into_iter();
            found.extend(within.map(|inner| format!("{name}.{inner}")));
        }
        found
    }

    #[test]
    fn the_fields_of_every_body_are_those_that_the_document_names() {
        let document = serde_json::to_value(document()).unwrap();
        let mut bodies = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
                if schema.is_null() {
                    continue;
                }
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let shape = parameters::body_of(&method, path);
                let shape = shape.unwrap_or_else(|| panic!("the body of {path} has no shape"));
                let (mut known, mut named) = (shape.paths(), paths(&document, schema));
                known.sort();
                named.sort();
                assert_eq!(known, named, "{path}");
                bodies.push(path);
            }
        }
        assert_eq!(bodies.len(), 10);
    }

    #[test]
    fn the_document_is_up_to_date() {
        let document = document();
        spec_file::check_json("spec/openapi.json", &serde_json::to_value(document).unwrap());
    }

    /// The schemas of OpenAPI 3.1 are JSON Schema, but for where they lie.
    #[test]
    fn the_manifests_schema_is_up_to_date() {
        let document = serde_json::to_string(&document()).unwrap();
        let document: Value =
            serde_json::from_str(&document.replace("#/components/schemas/", "#/$defs/")).unwrap();
        let all = &document["components"]["schemas"];
        let mut schema = all["Manifest"].clone();
        let (mut needed, mut definitions) = (vec![schema.to_string()], Map::new());
        while let Some(text) = needed.pop() {
            for (name, definition) in all.as_object().unwrap() {
                if text.contains(&format!("\"#/$defs/{name}\"")) && !definitions.contains_key(name)
                {
                    needed.push(definition.to_string());
                    definitions.insert(name.clone(), definition.clone());
                }
            }
        }
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
        schema["title"] = "manifest.json".into();
        schema["$defs"] = definitions.into();
        spec_file::check_json("spec/manifest.schema.json", &schema);
    }
}
