//! Reports and commands of bots, also of bots that are lost, late or unauthorized.

use std::time::Duration;

use meetbot::{ControlState, ErrorKind, JobStatus, NewJob};
use meetbot_types::{Cause, Failure, FailureCode, LeaveReason, bot::BotReport};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;

use crate::server::{Server, await_status, new_job, now};

#[tokio::test]
async fn reports_change_the_job_and_are_applied_once() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let id = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    await_status(&client, &id, JobStatus::Joining).await;
    bot.record().await;
    // The response was lost, and the bot sends all reports again.
    assert_eq!(bot.report_as(1, BotReport::Admitted).await, StatusCode::OK);
    assert_eq!(bot.report_as(2, BotReport::RecordingStarted).await, StatusCode::OK);
    let job = await_status(&client, &id, JobStatus::Recording).await;
    assert!(job.joined_at.is_some() && job.recording.started_at.is_some());
    bot.complete("file:///nowhere/manifest.json").await;
    let job = await_status(&client, &id, JobStatus::Completed).await;
    assert_eq!(job.manifest_uri.as_deref(), Some("file:///nowhere/manifest.json"));
    let events = client.events(&id, None).await.unwrap().data;
    let statuses: Vec<_> =
        events.iter().filter_map(|event| Some(event.data.status.as_ref()?.as_str())).collect();
    assert_eq!(
        statuses,
        ["joining", "in_call", "recording", "finalizing", "completed", "completed"]
    );
    assert!(events.windows(2).all(|two| two[0].data.sequence + 1 == two[1].data.sequence));
    // A manifest outside of the server's folder is not served, even if a bot reports it.
    assert_eq!(client.manifest(&id).await.unwrap_err().kind(), ErrorKind::NotFound);
    server.stop().await;
}

#[tokio::test]
async fn a_lost_bot_is_replaced_and_its_late_reports_are_refused() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let id = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut first = server.bot().await;
    first.record().await;
    let lost = first.order.clone();
    let mut stale = first.stale();
    drop(first);
    let mut second = server.bot().await;
    assert_eq!((second.order.job_id, second.order.epoch, lost.epoch), (lost.job_id, 2, 1));
    assert_ne!(second.order.token.expose(), lost.token.expose());
    assert_eq!(
        stale.report(BotReport::RecordingStopped { paused_ms: 0 }).await,
        StatusCode::CONFLICT
    );
    let ending = Cause::Removed.ending(true, false);
    assert_eq!(stale.end(ending, None).await, StatusCode::CONFLICT);
    let job = client.get_bot(&id).await.unwrap().unwrap();
    assert_eq!((job.status, job.attempt), (JobStatus::Joining, 2));
    second.record().await;
    second.complete("file:///m").await;
    await_status(&client, &id, JobStatus::Completed).await;
    server.stop().await;
}

#[tokio::test]
async fn ingest_does_not_reveal_to_others_which_jobs_exist() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let id = server.client().dispatch_bot(new_job()).await.unwrap().id;
    let first = server.bot().await;
    let earlier = first.order.token.expose().to_owned();
    drop(first);
    let second = server.bot().await;
    let waiting = NewJob { join_at: Some(now() + Duration::from_hours(1)), ..new_job() };
    let waiting = server.client().dispatch_bot(waiting).await.unwrap().id;
    let ask = async |token: &str, job: &str, epoch: u32| {
        let url = format!("{}/api/v1/ingest", server.url());
        let report = json!({"jobId": job, "epoch": epoch, "reports": []});
        let report = server.http.post(&url).bearer_auth(token).json(&report).send();
        let commands = format!("{url}/commands?jobId={job}&epoch={epoch}");
        let commands = server.http.get(commands).bearer_auth(token).send();
        (report.await.unwrap().status().as_u16(), commands.await.unwrap().status().as_u16())
    };
    let there_is_none = "job_01KAB1CDEFGHJKMNPQRSTVWXYZ";
    for epoch in 0..4 {
        for job in [&*id, &*waiting, there_is_none] {
            assert_eq!(ask("a stranger's", job, epoch).await, (401, 401), "{job}, {epoch}");
        }
        assert_eq!(ask(&earlier, &waiting, epoch).await, (401, 401), "of another job, {epoch}");
    }
    // The superseded bot of the job leaves.
    assert_eq!(ask(&earlier, &id, 1).await, (409, 409));
    assert_eq!(ask(second.order.token.expose(), &id, 2).await, (200, 200));
    server.stop().await;
}

