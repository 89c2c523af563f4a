//! `meetbot demo --browser`: the bot with Chromium, in an imitation of Google Meet.

use std::{path::Path, process::Command};

use anyhow::Context as _;
use meetbot::{EventName, JobStatus, Manifest, webhook::WebhookEvent};
use meetbot_bot::Machine;
use meetbot_imitation::{Action, Imitation, Person, Scenario, Signal, Step};
use meetbot_types::{
    Via,
    bot::{BrowserSettings, ImitationSeat},
    sandbox::{Inspection, SentPackets},
};
use rustix::process::geteuid;

/// The meeting's link; the browser is led to the imitation.
pub(super) const MEETING: &str = "https://meet.google.com/abc-mnop-xyz";
/// The speakers on Google Meet's three lanes, and the tone of each.
const SPEAKERS: [(&str, u32); 3] = [("Ann Host", 500), ("Ben Weber", 700), ("Cleo Jones", 1100)];
/// A fourth, quieter speaker, whose audio is not sent.
const UNSENT: &str = "Dora Lang";
/// The sample rate of the analysed audio, per second.
const RATE: u32 = 16_000;

/// The browser settings of the demo's bots. An error where Chromium is missing.
pub(super) fn settings() -> anyhow::Result<BrowserSettings> {
    // Only the imitation's page is ever opened.
    let no_sandbox = geteuid().is_root();
    let settings = BrowserSettings { no_sandbox, ..BrowserSettings::default() };
    let ways = meetbot_bot::available(&Machine::look(), Some(&settings));
    let missing =
        ways.iter().find(|way| way.via == Via::Browser).and_then(|way| way.missing.first());
    match missing {
        Some(missing) => Err(anyhow::anyhow!(
            "the demo needs Chromium (on Debian: apt-get install chromium). {}",
            missing.message
        )),
        None => Ok(settings),
    }
}

/// Begins the meeting, which admits everybody.
pub(super) async fn begin() -> anyhow::Result<Imitation> {
    let mut people: Vec<Person> = (1001..)
        .zip(SPEAKERS)
        .map(|(csrc, (name, tone_hz))| Person::new(name, csrc, tone_hz))
        .collect();
    people[0].host = true;
    people.push(Person::new(UNSENT, 1004, 1300).level(-60));
    let farewell =
        Action::Write { person: SPEAKERS[1].0.to_owned(), text: "That was all".to_owned() };
    let steps = vec![
        Step { on: Signal::Knocked, then: vec![Action::Admit] },
        Step { on: Signal::Said(SPEAKERS[0].0.to_owned()), then: vec![farewell] },
    ];
    let scenario = Scenario { people, steps, ..Scenario::default() };
    meetbot_imitation::serve(scenario).await.context("the imitation does not start")
}

/// The bot's seat in the imitation.
pub(super) fn seat(meeting: &Imitation) -> ImitationSeat {
    ImitationSeat { address: meeting.address(), spki_sha256: meeting.spki_sha256().to_owned() }
}

/// Continues the meeting after a webhook: people speak once the bot is in, and the host ends it once the bot has read the last message.
pub(super) fn go_on(meeting: &Imitation, event: &WebhookEvent, seconds: u32) {
    let says = |name: &str, ms| meeting.act(Action::Say { person: name.to_owned(), ms });
    match &event.event {
        EventName::StatusChanged if event.data.status == Some(JobStatus::InCall) => {
            let ms = u64::from(seconds) * 1000;
            for (name, _) in SPEAKERS {
                says(name, ms);
            }
            // While all lanes are taken.
            says(UNSENT, ms / 2);
        }
        EventName::ChatMessage => meeting.act(Action::End),
        _ => {}
    }
}

