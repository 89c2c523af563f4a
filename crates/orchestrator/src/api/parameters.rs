//! Checks the names of query parameters against the OpenAPI document. Unknown names are refused as misspelt, or ignored and named in the response.

use std::{collections::HashMap, sync::Arc};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, Response},
    middleware::Next,
    response::IntoResponse as _,
};
use url::form_urlencoded;
use utoipa::openapi::{OpenApi, RefOr, path::ParameterIn};

use super::{document::operations, error::ApiError, login_paths};
use crate::fields::{
    CHAT_MESSAGE, IDEMPOTENCY_KEY, Ignored, Issues, LOGIN_CODE, LOGIN_DECISION, NEW_JOB, NEW_KEY,
    NEW_LOGIN, QUOTA_CHANGE, REDELIVER, SECRET_ROTATION, Shape, TEST_WEBHOOK, parameter::Known,
};

/// The response header that names ignored fields and parameters.
pub(super) const IGNORED: HeaderName = HeaderName::from_static("x-meetbot-ignored");

/// The known names of each call, by its method and the path of its route.
pub(super) struct Parameters(HashMap<(Method, String), Known>);

/// Misspelt or misplaced parameters of a request, each with a hint.
#[derive(Debug, Clone)]
pub(super) struct Misspelt(pub(super) Vec<(String, String)>);

impl Misspelt {
    pub(super) fn issues(&self) -> Issues {
        let mut issues = Issues::default();
        for (name, hint) in &self.0 {
            issues.unknown(&[name], hint);
        }
        issues
    }
}

/// The known fields of a call's body.
pub(super) fn body_of(method: &Method, path: &str) -> Option<&'static Shape> {
    match (method, path) {
        (&Method::POST, "/api/v1/jobs") => Some(&NEW_JOB),
        (&Method::POST, "/api/v1/jobs/{id}/send-chat-message") => Some(&CHAT_MESSAGE),
        (&Method::POST, "/api/v1/webhooks/deliveries/redeliver") => Some(&REDELIVER),
        (&Method::POST, "/api/v1/webhooks/test") => Some(&TEST_WEBHOOK),
        (&Method::POST, "/api/v1/admin/keys") => Some(&NEW_KEY),
        (&Method::PATCH, "/api/v1/admin/consumers/{id}/quota") => Some(&QUOTA_CHANGE),
        (&Method::POST, "/api/v1/admin/secrets/{id}/rotate") => Some(&SECRET_ROTATION),
        (&Method::POST, "/api/v1/cli-auth/init") => Some(&NEW_LOGIN),
        (&Method::POST, "/api/v1/cli-auth/find") => Some(&LOGIN_CODE),
        (&Method::POST, "/api/v1/cli-auth/complete") => Some(&LOGIN_DECISION),
        _ => None,
    }
}

impl Parameters {
    pub(super) fn of(document: &mut OpenApi) -> Self {
        let mut all = HashMap::new();
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                let mut known = Known { body: body_of(&method, path), ..Known::default() };
                if method == Method::POST && !path.starts_with(login_paths::FOLDER) {
                    known.headers.push(IDEMPOTENCY_KEY.to_owned());
                }
                for parameter in operation.parameters.iter().flatten() {
                    let RefOr::T(parameter) = parameter else { continue };
                    match parameter.parameter_in {
                        ParameterIn::Query => known.parameters.push(parameter.name.clone()),
                        // Ignoring `Range` is allowed: the response is the whole file.
                        ParameterIn::Header if parameter.name != "Range" => {
                            known.headers.push(parameter.name.clone());
                        }
                        _ => {}
                    }
                }
                all.insert((method, path.clone()), known);
            }
        }
        Self(all)
    }

    fn of_call(&self, method: &Method, route: &str) -> Option<&Known> {
        // HEAD has the parameters of GET.
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.0.get(&(method.clone(), route.to_owned()))
    }
}

/// Middleware: checks the names of query parameters, and lists ignored parameters and fields in a header of successful responses.
pub(super) async fn check_names(
    State(parameters): State<Arc<Parameters>>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let mut passed_over = Vec::new();
    if let Some(query) = request.uri().query() {
        let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let none = Known::default();
        let known = parameters.of_call(request.method(), route).unwrap_or(&none);
        let mut misspelt = Vec::new();
        for (name, _) in form_urlencoded::parse(query.as_bytes()) {
            if known.parameters.iter().any(|known| *known == name) {
                continue;
            }
            match known.meant(&name) {
                Some(hint) => misspelt.push((name.into_owned(), hint)),
                None => passed_over.push(name.into_owned()),
            }
        }
        let misspelt = Misspelt(misspelt);
        // Calls with a query or a body report this together with their other issues.
        if known.parameters.is_empty() && known.body.is_none() {
            let issues = misspelt.issues().into_vec();
            if !issues.is_empty() {
                return ApiError::invalid_input(issues).into_response();
            }
        }
        request.extensions_mut().insert(misspelt);
    }
    let mut response = next.run(request).await;
    let mut ignored = response.extensions_mut().remove::<Ignored>().unwrap_or_default();
    for name in &passed_over {
        ignored.add(&[name]);
    }
    if response.status().is_success()
        && let Some(names) = ignored.header().and_then(|names| HeaderValue::from_str(names).ok())
    {
        response.headers_mut().insert(IGNORED, names);
    }
    response
}
