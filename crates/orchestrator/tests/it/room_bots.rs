//! Bots of one server in one room: each receives the ids of the others, and nothing more.

use meetbot::{ControlAction, JobStatus};
use meetbot_orchestrator::store::Scope;
use meetbot_types::{
    Platform,
    bot::{BotReport, Commands, OwnBots},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{Bot, PATIENCE, Server, await_status, new_job};

fn joining_as(room: &str, id: &str) -> BotReport {
    BotReport::JoiningAs {
        platform: Platform::Janus,
        room: room.to_owned(),
        participant_id: id.to_owned(),
    }
}

/// A bot of another consumer's.
async fn of_another(server: &Server) -> Bot {
    let key = server.key("globex", false, Scope::Write).await;
    let body = json!({"meetingUrl": "https://sandbox.meetbot.dev/two-speakers"});
    let sent = server.request_as(&key, Method::POST, "/api/v1/jobs").json(&body).send().await;
    assert_eq!(sent.unwrap().status(), StatusCode::CREATED);
    server.bot().await
}

fn version(ids: &[&str]) -> String {
    OwnBots { ids: ids.iter().map(|id| (*id).to_owned()).collect() }.version()
}

#[tokio::test]
async fn a_bot_receives_only_the_id_of_another_consumers_bot_in_its_room() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    client.dispatch_bot(new_job()).await.unwrap();
    let mut first = server.bot().await;
    let mut second = of_another(&server).await;

    // A bot that has not reported its room receives no ids.
    let nothing: Value = first.asks(&format!("knownBots={}", version(&[]))).await;
    assert_eq!(nothing, json!({"commands": []}));
    assert_eq!(first.report(joining_as("1234", "17")).await, StatusCode::OK);
    let alone: Value = first.asks(&format!("knownBots={}&wait=30", version(&[]))).await;
    assert_eq!(alone, json!({"commands": [], "ownBots": {"ids": ["17"]}}));

    let know = format!("knownBots={}&wait=30", version(&["17"]));
    let held = first.asks::<Value>(&know);
    let comes = async {
        assert_eq!(second.report(joining_as("1234", "18")).await, StatusCode::OK);
    };
    let both = async { tokio::join!(held, comes).0 };
    let received =
        tokio::time::timeout(PATIENCE / 2, both).await.expect("it is answered while it asks");
    assert_eq!(received, json!({"commands": [], "ownBots": {"ids": ["17", "18"]}}));

    // Both get the same ids, and none gets ids that it has already.
    let other: Commands = second.asks(&format!("knownBots={}", version(&["18"]))).await;
    assert_eq!(other.own_bots.unwrap().ids, ["17", "18"]);
    let known: Value = second.asks(&format!("knownBots={}", version(&["17", "18"]))).await;
    assert_eq!(known, json!({"commands": []}));
    // A bot of an older version does not request them.
    let older: Value = first.asks("after=0").await;
    assert_eq!(older, json!({"commands": []}));
    server.stop().await;
}

#[tokio::test]
async fn a_bot_of_another_room_or_with_another_token_receives_no_ids() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    client.dispatch_bot(new_job()).await.unwrap();
    let mut first = server.bot().await;
    let mut second = of_another(&server).await;
    first.report(joining_as("1234", "17")).await;
    second.report(joining_as("4321", "18")).await;
    let own: Commands = second.asks(&format!("knownBots={}", version(&[]))).await;
    assert_eq!(own.own_bots.unwrap().ids, ["18"]);
    // The token of one bot is not valid for requests or reports of another.
    let mut stale = second.stale();
    stale.order.job_id = first.order.job_id;
    assert_eq!(stale.report_as(2, joining_as("1234", "a person")).await, StatusCode::UNAUTHORIZED);
    let refused: Value = stale.asks(&format!("knownBots={}", version(&[]))).await;
    assert!(refused.get("ownBots").is_none(), "{refused}");
    let known: Commands = first.asks(&format!("knownBots={}", version(&[]))).await;
    assert_eq!(known.own_bots.unwrap().ids, ["17"]);
    server.stop().await;
}

#[tokio::test]
async fn one_response_contains_commands_and_the_bots_of_the_room() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let id = client.dispatch_bot(new_job()).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.report(joining_as("1234", "17")).await;
    bot.record().await;
    await_status(&client, &id, JobStatus::Recording).await;
    client.pause_recording(&id).await.unwrap();
    let received: Commands = bot.asks(&format!("after=0&knownBots={}", version(&[]))).await;
    assert_eq!(received.commands[0].action, ControlAction::PauseRecording);
    assert_eq!(received.own_bots.unwrap().ids, ["17"]);
    server.stop().await;
}

#[tokio::test]
async fn after_a_restart_the_server_still_has_the_ids_of_a_room() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    server.client().dispatch_bot(new_job()).await.unwrap();
    let mut first = server.bot().await;
    first.report(joining_as("1234", "17")).await;
    let mut second = of_another(&server).await;
    second.report(joining_as("1234", "18")).await;
    let second = second.order.job_id;
    server.stop().await;
    let server = Server::start(&data).await;
    let [one, other] = [server.bot().await, server.bot().await];
    let (mut back, mut other) =
        if one.order.job_id == second { (one, other) } else { (other, one) };
    back.report(joining_as("1234", "19")).await;
    let received: Commands = back.asks(&format!("knownBots={}", version(&[]))).await;
    assert_eq!(received.own_bots.unwrap().ids, ["19", "17", "18"]);
    other.report(joining_as("1234", "20")).await;
    let received: Commands = back.asks(&format!("knownBots={}", version(&[]))).await;
    assert_eq!(received.own_bots.unwrap().ids, ["20", "19", "17", "18"], "its job came first");
    server.stop().await;
}
