//! `meetbot dispatch URL`.

use std::process::ExitCode;

use meetbot::{
    AutoLeaveConfig, CallOptions, Job, MeetBot, Metadata, NewJob, Platform, Request, Rule,
    Timestamp, Webhooks,
};

use crate::{
    connection::Connection,
    output::{Output, known},
    watch,
};

/// The arguments of `dispatch`; what is not given is the server's to choose.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The meeting's URL.
    url: String,
    /// Your own id for the job; a second call with the same one gives the first one's job.
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// The meeting's product, where the URL does not tell.
    #[arg(long)]
    platform: Option<String>,
    /// The name the bot shows in the meeting.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// When to join, as in 2026-05-15T14:00:00Z.
    #[arg(long, value_name = "TIME")]
    join_at: Option<Timestamp>,
    /// Gets the webhooks about what happens.
    #[arg(long, value_name = "URL")]
    on_status_change: Option<String>,
    /// Gets the webhook about the end.
    #[arg(long, value_name = "URL")]
    on_finalize: Option<String>,
    /// Your own data: a JSON object.
    #[arg(long, value_name = "JSON", value_parser = |text: &str| Metadata::from_json(text).map_err(|error| error.to_string()))]
    metadata: Option<Metadata>,
    /// Give up when not admitted this long after knocking.
    #[arg(long, value_name = "SECONDS|off", value_parser = rule)]
    after_entry_delay: Option<Rule>,
    /// Leave when nobody has spoken for this long.
    #[arg(long, value_name = "SECONDS|off", value_parser = rule)]
    after_silence: Option<Rule>,
    /// Leave when no other human has been there for this long.
    #[arg(long, value_name = "SECONDS|off", value_parser = rule)]
    after_solo: Option<Rule>,
    /// Leave after this long in the call.
    #[arg(long, value_name = "SECONDS|off", value_parser = rule)]
    after_max: Option<Rule>,
    /// Leave when another notetaker bot is there.
    #[arg(long)]
    on_bot_detected: bool,
    /// Whether to record cameras; the server's settings decide where it is not given.
    #[arg(long, value_name = "true|false")]
    record_video: Option<bool>,
    /// Join as this account, which the operator of the server has set up; without it the bot is a guest.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Makes this very call safe to repeat.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Follow the job to its end, as `meetbot watch` does.
    #[arg(long)]
    watch: bool,
}

fn rule(text: &str) -> Result<Rule, String> {
    match text {
        "off" => Ok(Rule::Off),
        _ => text.parse().map(Rule::After).map_err(|_| "give whole seconds, or off".to_owned()),
    }
}

impl Args {
    fn new_job(self) -> NewJob {
        let webhooks =
            Webhooks { on_status_change: self.on_status_change, on_finalize: self.on_finalize };
        let auto_leave = AutoLeaveConfig {
            after_entry_delay_seconds: self.after_entry_delay.unwrap_or_default(),
            after_silence_seconds: self.after_silence.unwrap_or_default(),
            after_solo_seconds: self.after_solo.unwrap_or_default(),
            after_max_seconds: self.after_max.unwrap_or_default(),
            on_bot_detected: self.on_bot_detected.then_some(true),
        };
        NewJob {
            meeting_url: self.url,
            external_id: self.external_id,
            platform: self.platform.as_deref().map(Platform::from),
            display_name: self.display_name,
            join_at: self.join_at,
            webhooks: (webhooks != Webhooks::default()).then_some(webhooks),
            metadata: self.metadata,
            auto_leave: (auto_leave != AutoLeaveConfig::default()).then_some(auto_leave),
            record_video: self.record_video,
            account: self.account,
        }
    }
}

/// Sends a bot and prints its job.
pub(crate) async fn run(
    mut args: Args,
    connection: &Connection,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let mut client = connection.client()?;
    if let Some(key) = args.idempotency_key.take() {
        client = client.with(CallOptions::new().idempotency_key(key))?;
    }
    let watched = args.watch;
    let (job, known_before) = create(&client, &args.new_job()).await?;
    if known_before {
        output.remark(format_args!(
            "no new bot: this is the job that has the external id {} already, for {}",
            known(job.external_id.as_ref()),
            known(job.meeting_url.as_ref())
        ));
    } else if connection.has_test_key()? && job.platform != Some(Platform::Sandbox) {
        output.remark(
            "test key: no bot joins this meeting, the sandbox plays two-speakers in its place",
        );
    }
    if watched {
        output.line(&job.id);
        return watch::follow(&client, &job.id, None, output).await;
    }
    output.object(&job)?;
    output.line(&job.id);
    output.remark(format_args!("{}; follow it with: meetbot watch {}", job.status, job.id));
    Ok(ExitCode::SUCCESS)
}

/// Creates the job, and says whether it was there already: that is the status of the answer.
async fn create(client: &MeetBot, new: &NewJob) -> anyhow::Result<(Job, bool)> {
    let path = "/api/v1/jobs";
    let answer = client.request(Request::new("POST", path)?.json(serde_json::to_vec(new)?)).await?;
    let job = serde_json::from_slice(answer.body())
        .map_err(|error| client.unreadable(path, &answer, error))?;
    Ok((job, answer.status() == 200))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_given_options_are_sent() {
        use clap::Parser as _;
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        let sent = |line: &[&str]| {
            let new = Line::try_parse_from(line).unwrap().args.new_job();
            serde_json::to_string(&new).unwrap()
        };
        assert_eq!(sent(&["x", "https://m"]), r#"{"meetingUrl":"https://m"}"#);
        assert_eq!(
            sent(&[
                "x",
                "https://m",
                "--after-solo",
                "off",
                "--after-max",
                "60",
                "--metadata",
                "{\"a\":1}",
                "--record-video",
                "false"
            ]),
            r#"{"meetingUrl":"https://m","metadata":{"a":1},"autoLeave":{"afterSoloSeconds":null,"afterMaxSeconds":60},"recordVideo":false}"#
        );
        assert!(Line::try_parse_from(["x", "https://m", "--after-solo", "-1"]).is_err());
        assert!(
            Line::try_parse_from(["x", "https://m", "--join-at", "2026-05-15T14:00:00"]).is_err()
        );
    }
}
