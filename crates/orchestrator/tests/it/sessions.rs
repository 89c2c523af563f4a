//! Sessions of browsers: sign-in, rights, and all ways in which they are refused.

use meetbot_orchestrator::{
    keys::KeySpec,
    store::{Scope, UseFilter, Window},
};
use meetbot_types::bot::BotReport;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    answers::is_error,
    server::{PATIENCE, Server, answered, new_job},
};

const SESSIONS: &str = "/api/v1/sessions";
const LINKS: &str = "/api/v1/sessions/links";
const OWN: &str = "same-origin";

/// A request to sign in, as a page of this server sends it.
fn signing_in(server: &Server, with: &Value) -> RequestBuilder {
    let request = server.http.post(format!("{}{SESSIONS}", server.url())).json(with);
    request.header("origin", server.url()).header("sec-fetch-site", OWN)
}

/// The `name=value` of the cookie that a response sets.
fn cookie_of(response: &Response) -> String {
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

/// Signs in with a key. Returns the cookie.
pub(crate) async fn sign_in(server: &Server, key: &str) -> String {
    let signed_in = signing_in(server, &json!({ "key": key })).send().await.unwrap();
    assert_eq!(signed_in.status(), StatusCode::CREATED);
    cookie_of(&signed_in)
}

/// A request of a browser with this cookie, from a page of this site.
pub(crate) fn browses(
    server: &Server,
    cookie: &str,
    site: Option<&str>,
    method: Method,
    path: &str,
) -> RequestBuilder {
    let request = server.http.request(method, format!("{}{path}", server.url()));
    let request = request.header(header::COOKIE, cookie);
    site.into_iter().fold(request, |request, site| request.header("sec-fetch-site", site))
}

/// The random part of a cookie.
fn token(cookie: &str) -> &str {
    cookie.split_once('=').unwrap().1
}

#[tokio::test]
async fn a_browser_signs_in_makes_changes_and_signs_out() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let signed_in = signing_in(&server, &json!({"key": server.key})).send().await.unwrap();
    assert_eq!(signed_in.status(), StatusCode::CREATED);
    assert_eq!(signed_in.headers()[header::CACHE_CONTROL], "no-store");
    let (cookie, set) = (
        cookie_of(&signed_in),
        signed_in.headers()[header::SET_COOKIE].to_str().unwrap().to_owned(),
    );
    for part in ["; Path=/", "; Max-Age=43200", "; HttpOnly", "; SameSite=Strict"] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains(&server.key[16..]), "it contains nothing of the key");
    let who: Value = signed_in.json().await.unwrap();
    assert_eq!(
        (&who["consumer"], &who["world"], &who["scope"]),
        (&json!("acme"), &json!("test"), &json!("write"))
    );

    let body = json!({"meetingUrl": "https://sandbox.meetbot.dev/two-speakers"});
    let create = |site| browses(&server, &cookie, site, Method::POST, "/api/v1/jobs").json(&body);
    for site in [None, Some("none"), Some("same-site"), Some("cross-site")] {
        is_error(&answered(create(site)).await, 403, "forbidden");
    }
    let (status, job) = answered(create(Some(OWN))).await;
    assert_eq!(status, StatusCode::CREATED, "{job}");
    // Reading needs no `Sec-Fetch-Site` (a bookmark, an older browser), but is refused from other sites.
    let look = |site| browses(&server, &cookie, site, Method::GET, "/api/v1/jobs");
    for site in [None, Some("none"), Some(OWN)] {
        let (status, jobs) = answered(look(site)).await;
        assert_eq!((status, &jobs["data"][0]["id"]), (StatusCode::OK, &job["id"]), "{site:?}");
    }
    for site in ["same-site", "cross-site"] {
        is_error(&answered(look(Some(site))).await, 403, "forbidden");
    }
    // A key in the request takes precedence over a cookie.
    let both = look(Some("cross-site")).bearer_auth(&server.key);
    assert_eq!(answered(both).await.0, StatusCode::OK);
    let wrong = look(Some(OWN)).bearer_auth("mb_test_wrong");
    is_error(&answered(wrong).await, 401, "unauthorized");

    let out = browses(&server, &cookie, Some(OWN), Method::DELETE, SESSIONS).send().await.unwrap();
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    let gone = out.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(gone.contains("=; ") && gone.contains("Max-Age=0"), "{gone}");
    is_error(&answered(look(Some(OWN))).await, 401, "unauthorized");
    let window = Window { limit: 100, after: None };
    let lines = async {
        loop {
            let lines = server.store().key_uses(UseFilter::default(), window).await.unwrap().data;
            if lines.iter().any(|line| line.path == SESSIONS && line.status == 201) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, lines).await.expect("signing in is in the audit log");
    server.stop().await;
}

