//! Incoming webhooks of other services: Zoom's. They carry no key and are authenticated by their signature. Not in the API's document, since only Zoom calls it.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};
use meetbot_types::signature;
use serde_json::json;

use super::{Server, caller::Peer, error::ApiError, request::read_body};
use crate::{
    jobs::create::{self, CreationRules, New},
    limits::RateLimiter,
    store::{Creation, Tenant},
    zoom::{
        App, Zoom, auto_dispatch,
        webhook::{self, Untrusted, Webhook},
    },
};

/// The path to which Zoom posts.
pub(super) const ZOOM: &str = "/api/v1/hooks/zoom";
/// The largest body, in bytes: a webhook of a stream has less than 2 KiB.
const LIMIT: usize = 64 * 1024;
/// How many webhooks are accepted in a minute, from one address and from all.
const FROM_ADDRESS: u32 = 1_200;
const FROM_ALL: u32 = 12_000;

/// The configured apps, and the rate limits of their webhooks.
#[derive(Debug)]
pub(crate) struct Hooks {
    pub(crate) zoom: Arc<Zoom>,
    addresses: RateLimiter<IpAddr>,
    all: RateLimiter<()>,
}

impl Hooks {
    pub(crate) fn new(zoom: Arc<Zoom>) -> Self {
        let (addresses, all) = (NonZeroU32::new(FROM_ADDRESS), NonZeroU32::new(FROM_ALL));
        Self { zoom, addresses: RateLimiter::new(addresses), all: RateLimiter::new(all) }
    }

    /// How long a caller has to wait; `None` if it is within the limits.
    fn wait(&self, address: IpAddr, now: Duration) -> Option<Duration> {
        // The limit of the address is checked first, so that one address cannot use up the limit of all.
        let own = self.addresses.take(address, now).and_then(|left| left.wait);
        own.or_else(|| self.all.take((), now).and_then(|left| left.wait))
    }
}

pub(super) fn router() -> Router<Server> {
    Router::new().route(ZOOM, post(zoom))
}

async fn zoom(
    State(server): State<Server>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let hooks = &server.hooks;
    if hooks.zoom.apps.is_empty() {
        let message = "no Zoom app is configured here: set [zoom.apps.NAME]";
        return Err(ApiError::not_found(message));
    }
    let now = server.clock.now();
    if let Some(wait) = hooks.wait(peer.network(), now.steady) {
        server.metrics.refused("zoom_webhooks");
        return Err(ApiError::rate_limited("too many webhooks come", wait));
    }
    let body = Bytes::from(read_body(&server, body, LIMIT).await?);
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (timestamp, signed) = (header("x-zm-request-timestamp"), header("x-zm-signature"));
    let (timestamp, signed) = (timestamp.unwrap_or_default(), signed.unwrap_or_default());
    let now_ms = server.store.now().wall.as_millis();
    let verified = |secrets| webhook::verify(timestamp, signed, &body, secrets, now_ms);
    let mut refused = Untrusted::WrongSignature;
    let mut its_app = None;
    for app in &hooks.zoom.apps {
        match verified(&app.webhook_secrets) {
            Ok(()) => its_app = its_app.or(Some(app)),
            Err(reason) => refused = reason,
        }
    }
    let Some(app) = its_app else {
        return Err(ApiError::unauthorized(match refused {
            Untrusted::Stale => "x-zm-request-timestamp is not within five minutes of now",
            Untrusted::WrongSignature => "x-zm-signature is of no configured webhook secret token",
        }));
    };
    let event = match webhook::read(&body, &hooks.zoom.hosts) {
        Ok(Webhook::Validation(token)) => {
            let secret = app
                .webhook_secrets
                .iter()
                .find(|secret| verified(std::slice::from_ref(*secret)).is_ok());
            let secret = secret.ok_or_else(ApiError::internal)?;
            let encrypted = signature::hmac_sha256(secret.expose().as_bytes(), token.as_bytes());
            let answer = json!({"plainToken": token, "encryptedToken": encrypted});
            return Ok(Json(answer).into_response());
        }
        Ok(Webhook::Stream(event)) => event,
        Ok(Webhook::Other) => return Ok(StatusCode::OK.into_response()),
        Err(problem) => {
            tracing::warn!(app = app.name, problem, "a webhook of Zoom is ignored");
            return Err(ApiError::invalid("", "invalid_webhook", problem));
        }
    };
    let other_account = app.settings.account_id.is_some()
        && event.account_id.is_some()
        && app.settings.account_id != event.account_id;
    if other_account {
        tracing::warn!(app = app.name, "a webhook of another Zoom account is ignored");
        return Ok(StatusCode::OK.into_response());
    }
    let (consumer, stream) = (app.settings.consumer.clone(), event.stream_id.clone());
    let heard = server.store.zoom_event(consumer, event, server.store.now()).await?;
    for job in heard.jobs {
        server.notify_changed(job);
    }
    if let Some((template, meeting)) = app.settings.auto_dispatch.as_ref().zip(heard.unclaimed) {
        dispatch(&server, app, &auto_dispatch::body(template, &stream, &meeting)).await?;
    }
    Ok(StatusCode::OK.into_response())
}

/// Creates the job for a stream that has none. If the job exists already, nothing happens; if it cannot be created, that is logged, since Zoom cannot handle
/// the error.
async fn dispatch(server: &Server, app: &App, body: &str) -> Result<(), ApiError> {
    let now = server.store.now();
    let name = &app.settings.consumer;
    let consumers = server.store.consumers(now).await?;
    let Some(consumer) = consumers.iter().find(|it| it.consumer == *name) else {
        tracing::warn!(
            app = app.name,
            consumer = name,
            "no bot is sent: the consumer is not there"
        );
        return Ok(());
    };
    let tenant = Tenant { consumer: consumer.id, live: true };
    let available = server.hooks.zoom.available(&server.available, name);
    let terms = CreationRules {
        live: true,
        available: &available,
        accounts: &[],
        scenario: server.scenario,
        guard: &server.guard,
        meetings: &server.meetings,
        start_within: server.start_within,
        now: now.wall,
    };
    let New { job, link, start, .. } = match create::create(body, &terms) {
        Ok(new) => new,
        Err(issues) => {
            tracing::warn!(app = app.name, ?issues, "no bot is sent for a stream");
            return Ok(());
        }
    };
    let why = match server.store.create_job(tenant, job, link, start, None, now).await? {
        Creation::Created(job) => {
            tracing::info!(app = app.name, job = %job.id, "a bot is sent for a stream");
            server.queue.notify_one();
            return Ok(());
        }
        Creation::Existing(_) | Creation::Prior(_) => return Ok(()),
        Creation::NoMinutes(_) => "the consumer's bot minutes are used up",
        Creation::QueueFull(_) => "the consumer's queue is full",
    };
    tracing::warn!(app = app.name, why, "no bot is sent for a stream");
    Ok(())
}
