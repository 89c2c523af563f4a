//! The bounds of what one meeting may use of the server. Each text is truncated where it enters; the bot leaves a meeting that exceeds another bound.
//!
//! A test keeps their list in `SECURITY.md` up to date.

use std::time::{Duration, Instant};

use meetbot_rtc::{DESCRIPTION_BYTES, DESCRIPTION_TRACKS};
use meetbot_types::{Failure, FailureCode, signature::sha256};

/// The maximum length of a kind of text, in characters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text(usize);

/// Names of people and of their tracks.
pub(crate) const NAME: Text = Text(200);
/// Ids of people, messages, tracks and streams.
const ID: Text = Text(200);
/// Chat messages.
pub(crate) const MESSAGE: Text = Text(10_000);
/// Lines of captions.
pub(crate) const CAPTION: Text = Text(4_000);
/// Reasons that a meeting's server gives: they are shown to users and logged.
pub(crate) const REASON: Text = Text(500);
/// An ICE candidate, in bytes. Those of browsers have 200 at most.
pub(crate) const CANDIDATE_BYTES: usize = 500;
/// One message on a WebSocket, in bytes: a session description, or the roster of a crowded room, as JSON.
pub(crate) const SOCKET_MESSAGE_BYTES: usize = 1024 * 1024;

/// People who were ever in the meeting.
pub(crate) const PEOPLE: usize = 5_000;
/// Names of one person in the manifest; `events.jsonl` has the others.
pub(crate) const NAMES_OF_ONE: usize = 50;
/// Spans of speech in the manifest; `events.jsonl` has the others.
pub(crate) const SPANS: usize = 20_000;
/// Levels in `levels.bin`, a byte each. With more, each stands for a longer time. 19 voices of 24 hours fit.
pub(crate) const LEVELS: u64 = 16 << 20;
/// Streams of one person that a bot considers. Four at most are recorded.
pub(crate) const STREAMS_OF_ONE: usize = 16;
/// Streams of all people together, and media files of one attempt.
pub(crate) const STREAMS: usize = 1_000;
/// Files of one camera or screen: a new one begins when the rotation or the codec changes, which a sender can do with each picture. This many
/// without a limit of rate,
pub(crate) const FILES_OF_ONE: u64 = 20;
/// and one more for each of these ms of the recording.
pub(crate) const ONE_MORE_FILE_MS: u64 = 60_000;
/// Above this number of media files in an attempt, a rotation begins no new file, so that room is left for other streams.
pub(crate) const FILES_WITH_TURNED: usize = STREAMS / 2;
/// How many ids one person can have at the same time: late packets may carry the previous one.
pub(crate) const IDS_OF_ONE: usize = 4;

/// Answers of a host to requests for permission to record, changes included.
pub(crate) const ANSWERS: u32 = 100;

/// Messages of a meeting's server; a long one counts as several.
pub(crate) const MESSAGES: Rate = Rate { at_once: 40_000, per_second: 2_000 };
/// A message counts once more for each of these bytes.
pub(crate) const MESSAGE_BYTES: usize = 256;
/// Events of a meeting, without media.
pub(crate) const EVENTS: Rate = Rate { at_once: 10_000, per_second: 100 };
/// Bytes of `events.jsonl`, `chat.jsonl` and `captions.jsonl`.
pub(crate) const LINES: Rate = Rate { at_once: 16 << 20, per_second: 128 << 10 };
/// Total bytes of these files.
pub(crate) const LINE_BYTES: u64 = 256 << 20;
/// Reports of chat, and of people who join and leave.
pub(crate) const REPORTS: Rate = Rate { at_once: 1_000, per_second: 10 };
/// Bytes of reports that wait for the orchestrator; above this no chat is added,
pub(crate) const WAITING_CHAT_BYTES: usize = 512 << 10;
/// and above this no joining or leaving people. Other reports are few, and are always added.
pub(crate) const WAITING_BYTES: usize = 768 << 10;
/// Bytes that wait to be sent to a meeting's server that does not read.
pub(crate) const UNSENT_BYTES: usize = 4 << 20;
/// Bytes of one media file that are held in memory.
pub(crate) const BUFFERED_BYTES: usize = 256 << 10;

impl Text {
    /// Truncates the text.
    pub(crate) fn cut(self, text: String) -> String {
        match text.char_indices().nth(self.0) {
            // A new allocation, so that the memory of the long text is freed.
            Some((end, _)) => text[..end].to_owned(),
            None => text,
        }
    }

    pub(crate) fn cut_all(self, text: &mut Option<String>) {
        *text = text.take().map(|text| self.cut(text));
    }
}

/// The id; one that is too long becomes its beginning and its SHA-256, so that different ids stay different.
pub(crate) fn id(id: String) -> String {
    const HASH: usize = 64;
    if id.chars().nth(ID.0).is_none() {
        return id;
    }
    let hash = sha256(id.as_bytes());
    Text(ID.0 - 1 - HASH).cut(id) + "~" + &hash
}

