//! The names in a URL's query: those that a call takes are the document's; others are misspelt, or passed over and named in the answer.

use std::{collections::HashMap, sync::Arc};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, Response},
    middleware::Next,
};
use url::form_urlencoded;
use utoipa::openapi::{OpenApi, RefOr, path::ParameterIn};

use super::document::operations;
use crate::fields::{Ignored, spelling};

/// Names what a call passed over.
pub(super) const IGNORED: HeaderName = HeaderName::from_static("x-meetbot-ignored");

/// The query parameters of each call, by its method and the path of its route.
pub(super) struct Parameters(HashMap<(Method, String), Vec<String>>);

/// Parameters that a request has in another spelling, each with its right name.
#[derive(Debug, Clone)]
pub(super) struct Misspelt(pub(super) Vec<(String, String)>);

impl Parameters {
    pub(super) fn of(document: &mut OpenApi) -> Self {
        let mut all = HashMap::new();
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                let names = operation.parameters.iter().flatten().filter_map(|one| match one {
                    RefOr::T(one) if one.parameter_in == ParameterIn::Query => Some(&one.name),
                    _ => None,
                });
                let names = names.cloned().collect();
                all.insert((method, path.clone()), names);
            }
        }
        Self(all)
    }

    fn of_call(&self, method: &Method, route: &str) -> &[String] {
        // A HEAD is answered as a GET is.
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.0.get(&(method.clone(), route.to_owned())).map_or(&[], Vec::as_slice)
    }
}

/// Judges the names of a request's query, and names in a successful answer what was passed over in query and body.
pub(super) async fn judge(
    State(parameters): State<Arc<Parameters>>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let mut passed_over = Vec::new();
    if let Some(query) = request.uri().query() {
        let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let known = parameters.of_call(request.method(), route);
        let mut misspelt = Vec::new();
        for (name, _) in form_urlencoded::parse(query.as_bytes()) {
            if known.iter().any(|known| *known == name) {
                continue;
            }
            match spelling::meant(&name, known.iter().map(String::as_str)) {
                Some(right) => misspelt.push((name.into_owned(), right.to_owned())),
                None => passed_over.push(name.into_owned()),
            }
        }
        request.extensions_mut().insert(Misspelt(misspelt));
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
