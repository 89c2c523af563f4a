//! A test key of any scope has no access to the live world.

use meetbot::{ErrorKind, JobStatus};
use meetbot_orchestrator::store::Scope;
use reqwest::{Method, StatusCode};
use tempfile::TempDir;

use crate::server::{Server, answered, await_status, new_job};

#[tokio::test]
async fn an_admin_key_of_the_test_world_erases_only_that_world() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let live_key = server.key("acme", true, Scope::Write).await;
    let (live, test) = (server.client_of(&live_key), server.client());
    let admin = server.client_of(&server.key("acme", false, Scope::Admin).await);

    let real = live.dispatch_bot(new_job()).await.unwrap().id;
    let mut real_bot = server.bot().await;
    real_bot.record().await;
    let recorded = data.path().join("recordings").join(&real).join("e1");
    std::fs::create_dir_all(&recorded).unwrap();
    std::fs::write(recorded.join("audio.Ann.webm"), "what Ann said").unwrap();
    let played = test.dispatch_bot(new_job()).await.unwrap().id;
    let mut played_bot = server.bot().await;
    played_bot.record().await;
    played_bot.complete("file:///m").await;
    await_status(&test, &played, JobStatus::Completed).await;

    let wrong = admin.erase_consumer("other").await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Validation);
    let receipt = admin.erase_consumer("acme").await.unwrap();
    assert_eq!((receipt.consumer.as_deref(), receipt.jobs, receipt.keys), (Some("acme"), 1, 2));
    for gone in [&test, &admin] {
        assert_eq!(gone.get_bot(&played).await.unwrap_err().kind(), ErrorKind::Unauthorized);
    }

    // The live bot continues, and its key, files and webhook secret are unchanged.
    let job = live.get_bot(&real).await.unwrap().expect("the live job is there");
    assert_eq!(job.status, JobStatus::Recording);
    assert!(recorded.join("audio.Ann.webm").exists());
    real_bot.complete("file:///m").await;
    await_status(&live, &real, JobStatus::Completed).await;
    let again = server.fresh_key(meetbot_orchestrator::keys::KeySpec {
        consumer: "acme",
        live: false,
        scope: Scope::Admin,
        expires_at: None,
    });
    let again = again.await;
    assert_eq!(again.webhook_secret.expose(), server.webhook_secret);

    // A live key erases both worlds.
    let all = server.client_of(&server.key("acme", true, Scope::Admin).await);
    let receipt = all.erase_consumer("acme").await.unwrap();
    assert_eq!((receipt.jobs, receipt.keys), (1, 3));
    assert!(!recorded.exists());
    let erased = live.get_bot(&real).await.unwrap_err();
    assert_eq!(erased.kind(), ErrorKind::Unauthorized);
    server.stop().await;
}

#[tokio::test]
async fn no_call_of_a_test_key_shows_or_changes_a_live_job() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let live = server.client_of(&server.key("acme", true, Scope::Write).await);
    let admin_key = server.key("acme", false, Scope::Admin).await;
    let admin = server.client_of(&admin_key);
    let real = live.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;

    assert!(admin.get_bot(&real).await.unwrap().is_none());
    assert_eq!(admin.usage().await.unwrap().bots, 0, "the live world's bots are not counted");
    assert_eq!(live.usage().await.unwrap().bots, 1);
    for (method, path) in [
        (Method::DELETE, format!("/api/v1/jobs/{real}")),
        (Method::DELETE, format!("/api/v1/jobs/{real}/recording")),
        (Method::GET, format!("/api/v1/jobs/{real}/events")),
        (Method::POST, format!("/api/v1/jobs/{real}/leave-call")),
    ] {
        let (status, answer) = answered(server.request_as(&admin_key, method, &path)).await;
        assert_eq!((status, answer["error"].as_str()), (StatusCode::NOT_FOUND, Some("not_found")));
    }
    // Data of the machine and the whole server are totals without names, for both worlds.
    for path in ["/api/v1/admin/host", "/metrics"] {
        let answer = server.request_as(&admin_key, Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let text = answer.text().await.unwrap();
        assert!(!text.contains(&real) && !text.contains("acme"), "{path}: {text}");
    }
    assert_eq!(live.get_bot(&real).await.unwrap().unwrap().status, JobStatus::Recording);
    server.stop().await;
}
