//! Tests of recordings whose last lines come late.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    time::{Duration, Instant},
};

use allocation_counter::measure;
use meetbot_types::{
    Cause, LeaveReason, RecordingState, Timestamp,
    bot::{BegunRecording, Participant},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    meeting::{CaptionLine, ChatLine, Source},
    recording::{
        Counters, Recording,
        files::{MANIFEST, make_folder, write_whole},
        finalize::{carry_forward, finalize},
        frames::sound,
        orders::order,
    },
};

const ANN: (&str, &str) = ("5", "Ann");
const BOB: (&str, &str) = ("6", "Bob");
/// When the second bot is in the call.
const SECOND: Duration = Duration::from_secs(20);

/// A meeting that a bot on one machine records, and then one on another.
struct Meeting {
    start: Instant,
    order: BotOrder,
    /// The disks of the machines.
    disks: [TempDir; 2],
}

impl Meeting {
    fn new() -> Self {
        let disks = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let order = order(Path::new(""), 1);
        Self { start: crate::clock::now(), order, disks }
    }

    fn order(&self, disk: usize, epoch: u32) -> BotOrder {
        let (folder, spool) = (self.disks[disk].path().join("job"), Some(format!("w{disk}")));
        let begun = self.order.begun.clone().filter(|_| epoch > 1);
        BotOrder { epoch, folder, spool, begun, ..self.order.clone() }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    fn open(&self, order: &BotOrder, after: Duration) -> Recording {
        let admitted = (self.start + after, Timestamp::UNIX_EPOCH + after);
        Recording::open(order, admitted, Counters::default()).unwrap()
    }

    fn joins(&self, recording: &mut Recording, (id, name): (&str, &str), at_ms: u64) {
        let (id, name) = (id.to_owned(), name.to_owned());
        let participant = Participant { id, name, is_host: false, is_bot: false };
        recording.joined(&participant, self.at(at_ms)).unwrap();
    }

    fn speaks(&self, recording: &mut Recording, (id, _): (&str, &str), ms: std::ops::Range<u64>) {
        for number in ms.start / 20..ms.end / 20 {
            let frame = sound(number, self.at(number * 20));
            recording.frame(id, Source::Microphone, &frame).unwrap();
        }
        recording.flush().unwrap();
    }

    fn writes(&self, recording: &mut Recording, id: &str, at_ms: u64) {
        let line = ChatLine {
            id: id.to_owned(),
            sender_id: ANN.0.to_owned(),
            sender: ANN.1.to_owned(),
            text: "Hello.".to_owned(),
            private: false,
            ms_ago: 0,
        };
        recording.chat(line, self.at(at_ms)).unwrap();
        let line = CaptionLine {
            speaker_id: ANN.0.to_owned(),
            speaker: ANN.1.to_owned(),
            began_ms_ago: 0,
            ended_ms_ago: 0,
            text: "Hello.".to_owned(),
        };
        recording.caption(line, self.at(at_ms)).unwrap();
        recording.flush().unwrap();
    }

    /// Uploads what the first bot has written, and fetches it on the other machine.
    fn ship(&self) {
        let [from, to] = [0, 1].map(|disk| folder_of(&self.order(disk, 1), 1));
        make_folder(&to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let bytes = fs::read(entry.path()).unwrap();
            write_whole(&to.join(entry.file_name()), |file| io::Write::write_all(file, &bytes))
                .unwrap();
        }
    }

    /// The first bot records for 5 s. Bob comes in the last 2 s. `shipped` is after how many ms its files are shipped.
    fn first(&self, shipped: &[u64]) {
        let order = self.order(0, 1);
        let mut recording = self.open(&order, Duration::ZERO);
        let ships = |at_ms| shipped.contains(&at_ms).then(|| self.ship());
        ships(0);
        self.joins(&mut recording, ANN, 0);
        self.writes(&mut recording, "a", 100);
        self.speaks(&mut recording, ANN, 100..3_000);
        ships(3_000);
        self.joins(&mut recording, BOB, 3_100);
        self.writes(&mut recording, "b", 3_200);
        self.speaks(&mut recording, ANN, 3_000..4_000);
        self.speaks(&mut recording, BOB, 3_200..5_000);
        ships(5_000);
        // It is killed.
    }

    fn second(&self, order: &BotOrder) {
        let mut recording = self.open(order, SECOND);
        self.joins(&mut recording, ANN, 20_000);
        self.speaks(&mut recording, ANN, 20_100..22_000);
        self.writes(&mut recording, "c", 22_000);
        recording.close(self.at(23_000), Some(LeaveReason::MeetingEnded)).unwrap();
    }
}

fn finish(order: &BotOrder, was_in_call: bool) -> Value {
    let end = |has_media| Cause::Left(LeaveReason::MeetingEnded).ending(has_media, false);
    finalize(order, was_in_call, &CancellationToken::new(), end).unwrap().unwrap();
    let manifest = fs::read(folder_of(order, order.epoch).join(MANIFEST)).unwrap();
    serde_json::from_slice(&manifest).unwrap()
}

#[test]
fn a_recording_is_the_same_whether_the_first_bots_last_seconds_were_there_or_come_late() {
    let meeting = Meeting::new();
    meeting.first(&[5_000]);
    let order = meeting.order(1, 2);
    meeting.second(&order);
    let whole = finish(&order, true);
    assert_eq!(whole["tracks"].as_array().unwrap().len(), 3, "{whole:#}");
    let people = whole["participants"].as_array().unwrap().iter();
    let left: Vec<_> = people.map(|one| (&one["name"], &one["leftAt"])).collect();
    assert_eq!(left, [(&"Ann".into(), &Value::Null), (&"Bob".into(), &20_000.into())]);
    let names = ["events.jsonl", "chat.jsonl", "captions.jsonl", "levels.bin"];
    let files = whole["files"].as_array().unwrap().iter();
    let files: Vec<_> = files.map(|file| file["name"].as_str().unwrap()).collect();
    assert!(names.iter().all(|name| files.contains(name)), "{files:?}");

    let begun = |at_ms| {
        let started_at = Timestamp::from_millis(at_ms);
        Some(BegunRecording { started_at, state: RecordingState::On })
    };
    for (shipped, begun) in [
        (&[3_000][..], begun(140)),
        (&[0], begun(140)),
        // Nothing was uploaded before the second bot was in the call.
        (&[], begun(140)),
        (&[], None),
    ] {
        let before = meeting.order.clone();
        let meeting = Meeting { order: BotOrder { begun, ..before }, ..Meeting::new() };
        meeting.first(shipped);
        let order = meeting.order(1, 2);
        meeting.second(&order);
        meeting.ship();
        for _again in 0..2 {
            assert_eq!(finish(&order, true), whole, "{shipped:?} {:?}", order.begun);
        }
        // An attempt that only finalises the recording, as if the end of the second one were not known.
        let mut last = finish(&BotOrder { epoch: 3, ..order }, false);
        last["attempts"].as_array_mut().unwrap().truncate(2);
        assert_eq!(last["tracks"], whole["tracks"]);
        assert_eq!(last["files"], whole["files"]);
    }
}

#[test]
fn an_attempt_that_only_finalises_has_what_came_late_for_the_one_before_it() {
    let meeting = Meeting::new();
    meeting.first(&[3_000]);
    let order = meeting.order(1, 2);
    meeting.second(&order);
    meeting.ship();
    let manifest = finish(&BotOrder { epoch: 3, ..order.clone() }, false);
    assert_eq!(manifest["tracks"].as_array().unwrap().len(), 3, "{manifest:#}");
    let chat = fs::read_to_string(folder_of(&order, 3).join(CHAT)).unwrap();
    let ids: Vec<_> =
        chat.match_indices("\"id\":\"").map(|(at, _)| &chat[at + 6..=at + 6]).collect();
    assert_eq!(ids, ["a", "b", "c"]);
}

#[test]
fn files_to_which_nothing_comes_late_are_not_written_again() {
    let meeting = Meeting::new();
    meeting.first(&[5_000]);
    let order = meeting.order(1, 2);
    meeting.second(&order);
    let files = || {
        let own = folder_of(&order, 2);
        [journal::FILE, CHAT, CAPTIONS].map(|name| fs::metadata(own.join(name)).unwrap().ino())
    };
    let before = files();
    finish(&order, true);
    assert_eq!(files(), before);
}

#[test]
fn on_one_disk_an_attempt_has_what_was_there_when_it_began() {
    let meeting = Meeting::new();
    meeting.first(&[3_000]);
    let order = BotOrder { spool: None, ..meeting.order(1, 2) };
    meeting.second(&order);
    meeting.ship();
    assert_eq!(finish(&order, true)["tracks"].as_array().unwrap().len(), 2);
}

#[test]
fn chat_that_a_bot_reads_beside_its_successor_is_not_in_the_recording() {
    let meeting = Meeting::new();
    let order = meeting.order(0, 1);
    let mut recording = meeting.open(&order, Duration::ZERO);
    meeting.joins(&mut recording, ANN, 0);
    meeting.speaks(&mut recording, ANN, 100..1_000);
    meeting.ship();
    let order = meeting.order(1, 2);
    drop(meeting.open(&order, SECOND));
    meeting.writes(&mut recording, "late", 21_000);
    meeting.ship();
    let manifest = finish(&order, true);
    assert_eq!((&manifest["chat"], &manifest["captions"]), (&Value::Null, &Value::Null));
}

/// The journal, the chat and the captions of an attempt whose late lines are added.
fn added(order: &BotOrder) -> [String; 3] {
    let own = carry_forward(order).unwrap();
    add(order, &own).unwrap();
    let left = fs::read_dir(&own).unwrap().map(|entry| entry.unwrap().path());
    let parts: Vec<_> =
        left.filter(|path| path.extension().is_some_and(|it| it == "part")).collect();
    assert_eq!(parts, Vec::<PathBuf>::new());
    [journal::FILE, CHAT, CAPTIONS].map(|name| fs::read_to_string(own.join(name)).unwrap())
}

/// Adds late lines, and stops before the change with this number. Whether it did stop.
fn stops(order: &BotOrder, number: usize) -> bool {
    let mut before = number;
    let step = || match before.checked_sub(1) {
        Some(left) => {
            before = left;
            Ok(())
        }
        None => Err(io::Error::other("stopped")),
    };
    add_in_steps(order, &folder_of(order, order.epoch), step).is_err()
}

/// A second attempt that counts from another moment than the first one, whose files come late.
fn rebased() -> (Meeting, BotOrder) {
    let meeting = Meeting::new();
    meeting.first(&[]);
    let order = meeting.order(1, 2);
    meeting.second(&order);
    meeting.ship();
    (meeting, order)
}

#[test]
fn a_stop_between_any_two_changes_of_the_files_gives_the_same_files_in_the_end() {
    let (_meeting, order) = rebased();
    let expected = added(&order);
    assert!(expected.iter().all(|text| text.contains("22000")), "{expected:#?}");
    let mut stopped = 0;
    loop {
        let (_meeting, order) = rebased();
        if !stops(&order, stopped) {
            assert_eq!(added(&order), expected);
            break;
        }
        let mut again = 0;
        loop {
            let (_meeting, order) = rebased();
            assert!(stops(&order, stopped));
            let stops_again = stops(&order, again);
            // Another attempt continues from here, and then the same one.
            let next = BotOrder { epoch: 3, ..order.clone() };
            assert_eq!(added(&next), expected, "{stopped} {again}");
            assert_eq!(added(&order), expected, "{stopped} {again}");
            if !stops_again {
                break;
            }
            again += 1;
        }
        stopped += 1;
    }
    assert!(stopped >= 9, "two changes for each file that is written, and one to rename it");
}

#[test]
fn late_lines_are_added_in_little_memory_however_many_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let order = order(&folder.path().join("job"), 2);
    let order = BotOrder { spool: Some("w1".to_owned()), ..order };
    let started = |attempt, at_ms| journal::Line::Started {
        attempt,
        at_ms,
        started_at: Timestamp::UNIX_EPOCH,
    };
    let left = |at_ms| journal::Line::ParticipantLeft { at_ms, id: "Ann".repeat(60) };
    // The second attempt has copied half of what the first one wrote.
    for (attempt, journal_lines, messages) in [(1, 20_000, 4_000), (2, 10_000, 2_000)] {
        let own = folder_of(&order, attempt);
        make_folder(&own).unwrap();
        let mut file = journal::LineFile::append(&own.join(journal::FILE)).unwrap();
        file.push(&started(1, 0)).unwrap();
        (0..journal_lines).for_each(|at_ms| file.push(&left(at_ms)).unwrap());
        if attempt == 2 {
            file.push(&started(2, 30_000)).unwrap();
        }
        file.close().unwrap();
        let mut file = journal::LineFile::append(&own.join(CHAT)).unwrap();
        for at_ms in 0..messages {
            let message = meetbot_types::bot::ChatMessage {
                id: at_ms.to_string(),
                sender_id: "5".to_owned(),
                sender: "Ann".to_owned(),
                text: "Hello. ".repeat(140),
                private: false,
                at_ms,
            };
            file.push(&message).unwrap();
        }
        file.close().unwrap();
    }
    let size =
        |attempt, name: &str| fs::metadata(folder_of(&order, attempt).join(name)).unwrap().len();
    assert!([journal::FILE, CHAT].iter().all(|name| size(1, name) > 4_000_000));
    let used = measure(|| add(&order, &folder_of(&order, 2)).unwrap());
    assert!([journal::FILE, CHAT].iter().all(|name| size(2, name) >= size(1, name)));
    assert!((1..1_000_000).contains(&used.bytes_max), "{used:?}");
}
