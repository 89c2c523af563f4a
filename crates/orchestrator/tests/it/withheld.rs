//! Counts in the timeline that webhooks do not contain: chat and captions withheld while nothing may be recorded, and events left out of reports.

use meetbot::{EventName, JobStatus, ListDeliveries, NewJob, Webhooks, webhook::EventDetails};
use meetbot_types::bot::BotReport;
use reqwest::StatusCode;
use tempfile::TempDir;

use crate::server::{Bot, Server, await_status, new_job};

const RESUMED: BotReport = BotReport::RecordingResumed { paused_ms: 1_000 };

async fn says(bot: &mut Bot, reports: &[BotReport]) {
    for report in reports {
        assert_eq!(bot.report(report.clone()).await, StatusCode::OK);
    }
}

const fn came(messages: u64, captions: u64) -> BotReport {
    BotReport::Withheld { messages, captions }
}

/// The counts of withheld chat and captions in the job's timeline, with the status of each.
async fn withheld_counts(server: &Server, id: &str) -> Vec<(u64, u64, Option<JobStatus>)> {
    let events = server.client().events(id, None).await.unwrap().data;
    events
        .iter()
        .filter_map(|event| match event.data.details {
            EventDetails::ChatWithheld { messages, captions } => {
                assert_eq!(event.event.as_str(), "bot.chat_withheld");
                Some((messages, captions, event.data.status.clone()))
            }
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn a_pause_is_counted_over_lost_bots_and_restarts_and_reported_once() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let url = Some("http://127.0.0.1:9/hook".to_owned());
    let webhooks = Webhooks { on_status_change: url.clone(), on_finalize: url };
    let new = NewJob { webhooks: Some(webhooks), ..new_job() };
    let id = server.client().dispatch_bot(new).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;
    says(&mut bot, &[BotReport::RecordingPaused, came(1, 0), came(1, 2)]).await;
    assert_eq!(withheld_counts(&server, &id).await, []);
    drop(bot);
    let mut bot = server.bot().await;
    assert_eq!(bot.order.epoch, 2);
    says(&mut bot, &[BotReport::Admitted, BotReport::RecordingPaused, came(3, 0)]).await;
    drop(bot);
    server.stop().await;

    let server = Server::start(&data).await;
    let mut bot = server.bot().await;
    says(&mut bot, &[BotReport::Admitted, BotReport::RecordingPaused, RESUMED]).await;
    assert_eq!(withheld_counts(&server, &id).await, [(5, 2, Some(JobStatus::InCall))]);
    // A pause without chat and captions is not reported.
    let more = [BotReport::RecordingStarted, BotReport::RecordingPaused, RESUMED];
    says(&mut bot, &more).await;
    bot.complete("file:///m").await;
    await_status(&server.client(), &id, JobStatus::Completed).await;
    assert_eq!(withheld_counts(&server, &id).await.len(), 1);

    let sent = server.client().deliveries(&ListDeliveries::default()).await.unwrap().data;
    let sent: Vec<_> = sent.into_iter().filter_map(|delivery| delivery.event).collect();
    assert!(sent.contains(&EventName::Finalized), "{sent:?}");
    assert!(!sent.contains(&EventName::ChatWithheld), "{sent:?}");
    server.stop().await;
}

#[tokio::test]
async fn refused_and_stopped_recordings_are_counted_before_the_job_ends() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let stopped = BotReport::RecordingStopped { paused_ms: 0 };
    let denied = BotReport::PermissionAnswered { granted: false };
    for (state, earlier) in [
        (vec![stopped], vec![BotReport::RecordingStarted]),
        (vec![BotReport::PermissionRequested, came(0, 1), denied], Vec::new()),
    ] {
        let id = client.dispatch_bot(new_job()).await.unwrap().id;
        let mut bot = server.bot().await;
        says(&mut bot, &[BotReport::Admitted]).await;
        says(&mut bot, &earlier).await;
        says(&mut bot, &state).await;
        says(&mut bot, &[came(2, 0)]).await;
        assert_eq!(withheld_counts(&server, &id).await, []);
        bot.complete("file:///m").await;
        await_status(&client, &id, JobStatus::Completed).await;
        let events = client.events(&id, None).await.unwrap().data;
        let names: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
        let place = names.iter().position(|name| *name == "bot.chat_withheld").unwrap();
        assert!(events[place..].iter().any(|event| event.event.as_str() == "job.finalized"));
        assert!(
            !events[..=place].iter().any(|event| event.data.status == Some(JobStatus::Completed)),
            "{names:?}"
        );
        assert_eq!(withheld_counts(&server, &id).await.len(), 1);
    }
    server.stop().await;
}

#[tokio::test]
async fn events_left_out_of_reports_are_counted_only_in_the_timeline() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let url = Some("http://127.0.0.1:9/hook".to_owned());
    let webhooks = Webhooks { on_status_change: url.clone(), on_finalize: url };
    let new = NewJob { webhooks: Some(webhooks), ..new_job() };
    let id = server.client().dispatch_bot(new).await.unwrap().id;
    let mut bot = server.bot().await;
    bot.record().await;
    says(&mut bot, &[BotReport::LeftOut { messages: 7, participant_events: 12 }]).await;
    bot.complete("file:///m").await;
    await_status(&server.client(), &id, JobStatus::Completed).await;
    let events = server.client().events(&id, None).await.unwrap().data;
    let left_out: Vec<_> = events
        .iter()
        .filter_map(|event| match event.data.details {
            EventDetails::EventsLeftOut { messages, participant_events } => {
                assert_eq!(event.event, EventName::EventsLeftOut);
                Some((messages, participant_events))
            }
            _ => None,
        })
        .collect();
    assert_eq!(left_out, [(7, 12)]);
    let sent = server.client().deliveries(&ListDeliveries::default()).await.unwrap().data;
    let sent: Vec<_> = sent.into_iter().filter_map(|delivery| delivery.event).collect();
    assert!(!sent.is_empty() && !sent.contains(&EventName::EventsLeftOut), "{sent:?}");
    server.stop().await;
}
