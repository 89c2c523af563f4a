//! Sends a bot to a meeting at a time, with rules to leave and data of your own.
//!
//! `MEETBOT_API_KEY=mb_test_… MEETBOT_API_BASE_URL=http://127.0.0.1:3010 cargo run --package meetbot --example dispatch_with_rules`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use meetbot::{AutoLeaveConfig, MeetBot, Metadata, NewJob, Rule, Webhooks};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mb = MeetBot::from_env()?;
    let job = mb
        .dispatch_bot(NewJob {
            external_id: Some("q2-board-meeting-acme".to_owned()),
            meeting_url: "https://meet.google.com/xyz-abcd-efg".to_owned(),
            join_at: Some("2026-05-15T14:00:00Z".parse()?),
            display_name: Some("Acme Notetaker".to_owned()),
            webhooks: Some(Webhooks {
                on_finalize: Some("https://api.acme.example/meetbot/finalize".to_owned()),
                ..Webhooks::default()
            }),
            metadata: Some(Metadata::from_json(r#"{"customer_id": "cust_4711"}"#)?),
            auto_leave: Some(AutoLeaveConfig {
                after_entry_delay_seconds: Rule::After(300),
                after_max_seconds: Rule::After(7200),
                on_bot_detected: Some(true),
                ..AutoLeaveConfig::default()
            }),
            ..NewJob::default()
        })
        .await?;
    println!("{} {} {}", job.id, job.status, job.join_at.ok_or("it keeps its time")?);
    Ok(())
}
