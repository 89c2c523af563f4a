//! Sends a bot to a meeting, and asks for its job until that has ended.
//!
//! `MEETBOT_API_KEY=mb_test_… MEETBOT_API_BASE_URL=http://127.0.0.1:3010 cargo run --package meetbot --example dispatch_and_poll`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, time::Duration};

use meetbot::{MeetBot, NewJob};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mb = MeetBot::builder().api_key(std::env::var("MEETBOT_API_KEY")?).build()?;
    let job = mb
        .dispatch_bot(NewJob {
            external_id: Some("lesson-2026-05-09-pavel".to_owned()),
            meeting_url: "https://meet.google.com/abc-defg-hij".to_owned(),
            display_name: Some("Acme Notetaker".to_owned()),
            ..NewJob::default()
        })
        .await?;
    println!("dispatched {} → {}", job.id, job.status);
    loop {
        let snapshot = mb.get_bot(&job.id).await?.ok_or("the job is gone")?;
        println!("{}", snapshot.status);
        if snapshot.status.is_final() {
            println!("manifest: {}", snapshot.manifest_uri.as_deref().unwrap_or("none"));
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}