#[tokio::test]
async fn a_session_and_its_streams_end_with_its_key() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let spec = KeySpec { consumer: "acme", live: false, scope: Scope::Write, expires_at: None };
    let fresh = server.fresh_key(spec).await;
    let cookie = sign_in(&server, fresh.secret.expose()).await;
    let other = sign_in(&server, &server.key).await;
    let job = server.client().dispatch_bot(new_job()).await.unwrap();
    let mut bot = server.bot().await;
    assert_eq!(bot.report(BotReport::Admitted).await, StatusCode::OK);
    let path = format!("/api/v1/jobs/{}/events", job.id);
    let stream = |cookie: &str| {
        browses(&server, cookie, Some(OWN), Method::GET, &path)
            .header("accept", "text/event-stream")
            .send()
    };
    let (mine, others) = (stream(&cookie).await.unwrap(), stream(&other).await.unwrap());
    assert_eq!((mine.status(), others.status()), (StatusCode::OK, StatusCode::OK));
    server.store().revoke_key(fresh.key.id, false, server.store().now()).await.unwrap();
    tokio::time::timeout(PATIENCE, mine.bytes()).await.expect("the stream ends").unwrap();
    let stolen = browses(&server, &cookie, Some(OWN), Method::GET, "/api/v1/jobs");
    is_error(&answered(stolen).await, 401, "unauthorized");
    is_error(
        &answered(signing_in(&server, &json!({"key": fresh.secret.expose()}))).await,
        401,
        "unauthorized",
    );
    // Signing out ends only the streams of that browser.
    let third = sign_in(&server, &server.key).await;
    let watched = stream(&third).await.unwrap();
    let out = browses(&server, &other, Some(OWN), Method::DELETE, SESSIONS).send().await.unwrap();
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    tokio::time::timeout(PATIENCE, others.bytes()).await.expect("the stream ends").unwrap();
    let still = browses(&server, &third, Some(OWN), Method::GET, "/api/v1/jobs");
    assert_eq!(answered(still).await.0, StatusCode::OK);
    drop(watched);
    server.stop().await;
}

#[tokio::test]
async fn session_fixation_and_login_csrf_are_prevented() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let look = |cookie: &str| browses(&server, cookie, Some(OWN), Method::GET, "/api/v1/jobs");
    // A session that an attacker has set before is not adopted.
    let name = sign_in(&server, &server.key).await;
    let name = name.split('=').next().unwrap();
    let set = format!("{name}={}", "a".repeat(40));
    let with = json!({"key": server.key});
    let signed_in = signing_in(&server, &with).header(header::COOKIE, &set).send().await.unwrap();
    let cookie = cookie_of(&signed_in);
    assert_ne!(cookie, set);
    is_error(&answered(look(&set)).await, 401, "unauthorized");
    // The browser's previous session ends when it signs in again.
    let again = signing_in(&server, &with).header(header::COOKIE, &cookie).send().await.unwrap();
    is_error(&answered(look(&cookie)).await, 401, "unauthorized");
    let cookie = cookie_of(&again);
    assert_eq!(answered(look(&cookie)).await.0, StatusCode::OK);
    // Cookies with other names, and malformed sessions, are ignored.
    for wrong in [
        format!("session={}", token(&cookie)),
        format!("meetbot-1={}", token(&cookie)),
        format!("{name}={}x", token(&cookie)),
        format!("{name}=../{}", token(&cookie)),
        format!("{name}="),
        "=".to_owned(),
    ] {
        is_error(&answered(look(&wrong)).await, 401, "unauthorized");
    }
    // The session is found among other cookies.
    assert_eq!(answered(look(&format!("a=b; {cookie}; {name}2=x"))).await.0, StatusCode::OK);
    // Other sites cannot sign in, nor pages for which browsers would not store the cookie.
    for site in ["cross-site", "same-site", "none"] {
        let url = format!("{}{SESSIONS}", server.url());
        let elsewhere = server.http.post(url).json(&with).header("sec-fetch-site", site);
        is_error(&answered(elsewhere).await, 403, "forbidden");
    }
    let plain = server.http.post(format!("{}{SESSIONS}", server.url())).json(&with);
    let refused = answered(plain.header("origin", "http://meetbot.example.com")).await;
    is_error(&refused, 403, "forbidden");
    // Malformed keys and bodies that are not JSON, as forms of other sites, are refused.
    is_error(
        &answered(signing_in(&server, &json!({"key": "mb_test_wrong"}))).await,
        401,
        "unauthorized",
    );
    is_error(&answered(signing_in(&server, &json!({}))).await, 400, "invalid_input");
    let form =
        server.http.post(format!("{}{SESSIONS}", server.url())).body(format!("key={}", server.key));
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    is_error(&answered(form).await, 415, "unsupported_media_type");
    server.stop().await;
}