/// Whether a session description is within its bounds.
pub(crate) fn description(sdp: &str) -> Result<(), Exceeded> {
    let sections = || sdp.lines().filter(|line| line.starts_with("m=")).count();
    if sdp.len() > DESCRIPTION_BYTES || sections() > DESCRIPTION_TRACKS {
        return Err(Exceeded::Description);
    }
    Ok(())
}

/// A rate limit (token bucket).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// The size of a burst,
    at_once: u32,
    /// and how many are added each second.
    per_second: u32,
}

/// The state of a [`Rate`].
#[derive(Debug)]
pub(crate) struct Allowance {
    rate: Rate,
    left: f64,
    at: Instant,
}

impl Allowance {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, left: rate.at_once.into(), at: now }
    }

    /// Takes `times` from the allowance, if there is enough left. Returns whether it was.
    pub(crate) fn take(&mut self, times: u64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at);
        if passed > Duration::ZERO {
            self.at = now;
            let back = passed.as_secs_f64() * f64::from(self.rate.per_second);
            self.left = (self.left + back).min(self.rate.at_once.into());
        }
        let times = times as f64;
        let may = times <= self.left;
        if may {
            self.left -= times;
        }
        may
    }
}

/// The bound that a meeting exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Exceeded {
    #[error("more than {PEOPLE} people came to the meeting")]
    People,
    #[error("the meeting has more than {STREAMS} streams of media")]
    Streams,
    #[error(
        "the meeting's server sends a session description of more than {DESCRIPTION_BYTES} bytes or {DESCRIPTION_TRACKS} tracks"
    )]
    Description,
    #[error(
        "the meeting's server sends more than {} messages a second",
        MESSAGES.per_second
    )]
    Messages,
    #[error(
        "more than {} times a second somebody came, left, wrote or changed their name in the meeting",
        EVENTS.per_second
    )]
    Events,
    #[error("the host answered more than {ANSWERS} times whether the meeting may be recorded")]
    Answers,
    #[error(
        "what happens in the meeting fills more than {} KiB of events.jsonl, chat.jsonl and captions.jsonl a second",
        LINES.per_second >> 10
    )]
    LineRate,
    #[error(
        "what happened in the meeting fills more than {} MiB of events.jsonl, chat.jsonl and captions.jsonl",
        LINE_BYTES >> 20
    )]
    Lines,
    #[error("the job's files have more than {0} bytes (recordings.max_gigabytes_per_job)")]
    JobBytes(u64),
}

impl Exceeded {
    /// The failure with which the job ends.
    pub(crate) fn failure(self) -> Failure {
        let detail = format!("{self}; what was recorded until then is kept");
        Failure::new(FailureCode::QuotaExceeded, detail)
    }
}

impl From<Exceeded> for std::io::Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::other(exceeded)
    }
}