/// The packets that the meeting sent, for each person under the manifest's id for that name.
pub(super) fn sent(meeting: &Imitation, manifest: Option<&Manifest>) -> Inspection {
    let id_of = |name: &str| {
        let mut people = manifest.iter().flat_map(|manifest| &manifest.participants);
        people.find(|person| person.name.as_deref() == Some(name))?.id.clone()
    };
    let observed = meeting.observed();
    let sent = observed.sent.into_iter().map(|(name, packets)| SentPackets {
        participant_id: id_of(&name).unwrap_or_default(),
        name,
        packets,
    });
    Inspection { joins: observed.knocks, sent: sent.collect(), ..Inspection::default() }
}

/// The checks that failed of those for a browser's recording, a sentence each. `folder` has the manifest's files.
pub(super) fn judge(meeting: &Imitation, manifest: &Manifest, folder: &Path) -> Vec<String> {
    let mut missing = Vec::new();
    let observed = meeting.observed();
    if !observed.faults.is_empty() {
        missing.push(format!("the page noticed the bot: {:?}", observed.faults));
    }
    if observed.unsent.get(UNSENT).is_none_or(|packets| *packets == 0) {
        missing.push(format!("{UNSENT} did not speak beside the three others"));
    }
    for (name, own) in SPEAKERS {
        let person =
            manifest.participants.iter().find(|person| person.name.as_deref() == Some(name));
        let Some(person) = person else {
            missing.push(format!("the manifest does not name {name}"));
            continue;
        };
        let tracks = manifest.tracks.iter().filter(|track| track.participant_id == person.id);
        for file in tracks.filter_map(|track| track.file.as_deref()) {
            let others = SPEAKERS.map(|(_, hz)| hz).into_iter().chain([1300]);
            match tones(&folder.join(file), own, others.filter(|hz| *hz != own)) {
                Ok(apart) if apart >= 40.0 => {}
                Ok(apart) => missing.push(format!(
                    "the others are only {apart:.0} dB below {name} in {file}: at least 40 they should be"
                )),
                Err(error) => missing.push(format!("{file} cannot be judged: {error:#}")),
            }
        }
    }
    missing
}

/// By how many dB the loudest of `others` is below a file's own tone.
fn tones(file: &Path, own: u32, others: impl Iterator<Item = u32>) -> anyhow::Result<f64> {
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-f", "s16le", "-ac", "1", "-ar", &RATE.to_string(), "-"])
        .output()
        .context("it needs ffmpeg (Debian: apt-get install ffmpeg)")?;
    anyhow::ensure!(
        decoded.status.success(),
        "ffmpeg: {}",
        String::from_utf8_lossy(&decoded.stderr)
    );
    let samples: Vec<f64> = decoded
        .stdout
        .as_chunks::<2>()
        .0
        .iter()
        .map(|sample| f64::from(i16::from_le_bytes(*sample)) / 32_768.0)
        .collect();
    let loudest = others.map(|hz| decibels(&samples, hz)).fold(f64::NEG_INFINITY, f64::max);
    Ok(decibels(&samples, own) - loudest)
}

/// How loud a tone is, in dB below full scale: the loudest tenth of a second, by Goertzel's filter.
fn decibels(samples: &[f64], hz: u32) -> f64 {
    let coefficient = 2.0 * (std::f64::consts::TAU * f64::from(hz) / f64::from(RATE)).cos();
    let power = samples.chunks_exact(1_600).map(|piece| {
        let (one, two) = piece
            .iter()
            .fold((0.0, 0.0), |(one, two), sample| (sample + coefficient * one - two, one));
        (one * one + two * two - coefficient * one * two) / (1_600.0 * 1_600.0 / 4.0)
    });
    10.0 * power.fold(1e-12, f64::max).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_found_at_its_frequency_only() {
        let step = std::f64::consts::TAU * 700.0 / f64::from(RATE);
        let tone: Vec<f64> =
            (0..RATE).map(|number| 0.5 * (step * f64::from(number)).sin()).collect();
        assert!((decibels(&tone, 700) + 6.0).abs() < 0.1, "{}", decibels(&tone, 700));
        assert!(decibels(&tone, 500) < -80.0, "{}", decibels(&tone, 500));
        assert!(decibels(&[], 500) < -100.0);
    }
}
