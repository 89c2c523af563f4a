//! Sends a bot to a meeting, shows where it stands, and downloads what it recorded.
//!
//! `MEETBOT_API_KEY=mb_test_… MEETBOT_API_BASE_URL=http://127.0.0.1:3010 cargo run --package meetbot --example record_a_meeting [URL]`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use meetbot::{Error, MeetBot, NewJob};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1);
    let mb = MeetBot::from_env()?;
    let job = mb
        .dispatch_bot(NewJob {
            meeting_url: url.unwrap_or_else(|| {
                "https://sandbox.meetbot.dev/two-speakers?seconds=10".to_owned()
            }),
            display_name: Some("Acme Notetaker".to_owned()),
            ..NewJob::default()
        })
        .await?;
    let id = job.id;
    let job = mb.wait_for_bot_with(&id, None, |job| println!("{id} {}", job.status)).await?;
    if job.manifest_uri.is_none() {
        println!("nothing was recorded: {:?} {:?}", job.failure_code, job.failure_detail);
        return Ok(());
    }
    for track in mb.manifest(&id).await?.tracks {
        let Some(file) = track.file else { continue };
        let bytes = mb.download_artifact(&id, &file, &file).await?;
        println!("{file} ({bytes} bytes, {} s)", track.duration_ms / 1000);
    }
    Ok(())
}
