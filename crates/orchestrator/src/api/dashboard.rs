//! The dashboard's files, embedded in the binary: a page at `/` that only calls this API, and one at `/docs` with the guides
//! and the reference of the API.

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use sha2::{Digest as _, Sha256};

use super::Server;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const MARKDOWN: &str = "text/markdown; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The path, media type and bytes of each file.
const FILES: [(&str, &str, &[u8]); 37] = [
    ("/", HTML, include_bytes!("../../../../dashboard/index.html")),
    ("/dashboard/style.css", CSS, include_bytes!("../../../../dashboard/style.css")),
    ("/dashboard/icon.svg", SVG, include_bytes!("../../../../dashboard/icon.svg")),
    ("/dashboard/admin.js", JS, include_bytes!("../../../../dashboard/admin.js")),
    ("/dashboard/api.js", JS, include_bytes!("../../../../dashboard/api.js")),
    ("/dashboard/app.js", JS, include_bytes!("../../../../dashboard/app.js")),
    ("/dashboard/docs.js", JS, include_bytes!("../../../../dashboard/docs.js")),
    ("/dashboard/dom.js", JS, include_bytes!("../../../../dashboard/dom.js")),
    ("/dashboard/endpoint-form.js", JS, include_bytes!("../../../../dashboard/endpoint-form.js")),
    ("/dashboard/failures.js", JS, include_bytes!("../../../../dashboard/failures.js")),
    ("/dashboard/format.js", JS, include_bytes!("../../../../dashboard/format.js")),
    ("/dashboard/host.js", JS, include_bytes!("../../../../dashboard/host.js")),
    ("/dashboard/job.js", JS, include_bytes!("../../../../dashboard/job.js")),
    ("/dashboard/jobs.js", JS, include_bytes!("../../../../dashboard/jobs.js")),
    ("/dashboard/lanes.js", JS, include_bytes!("../../../../dashboard/lanes.js")),
    ("/dashboard/levels.js", JS, include_bytes!("../../../../dashboard/levels.js")),
    ("/dashboard/login.js", JS, include_bytes!("../../../../dashboard/login.js")),
    ("/dashboard/markdown.js", JS, include_bytes!("../../../../dashboard/markdown.js")),
    ("/dashboard/player.js", JS, include_bytes!("../../../../dashboard/player.js")),
    ("/dashboard/reference.js", JS, include_bytes!("../../../../dashboard/reference.js")),
    ("/dashboard/sign-in.js", JS, include_bytes!("../../../../dashboard/sign-in.js")),
    ("/dashboard/snippets.js", JS, include_bytes!("../../../../dashboard/snippets.js")),
    ("/dashboard/timeline.js", JS, include_bytes!("../../../../dashboard/timeline.js")),
    ("/dashboard/usage.js", JS, include_bytes!("../../../../dashboard/usage.js")),
    ("/dashboard/webhooks.js", JS, include_bytes!("../../../../dashboard/webhooks.js")),
    ("/docs", HTML, include_bytes!("../../../../dashboard/docs.html")),
    ("/docs/auto-leave.md", MARKDOWN, include_bytes!("../../../../docs/auto-leave.md")),
    ("/docs/dashboard.md", MARKDOWN, include_bytes!("../../../../docs/dashboard.md")),
    ("/docs/failure-codes.md", MARKDOWN, include_bytes!("../../../../docs/failure-codes.md")),
    ("/docs/job-lifecycle.md", MARKDOWN, include_bytes!("../../../../docs/job-lifecycle.md")),
    ("/docs/object-storage.md", MARKDOWN, include_bytes!("../../../../docs/object-storage.md")),
    ("/docs/operations.md", MARKDOWN, include_bytes!("../../../../docs/operations.md")),
    ("/docs/quickstart.md", MARKDOWN, include_bytes!("../../../../docs/quickstart.md")),
    ("/docs/recordings.md", MARKDOWN, include_bytes!("../../../../docs/recordings.md")),
    ("/docs/requests.md", MARKDOWN, include_bytes!("../../../../docs/requests.md")),
    ("/docs/sandbox.md", MARKDOWN, include_bytes!("../../../../docs/sandbox.md")),
    ("/docs/webhooks.md", MARKDOWN, include_bytes!("../../../../docs/webhooks.md")),
];

/// Security headers: pages load only resources of this server, cannot be framed, and cannot turn text into HTML.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    // Browsers revalidate each time, and download only a changed file.
    (header::CACHE_CONTROL, "no-cache"),
];

/// The routes of the files, if the dashboard is enabled.
pub(super) fn router(enabled: bool) -> Router<Server> {
    let mut router = Router::new();
    if !enabled {
        return router;
    }
    for (path, media_type, bytes) in FILES {
        let digest = Sha256::digest(bytes);
        let tag = format!(
            "\"{:x}\"",
            digest[..16].iter().fold(0, |tag, byte| tag << 8 | u128::from(*byte))
        );
        let tag = HeaderValue::from_str(&tag).expect("hexadecimal digits are a header");
        let file = async move |headers: HeaderMap| -> Response {
            let tagged = [(header::ETAG, tag.clone())];
            if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
                return (StatusCode::NOT_MODIFIED, tagged).into_response();
            }
            ([(header::CONTENT_TYPE, media_type)], tagged, bytes).into_response()
        };
        router = router.route(path, get(file));
    }
    router.route_layer(middleware::from_fn(protect))
}

async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::fs;

    use xtask::spec_file;

    use super::*;

    #[test]
    fn every_file_of_the_dashboard_is_served() {
        for entry in fs::read_dir(spec_file::path("dashboard")).unwrap() {
            let path = entry.unwrap().path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if !matches!(extension, Some("js" | "css" | "svg" | "html")) {
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            let served = FILES.iter().any(|(.., served)| *served == bytes);
            assert!(served, "{} is not among the files", path.display());
        }
    }
}