#[tokio::test]
async fn a_bot_lost_while_leaving_is_replaced_by_one_that_only_finalises() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let id = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    assert_eq!((bot.order.epoch, bot.order.finalize.clone()), (1, None));
    bot.record().await;
    let failure = Some(Failure::new(FailureCode::InternalError, "the disk is full"));
    assert_eq!(bot.report(BotReport::Leaving { reason: None, failure }).await, StatusCode::OK);
    drop(bot);
    let mut last = server.bot().await;
    let ending = last.order.finalize.clone().expect("it only finalises");
    assert_eq!(client.get_bot(&id).await.unwrap().unwrap().status, JobStatus::Finalizing);
    last.end(ending, Some("file:///m")).await;
    let job = await_status(&client, &id, JobStatus::Failed).await;
    assert_eq!(job.failure_code, Some(FailureCode::InternalError));
    assert_eq!(job.manifest_uri.as_deref(), Some("file:///m"), "what was recorded is kept");
    server.stop().await;
}

#[tokio::test]
async fn a_command_reaches_the_bot_and_the_caller_gets_its_result() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let id = client.dispatch_bot(new_job()).await.unwrap().id;
    let error = client.pause_recording(&id).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code().unwrap().as_str()),
        (ErrorKind::Conflict, "invalid_state"),
        "{error}"
    );
    let mut bot = server.bot().await;
    bot.record().await;
    let asked = client.send_chat_message(&id, "hello");
    let obey = async {
        let commands = bot.commands(0).await.commands;
        assert_eq!(
            (commands[0].action.as_str(), commands[0].message.as_deref()),
            ("send_chat_message", Some("hello"))
        );
        let done = BotReport::CommandDone { command_id: commands[0].id, state: ControlState::Done };
        assert_eq!(bot.report(done).await, StatusCode::OK);
        commands[0].seq
    };
    let (result, seq) = tokio::join!(asked, obey);
    let result = result.unwrap();
    assert_eq!((result.state, result.status), (ControlState::Done, Some(JobStatus::Recording)));
    // The bot does not answer: the response is `pending` after 5 s, and the command stays.
    let result = client.leave_bot(&id).await.unwrap();
    assert_eq!(result.state, ControlState::Pending);
    assert_eq!(bot.commands(seq).await.commands[0].action.as_str(), "leave_call");
    for message in ["", " ", &"x".repeat(4_001), &"x".repeat(100_000)] {
        assert_eq!(
            client.send_chat_message(&id, message).await.unwrap_err().kind(),
            ErrorKind::Validation
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn after_a_lost_bot_a_chat_message_expires_and_a_pause_goes_to_the_next_bot() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let id = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;
    let (chat, pause) = (client.send_chat_message(&id, "hello"), client.pause_recording(&id));
    let replace = async {
        while bot.commands(0).await.commands.len() < 2 {}
        drop(bot);
        let mut next = server.bot().await;
        next.record().await;
        let again = next.commands(0).await.commands;
        let actions: Vec<_> = again.iter().map(|command| command.action.as_str()).collect();
        assert_eq!(actions, ["pause_recording"], "and nothing else");
        let done = BotReport::CommandDone { command_id: again[0].id, state: ControlState::Done };
        assert_eq!(next.report(done).await, StatusCode::OK);
        next
    };
    let (chat, pause, _next) = tokio::join!(chat, pause, replace);
    assert_eq!(
        (chat.unwrap().state, pause.unwrap().state),
        (ControlState::Expired, ControlState::Done)
    );
    server.stop().await;
}

#[tokio::test]
async fn a_leaving_bot_accepts_no_command() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let id = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;
    let leaving = BotReport::Leaving { reason: Some(LeaveReason::MeetingEnded), failure: None };
    assert_eq!(bot.report(leaving).await, StatusCode::OK);
    for answer in [
        client.leave_bot(&id).await,
        client.pause_recording(&id).await,
        client.stop_recording(&id).await,
        client.send_chat_message(&id, "hello").await,
    ] {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(error.code().unwrap().as_str(), "invalid_state", "{error}");
    }
    bot.complete("file:///m").await;
    let error = client.leave_bot(&id).await.unwrap_err();
    assert_eq!(error.code().unwrap().as_str(), "invalid_state");
    server.stop().await;
}

