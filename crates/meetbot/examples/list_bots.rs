//! Lists the jobs that failed, blocking.
//!
//! `MEETBOT_API_KEY=mb_test_… MEETBOT_API_BASE_URL=http://127.0.0.1:3010 cargo run --package meetbot --example list_bots`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use meetbot::{Error, JobStatus, ListBots, blocking::MeetBot};

fn main() -> Result<(), Error> {
    let list = ListBots { status: vec![JobStatus::Failed], ..ListBots::default() };
    for job in MeetBot::from_env()?.bots(&list) {
        let job = job?;
        let advice = job.failure_code.as_ref().map_or("?", |code| code.advice());
        println!("{} {}: {advice}", job.id, job.meeting_url.as_deref().unwrap_or("?"));
    }
    Ok(())
}