#[tokio::test]
async fn a_link_signs_one_browser_in_once() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let reader = server.key("acme", false, Scope::Read).await;
    let (status, made) = answered(server.request_as(&reader, Method::POST, LINKS)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let link = json!({"link": made["link"]});
    // The link's token is not a session.
    let name = sign_in(&server, &server.key).await;
    let name = name.split('=').next().unwrap();
    let as_cookie = format!("{name}={}", made["link"].as_str().unwrap());
    let tried = browses(&server, &as_cookie, Some(OWN), Method::GET, "/api/v1/jobs");
    is_error(&answered(tried).await, 401, "unauthorized");
    let (first, second) =
        tokio::join!(signing_in(&server, &link).send(), signing_in(&server, &link).send());
    let (first, second) = (first.unwrap(), second.unwrap());
    let mut statuses = [first.status().as_u16(), second.status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 401]);
    let cookie = cookie_of(if first.status() == 201 { &first } else { &second });
    // The session has the rights of the key.
    let who = answered(browses(&server, &cookie, Some(OWN), Method::GET, SESSIONS)).await.1;
    assert_eq!((&who["scope"], &who["world"]), (&json!("read"), &json!("test")));
    let create = browses(&server, &cookie, Some(OWN), Method::POST, "/api/v1/jobs");
    let create = create.json(&json!({"meetingUrl": "https://sandbox.meetbot.dev/two-speakers"}));
    is_error(&answered(create).await, 403, "forbidden");
    let live_on = browses(&server, &cookie, Some(OWN), Method::POST, LINKS);
    is_error(&answered(live_on).await, 403, "forbidden");
    // The scope read is enough to sign out.
    let out = browses(&server, &cookie, Some(OWN), Method::DELETE, SESSIONS).send().await.unwrap();
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    server.stop().await;
}

#[tokio::test]
async fn a_session_outlives_a_restart_of_the_server() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let cookie = sign_in(&server, &server.key).await;
    server.stop().await;
    let server = Server::start(&data).await;
    let port = server.url().rsplit(':').next().unwrap().to_owned();
    let cookie = format!("meetbot-{port}={}", token(&cookie));
    let look = browses(&server, &cookie, Some(OWN), Method::GET, "/api/v1/jobs");
    assert_eq!(answered(look).await.0, StatusCode::OK);
    server.stop().await;
}

#[tokio::test]
async fn without_a_dashboard_pages_and_sessions_are_disabled() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let cookie = sign_in(&server, &server.key).await;
    let page = server.http.get(server.url()).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    let tag = page.headers()[header::ETAG].clone();
    let html = page.text().await.unwrap();
    assert!(
        html.contains("/dashboard/app.js")
            && !html.contains("<script>")
            && !html.contains("style=")
    );
    let again = server.http.get(server.url()).header(header::IF_NONE_MATCH, tag).send().await;
    assert_eq!(again.unwrap().status(), StatusCode::NOT_MODIFIED);
    server.stop().await;

    let off = |name: &str| (name == "MEETBOT_DASHBOARD_ENABLED").then(|| "false".to_owned());
    let server = Server::start_with(&data, off).await;
    let port = server.url().rsplit(':').next().unwrap().to_owned();
    let cookie = format!("meetbot-{port}={}", token(&cookie));
    for path in ["/", "/dashboard/app.js"] {
        let gone = server.request(Method::GET, path);
        is_error(&answered(gone).await, 404, "no_such_path");
    }
    let look = browses(&server, &cookie, Some(OWN), Method::GET, "/api/v1/jobs");
    is_error(&answered(look).await, 401, "unauthorized");
    is_error(
        &answered(signing_in(&server, &json!({"key": server.key}))).await,
        404,
        "no_such_path",
    );
    is_error(&answered(server.request(Method::POST, LINKS)).await, 404, "no_such_path");
    server.stop().await;
}
