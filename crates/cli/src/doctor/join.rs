//! `meetbot doctor join LINK`: joins a meeting of the operator's for a minute, and prints what the bot recognises of its page and messages.

use std::{path::Path, process::ExitCode, time::Duration};

use meetbot_bot::{Examination, chromium_version, examine};
use meetbot_types::{MeetingLink, Platform, bot::BrowserSettings};
use serde_json::json;

use crate::output::{Output, Usage};

/// How long the bot waits for its admission.
const LOBBY: Duration = Duration::from_mins(5);

/// Joins the meeting, and prints the findings.
pub(super) async fn run(
    link: Option<&str>,
    seconds: u32,
    settings: &BrowserSettings,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let example = "as in: meetbot doctor join https://meet.google.com/abc-mnop-xyz";
    let link = link.ok_or_else(|| Usage(format!("which meeting? {example}")))?;
    let parsed = MeetingLink::parse(link, None).ok();
    let Some(parsed) = parsed.filter(|parsed| parsed.platform == Platform::GoogleMeet) else {
        return Err(Usage(format!("this is no link of a Google Meet meeting; {example}")).into());
    };
    let account = settings.profile.as_deref().and_then(Path::file_name);
    let who = account.map_or_else(
        || "\"meetbot doctor\"".to_owned(),
        |account| format!("with the account {}", account.to_string_lossy()),
    );
    output.remark(format_args!(
        "The bot {who} asks to join; admit it within {} minutes. Let somebody speak, and write in the chat.",
        LOBBY.as_secs() / 60
    ));
    let time = Duration::from_secs(seconds.into());
    let found = examine(parsed.url.as_str(), "meetbot doctor", settings, (LOBBY, time)).await?;
    let chromium = chromium_version(settings);
    let mut report = json!(found);
    report["chromium"] = json!(chromium);
    output.object(&report)?;
    output.lines(lines(&found, chromium.as_deref()));
    let is_well = found.joined_ms.is_some() && found.read.people > 0;
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The report for people.
fn lines(found: &Examination, chromium: Option<&str>) -> Vec<String> {
    let seen = |is_seen: bool| if is_seen { "seen    " } else { "not seen" };
    let mut lines = vec![format!(
        "meetbot {}, Chromium {}, landmarks of {}",
        found.version,
        chromium.unwrap_or("of no known version"),
        found.landmarks
    )];
    lines.push(match found.joined_ms {
        Some(ms) => format!("joined after {} s", seconds(ms)),
        None => "not joined".to_owned(),
    });
    lines.extend(found.ended.as_ref().map(|why| format!("ended: {why}")));
    lines.push("states".to_owned());
    for state in &found.states {
        let at = state.first_ms.map(|ms| format!(", after {} s", seconds(ms))).unwrap_or_default();
        lines.push(format!("  {}  {}{at}", seen(state.first_ms.is_some()), state.name));
    }
    lines.push("controls".to_owned());
    for control in &found.controls {
        let text = control.text.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
        lines.push(format!("  {}  {}{text}", seen(control.text.is_some()), control.name));
    }
    for (state, times) in &found.connections {
        lines.push(format!("connection {state}: {times} times"));
    }
    for (label, channel) in &found.channels {
        let (messages, unreadable) = (channel.messages, channel.unreadable);
        lines
            .push(format!("channel {label}: {messages} messages, {unreadable} of them unreadable"));
        for field in &channel.fields {
            let meaning = field.meaning.unwrap_or("(unknown)");
            lines.push(format!(
                "  {}  {}  {meaning}: {} times",
                seen(field.count > 0),
                field.path,
                field.count
            ));
        }
    }
    let sound = &found.sound;
    lines.push(format!(
        "audio: {} packets on {} lanes; {} name one speaker, {} several, {} none; {} with the mark of the loudest, {} with a level",
        sound.packets, sound.lanes, sound.of_one, sound.of_several, sound.of_none, sound.of_loudest, sound.with_level
    ));
    for (format, count) in &found.pictures {
        lines.push(format!("pictures in {format}: {count}"));
    }
    if sound.encoded_again > 0 {
        lines.push(format!(
            "  {} of them were decoded by the page and encoded again",
            sound.encoded_again
        ));
    }
    for (kind, receivers) in &found.uncaptured {
        lines.push(format!("{kind}: the encoded frames of {receivers} receivers cannot be taken"));
    }
    for format in &found.unknown_formats {
        lines.push(format!("audio in {format}, which cannot be recorded"));
    }
    for error in &found.errors {
        lines.push(format!("the page reported: {error}"));
    }
    let read = &found.read;
    lines.push(format!(
        "read: {} people, {} speakers, {} lines of captions, {} chat messages",
        read.people, read.speakers, read.captions, read.messages
    ));
    lines.extend(found.page.as_ref().map(|page| format!("page: {page}")));
    lines
}

/// Seconds with one decimal.
fn seconds(ms: u64) -> String {
    format!("{}.{}", ms / 1_000, ms % 1_000 / 100)
}