/// The bound that an I/O error of a recording carries, if it carries one.
pub(crate) fn exceeded(error: &std::io::Error) -> Option<Exceeded> {
    error.get_ref()?.downcast_ref().copied()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use xtask::spec_file;

    use super::*;
    use crate::clock;

    /// Each bound: its subject, its value, and what happens beyond it.
    fn table() -> Vec<(&'static str, String, &'static str)> {
        let characters = |text: Text| format!("{} characters", thousands(text.0 as u64));
        let bytes = |bytes: u64| match bytes {
            bytes if bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
            bytes if bytes % (1 << 10) == 0 => format!("{} KiB", bytes >> 10),
            bytes => format!("{bytes} bytes"),
        };
        let rate = |rate: Rate| {
            let [at_once, per_second] = [rate.at_once, rate.per_second].map(u64::from);
            format!("{} at once, then {} a second", thousands(at_once), thousands(per_second))
        };
        let line_rate = format!(
            "{} at once, then {} a second",
            bytes(LINES.at_once.into()),
            bytes(LINES.per_second.into())
        );
        let (cut, left) = ("cut", "the meeting is left");
        vec![
            ("a name", characters(NAME), cut),
            ("an id", characters(ID), "its beginning and its SHA-256, so that two ids stay two"),
            ("a chat message", characters(MESSAGE), cut),
            ("a line of captions", characters(CAPTION), cut),
            ("a reason that a meeting gives, in details and logs", characters(REASON), cut),
            ("an ICE candidate", bytes(CANDIDATE_BYTES as u64), "passed over"),
            (
                "a session description",
                format!(
                    "{}, {} tracks",
                    bytes(DESCRIPTION_BYTES as u64),
                    thousands(DESCRIPTION_TRACKS as u64)
                ),
                left,
            ),
            (
                "a message on a WebSocket",
                bytes(SOCKET_MESSAGE_BYTES as u64),
                "the connection is given up and made again, for a minute",
            ),
            (
                "messages to a meeting's server that does not read",
                bytes(UNSENT_BYTES as u64),
                "the same",
            ),
            ("people who were ever in a meeting", thousands(PEOPLE as u64), left),
            (
                "names of one person in the manifest",
                NAMES_OF_ONE.to_string(),
                "only in `events.jsonl`",
            ),
            (
                "spans of speech in the manifest",
                thousands(SPANS as u64),
                "those with the shortest pauses between them are one; each is in `events.jsonl`",
            ),
            ("levels in `levels.bin`", bytes(LEVELS), "each stands for a longer time"),
            ("streams of one person", STREAMS_OF_ONE.to_string(), "not looked at"),
            ("streams of a meeting; media files of one attempt", thousands(STREAMS as u64), left),
            (
                "files of one camera or screen, which begin where it is turned",
                format!(
                    "{FILES_OF_ONE} at once, then one a minute, while the attempt has less than {FILES_WITH_TURNED}"
                ),
                "the file before goes on",
            ),
            ("answers whether a meeting may be recorded", ANSWERS.to_string(), left),
            ("messages of a meeting's server, one more for each 256 bytes", rate(MESSAGES), left),
            (
                "people who come, go or change their names, chat messages, captions",
                rate(EVENTS),
                left,
            ),
            ("`events.jsonl`, `chat.jsonl` and `captions.jsonl`", line_rate, left),
            ("the same in all", bytes(LINE_BYTES), left),
            ("all files of a job", "`recordings.max_gigabytes_per_job`, 50 GB".to_owned(), left),
            (
                "`bot.chat_message`, `bot.participant_joined`, `…_renamed` and `…_left`",
                rate(REPORTS),
                "in the files alone; `bot.events_left_out` counts them, once a minute and at the end",
            ),
            (
                "reports that wait for a server that is away",
                format!(
                    "{} with chat, {} with people",
                    bytes(WAITING_CHAT_BYTES as u64),
                    bytes(WAITING_BYTES as u64)
                ),
                "the same; the course of the job is always reported",
            ),
            (
                "a media file in memory",
                bytes(BUFFERED_BYTES as u64),
                "it is written at once, and not within half a second",
            ),
        ]
    }

    fn thousands(number: u64) -> String {
        if number < 1_000 {
            return number.to_string();
        }
        format!("{},{:03}", number / 1_000, number % 1_000)
    }

    #[test]
    fn security_md_lists_every_bound() {
        assert_eq!(MESSAGE_BYTES, 256);
        let mut lines = String::from("| what | at most | beyond it |\n| --- | --- | --- |\n");
        for (what, most, beyond) in table() {
            writeln!(lines, "| {what} | {most} | {beyond} |").unwrap();
        }
        spec_file::check_part("SECURITY.md", "bounds", &lines);
    }

    #[test]
    fn texts_are_cut_between_characters_and_long_ids_stay_different() {
        let short = "ä".repeat(200);
        assert_eq!(NAME.cut(short.clone()), short);
        assert_eq!(NAME.cut("ä".repeat(1_000_000)), short);
        assert_eq!(NAME.cut(String::new()), "");
        let mut none = None;
        NAME.cut_all(&mut none);
        assert_eq!(none, None);

        assert_eq!(id(short.clone()), short);
        let long = |end: &str| id("ä".repeat(1_000_000) + end);
        assert_eq!(long("1"), long("1"));
        assert_ne!(long("1"), long("2"));
        assert_eq!(long("1").chars().count(), 200);
    }

    #[test]
    fn a_description_is_bounded_in_bytes_and_tracks() {
        let description_of = |tracks| "v=0\r\n".to_owned() + &"m=audio\r\n".repeat(tracks);
        assert_eq!(description(&description_of(1_000)), Ok(()));
        assert_eq!(description(&description_of(1_001)), Err(Exceeded::Description));
        assert_eq!(description(&"a".repeat(600_000)), Err(Exceeded::Description));
    }

    #[test]
    fn an_allowance_refills_evenly_up_to_its_burst() {
        let start = clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let rate = Rate { at_once: 10, per_second: 4 };
        let mut allowance = Allowance::new(rate, start);
        assert!(allowance.take(10, start) && !allowance.take(1, start));
        assert!(allowance.take(0, start));
        assert!(!allowance.take(1, at(249)) && allowance.take(1, at(251)));
        assert!(!allowance.take(11, at(1_000_000)), "never more than at once");
        assert!(allowance.take(10, at(1_000_000)) && !allowance.take(1, at(1_000_000)));
        assert!(!allowance.take(1, start), "a time before is none");
        assert!(!allowance.take(u64::MAX, at(2_000_000)));
    }

    #[test]
    fn a_bound_is_found_in_an_io_error_and_describes_itself() {
        let error = std::io::Error::from(Exceeded::JobBytes(5));
        assert_eq!(exceeded(&error), Some(Exceeded::JobBytes(5)));
        assert_eq!(exceeded(&std::io::ErrorKind::StorageFull.into()), None);
        let failure = Exceeded::People.failure();
        let expected =
            "more than 5000 people came to the meeting; what was recorded until then is kept";
        assert_eq!((failure.code, failure.detail.as_str()), (FailureCode::QuotaExceeded, expected));
    }
}