#[tokio::test]
async fn a_bot_may_be_lost_in_any_status() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let id = client.dispatch_bot(new_job()).await.unwrap().id;
    let joining = server.bot().await;
    await_status(&client, &id, JobStatus::Joining).await;
    drop(joining);
    let mut in_call = server.bot().await;
    assert_eq!(in_call.report(BotReport::Admitted).await, StatusCode::OK);
    drop(in_call);
    let mut leaving = server.bot().await;
    leaving.record().await;
    let reason = Some(LeaveReason::MeetingEnded);
    assert_eq!(leaving.report(BotReport::Leaving { reason, failure: None }).await, StatusCode::OK);
    drop(leaving);
    let mut last = server.bot().await;
    let ending = last.order.finalize.clone().expect("what was leaving has left");
    assert_eq!(last.end(ending, Some("file:///m")).await, StatusCode::OK);
    assert_eq!(await_status(&client, &id, JobStatus::Completed).await.attempt, 4);

    // A bot whose first report is its failure.
    let failing = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;
    let ending =
        Cause::Failed(Failure::new(FailureCode::InternalError, "no disk")).ending(true, false);
    assert_eq!(bot.end(ending, Some("file:///m")).await, StatusCode::OK);
    await_status(&client, &failing, JobStatus::Failed).await;

    let mut steps = Vec::new();
    for id in [id, failing] {
        let events = client.events(&id, None).await.unwrap().data;
        let mut statuses: Vec<String> = vec!["queued".to_owned()];
        statuses.extend(events.iter().map(|event| event.data.status.as_ref().unwrap().to_string()));
        statuses.dedup();
        steps.extend(statuses.windows(2).map(|two| two.join(" --> ")));
    }
    for step in [
        "joining --> queued",
        "in_call --> queued",
        "finalizing --> queued",
        "recording --> failed",
    ] {
        assert!(steps.iter().any(|seen| seen == step), "{step}: {steps:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_cancelled_job_ends_when_its_bot_has_left_or_was_lost() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let id = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;
    client.cancel_bot(&id).await.unwrap();
    assert_eq!(client.get_bot(&id).await.unwrap().unwrap().status, JobStatus::Finalizing);
    assert_eq!(bot.commands(0).await.commands[0].action.as_str(), "cancel");
    drop(bot);
    let mut next = server.bot().await;
    let ending = next.order.finalize.clone().expect("nobody joins a meeting for a cancelled job");
    assert_eq!(
        (&ending.status, ending.leave_reason.as_ref()),
        (&JobStatus::Cancelled, Some(&LeaveReason::Cancelled))
    );
    next.end(ending, Some("file:///m")).await;
    let job = await_status(&client, &id, JobStatus::Cancelled).await;
    assert_eq!(job.manifest_uri.as_deref(), Some("file:///m"));
    server.stop().await;
}

#[tokio::test]
async fn a_bot_without_the_right_token_is_refused() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    server.client().dispatch_bot(new_job()).await.unwrap();
    let bot = server.bot().await;
    let report = serde_json::json!({"jobId": bot.order.job_id, "epoch": 1, "reports": []});
    for (request, status) in [
        (server.request(Method::POST, "/api/v1/ingest").json(&report), 401),
        (server.request(Method::POST, "/api/v1/ingest").body("{}"), 415),
        (
            server.request(Method::POST, "/api/v1/ingest").json(&serde_json::json!({"jobId": 7})),
            400,
        ),
        (server.request(Method::GET, "/api/v1/ingest/commands?epoch=x"), 400),
    ] {
        assert_eq!(request.send().await.unwrap().status(), status);
    }
    // A large body is only read from authenticated bots, which name their attempt in the query.
    let large = serde_json::json!({"jobId": bot.order.job_id, "epoch": 1, "reports": [], "x": "y".repeat(20_000)});
    let path = format!("/api/v1/ingest?jobId={}&epoch=1", bot.order.job_id);
    for (path, key, status) in [
        (path.as_str(), server.key.as_str(), 401),
        ("/api/v1/ingest", bot.order.token.expose(), 400),
        (path.as_str(), bot.order.token.expose(), 200),
    ] {
        let request = server.request_as(key, Method::POST, path).json(&large);
        assert_eq!(request.send().await.unwrap().status(), status, "{path}");
    }
    // A bot's token is not valid for other calls.
    let jobs = server.http.get(format!("{}/api/v1/jobs", bot.order.orchestrator_url));
    assert_eq!(jobs.bearer_auth(bot.order.token.expose()).send().await.unwrap().status(), 401);
    server.stop().await;
}

#[tokio::test]
async fn a_restart_loses_no_job_and_replaces_its_bots() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let (client, key) = (server.client(), server.key.clone());
    let failed = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    let ending = Cause::Failed(Failure::new(FailureCode::MeetingNotFound, "there is none"))
        .ending(false, false);
    bot.end(ending, None).await;
    drop(bot);
    let id = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;
    server.stop().await;
    drop(bot);
    let server = Server::start(&data).await;
    let client = server.client_of(&key);
    assert_eq!(
        client.get_bot(&failed).await.unwrap().unwrap().failure_code,
        Some(FailureCode::MeetingNotFound)
    );
    let bot = server.bot().await;
    assert_eq!((bot.order.job_id.to_string(), bot.order.epoch), (id, 2));
    server.stop().await;
}
