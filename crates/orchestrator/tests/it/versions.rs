//! Bots of other versions: reports of the first version are accepted, and unknown reports of later versions are skipped.

use meetbot::{ControlState, JobStatus};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{Bot, Server, answered, await_status, new_job};

/// The reports of the first version.
const FIRST: &str = include_str!("../../../types/src/bot/wire.json");

async fn post(server: &Server, bot: &Bot, reports: Value) -> (StatusCode, Value) {
    let body = json!({"jobId": bot.order.job_id, "epoch": bot.order.epoch, "reports": reports});
    let url = format!("{}/api/v1/ingest", bot.order.orchestrator_url);
    let request = server.http.post(url).bearer_auth(bot.order.token.expose()).json(&body);
    answered(request).await
}

#[tokio::test]
async fn a_bot_of_the_first_version_can_complete_its_job() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let id = client.dispatch_bot(new_job()).await.unwrap().id;
    let bot = server.bot().await;
    let first: Value = serde_json::from_str(FIRST).unwrap();
    let (status, answer) = post(&server, &bot, first["reports"].clone()).await;
    let last = first["reports"].as_array().unwrap().len();
    assert_eq!((status, &answer["acknowledged"]), (StatusCode::OK, &json!(last)), "{answer}");
    let job = await_status(&client, &id, JobStatus::Completed).await;
    assert_eq!(job.recording.paused_ms, 1_000);
    let events = client.events(&id, None).await.unwrap().data;
    let names: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
    for name in [
        "bot.recording_permission_requested",
        "bot.recording_permission_granted",
        "bot.participant_joined",
        "bot.chat_message",
        "bot.participant_left",
        "job.finalized",
    ] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn unknown_reports_of_a_newer_bot_are_skipped() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let id = client.dispatch_bot(new_job()).await.unwrap().id;
    let bot = server.bot().await;
    let at = "2026-11-23T10:00:00.000Z";
    let ended = |ending: Value| json!({"type": "ended", "ending": ending, "newer": true});
    let reports = json!([
        {"seq": 1, "at": at, "report": {"type": "admitted", "room": "a field of a later version"}},
        {"seq": 2, "at": at, "report": {"type": "moved_to_breakout_room", "room": 4}},
        {"seq": 3, "at": at, "report": {"type": "chat", "message": "not as this version has it"}},
        {"seq": 4, "at": "soon", "report": {"type": "reconnecting"}},
        {"seq": 5, "at": at, "report": null},
        {"seq": 6, "at": at, "report": {"type": "recording_started"}},
    ]);
    let (status, answer) = post(&server, &bot, reports).await;
    assert_eq!((status, &answer["acknowledged"]), (StatusCode::OK, &json!(6)), "{answer}");
    let job = await_status(&client, &id, JobStatus::Recording).await;
    assert!(job.joined_at.is_some());

    // An ending that cannot be read is not skipped: the bot gets an error, and the job waits for a valid one.
    let strange = json!([
        {"seq": 7, "at": at, "report": {"type": "media_flows"}},
        {"seq": 8, "at": at, "report": ended(json!("well"))},
    ]);
    let (status, answer) = post(&server, &bot, strange).await;
    assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_input")));
    assert!(
        answer["requestId"].is_string(),
        "by this a bot recognises an error of the server: {answer}"
    );
    let ending = json!({"status": "completed", "leaveReason": "meeting_ended", "failure": null});
    let readable = json!([
        {"seq": 7, "at": at, "report": {"type": "media_flows"}},
        {"seq": 8, "at": at, "report": ended(ending)},
    ]);
    let (_, answer) = post(&server, &bot, readable).await;
    assert_eq!(answer, json!({"status": "completed", "acknowledged": 8}));
    server.stop().await;
}

#[tokio::test]
async fn a_command_denied_by_an_older_bot_is_denied() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let id = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;
    let deny = async {
        let command = bot.commands(0).await.commands.remove(0);
        let at = "2026-11-23T10:00:00.000Z";
        let report =
            json!({"type": "command_done", "commandId": command.id.to_string(), "state": "denied"});
        post(&server, &bot, json!([{"seq": 3, "at": at, "report": report}])).await
    };
    let (result, _) = tokio::join!(client.pause_recording(&id), deny);
    assert_eq!(result.unwrap().state, ControlState::Denied);
    server.stop().await;
}
