//! The HTTP API. Only this module uses axum.

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

use std::{mem, net::IpAddr, path::Path, sync::Arc, time::Duration};

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
    accounts::Accounts,
    audit::Audit,
    change_notifier::ChangeNotifier,
    clock::Clock,
    dispatch::Launcher,
    egress::Guard,
    limits::{Limits, RateLimiter},
    logins::Logins,
    metrics::Metrics,
    recordings::Recordings,
    shares::Shares,
    store::Store,
    store_outage::StoreOutage,
    webhooks::Post,
};

const REQUEST_ID: &str = "x-request-id";
/// `Retry-After` of requests that are refused because of others of the same key or address.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The state of the server that the handlers share.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) store_outage: Arc<StoreOutage>,
    pub(crate) changes: Arc<ChangeNotifier>,
    /// Wakes the dispatch.
    pub(crate) queue: Arc<Notify>,
    /// Wakes the webhook sender.
    pub(crate) outbox: Arc<Notify>,
    /// Wakes the task that makes mixes.
    pub(crate) mixes: Arc<Notify>,
    /// Wakes the task that uploads recordings to the bucket.
    pub(crate) uploads: Arc<Notify>,
    pub(crate) guard: Arc<Guard>,
    /// The addresses that servers of meetings may have.
    pub(crate) meetings: Arc<AddressPolicy>,
    /// The platforms, and the ways in which bots can join their meetings.
    pub(crate) available: Arc<[Availability]>,
    pub(crate) scenario: fn(&str) -> Result<(), String>,
    /// The accounts as which bots may join, and the data folder, which has their profiles.
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) data_dir: Arc<Path>,
    pub(crate) recordings: Recordings,
    /// How long a job may wait for a bot after its start time.
    pub(crate) start_within: Duration,
    /// Cancelled when the server begins to drain: no more jobs are claimed.
    pub(crate) draining: CancellationToken,
    /// Cancelled when the server stops: long polls and streams end.
    pub(crate) stopping: CancellationToken,
    pub(crate) known_keys: Arc<KnownKeys>,
    pub(crate) metrics: Arc<Metrics>,
    /// Whether the dashboard and its sessions are enabled.
    pub(crate) dashboard: bool,
    /// Runs the bots of this process.
    pub(crate) launcher: Arc<dyn Launcher>,
    /// How many bots may run concurrently.
    pub(crate) max_bots: usize,
    pub(crate) audit: Arc<Audit>,
    pub(crate) limits: Limits,
    /// The rate limit of each key.
    pub(crate) requests: Arc<RateLimiter<KeyId>>,
    /// The rate limit of unknown keys from each address.
    pub(crate) unknown_keys: Arc<RateLimiter<IpAddr>>,
    /// Serializes lookups of keys from addresses that have sent too many unknown ones.
    pub(crate) unknown_key_lookups: Arc<Semaphore>,
    /// Limits concurrent requests.
    pub(crate) request_slots: Arc<Semaphore>,
    /// Limits the concurrent calls of each key, from the request until the response is sent.
    pub(crate) calls: Arc<Shares<KeyId>>,
    /// Limits the concurrent event streams and downloads of each key.
    pub(crate) streams: Arc<Shares<KeyId>>,
    /// Sends test events.
    pub(crate) post: Arc<Post>,
    /// Limits the concurrent test events of each key; each lasts until its endpoint has answered.
    pub(crate) webhook_tests: Arc<Shares<KeyId>>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) hooks: Arc<hooks::Hooks>,
    pub(crate) workers: Arc<work::Workers>,
    /// Pending logins of `meetbot login`.
    pub(crate) logins: Arc<Logins>,
}

impl Server {
    /// Wakes everything that waits for a change of this job.
    fn notify_changed(&self, job: JobId) {
        self.changes.notify_job(job);
        self.wake_for_any();
    }

    /// The same, of this server alone: nothing has changed that others wait for.
    fn notify_here(&self, job: JobId) {
        self.changes.notify_job_here(job);
        self.wake_for_any();
    }

    fn wake_for_any(&self) {
        self.queue.notify_one();
        self.outbox.notify_one();
    }
}

/// The routes that require a key, with their scopes in the document.
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

/// All documented routes: those that require a key, and the public ones.
fn routes(keyed: OpenApiRouter<Server>) -> OpenApiRouter<Server> {
    OpenApiRouter::with_openapi(document::Document::openapi())
        .merge(keyed)
        .merge(health::router())
        .merge(cli_auth::open_router())
}

/// The whole API, with its middleware.
pub(crate) fn router(server: Server) -> Router {
    let mut keyed = keyed();
    let parameters = Arc::new(Parameters::of(keyed.get_openapi_mut()));
    // The layer that is added last runs first.
    let keyed = keyed
        .route_layer(middleware::from_fn_with_state(parameters, parameters::check_names))
        .route_layer(middleware::from_fn_with_state(server.clone(), caller::admit));
    let (router, mut document) = routes(keyed).split_for_parts();
    document::complete(&mut document);
    // The document that a server serves describes that server.
    document.servers = Some(vec![utoipa::openapi::Server::new("/")]);
    // Serialized once: the document is public, and all responses share its bytes.
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
    tracing::error!("a request's handler panicked");
    ApiError::internal().into_response()
}

/// Middleware: refuses requests beyond the limits before any work is done. Requests of bots and workers, and `/healthz`, are exempt.
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
            Some(ApiError::rate_limited(message, RETRY_AFTER))
        }
        Some(Admission::Admitted) | None => None,
    };
    if let Some(refusal) = refusal {
        let mut response = refusal.into_response();
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    let Ok(_turn) = server.request_slots.try_acquire() else {
        server.metrics.refused("requests_at_once");
        return ApiError::unavailable("the server has too much to do").into_response();
    };
    next.run(request).await
}

/// The outermost middleware: gives each request its id and each error its body, and counts the responses.
async fn answer(State(server): State<Server>, mut request: Request, next: Next) -> Response<Body> {
    let began = server.clock.now();
    let id = request_id(request.headers().get(REQUEST_ID), || RequestId::generate(began.wall));
    request.extensions_mut().insert(RequestName(id.as_str().into()));
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().cloned();
    // At the highest level, so that no log filter removes the request's id from the lines of the span.
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

    /// The names of a schema's properties, in order, with those of nested objects.
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
    fn the_known_fields_of_every_body_match_the_document() {
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

    /// The schemas of OpenAPI 3.1 are JSON Schema; only the paths of references differ.
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
