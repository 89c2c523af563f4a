//! Tests of merging journals.

use meetbot_types::bot::Participant;
use tempfile::TempDir;

use super::*;
use crate::recording::{files::write_whole, journal::Content, journal_state::JournalState};

fn started(attempt: u32, at_ms: u64) -> Line {
    Line::Started { attempt, at_ms, started_at: Timestamp::UNIX_EPOCH }
}

fn joined(at_ms: u64, name: &str) -> Line {
    let (id, name) = (name.to_lowercase(), name.to_owned());
    let participant = Participant { id, name, is_host: false, is_bot: false };
    Line::ParticipantJoined { at_ms, participant }
}

fn left(at_ms: u64, id: &str) -> Line {
    Line::ParticipantLeft { at_ms, id: id.to_owned() }
}

fn track(attempt: u32, at_ms: u64, name: &str) -> Line {
    let (participant_id, content) = (name.to_lowercase(), Content::default());
    Line::Track { attempt, at_ms, file: file(attempt, name), participant_id, content }
}

fn file(attempt: u32, name: &str) -> String {
    format!("audio.{name}.a{attempt}.webm")
}

fn gap(attempt: u32, name: &str, start_ms: u64, end_ms: u64) -> Line {
    let (file, reason) = (file(attempt, name), "packet_loss".to_owned());
    Line::Gap { file, start_ms, end_ms, reason, lost: 1 }
}

fn speaking(id: &str, start_ms: u64, end_ms: u64) -> Line {
    Line::Speaking { id: id.to_owned(), start_ms, end_ms }
}

/// The lines of a bot that is in the call for 10 s: Ann speaks all the time, and Bob comes and goes.
fn bot(attempt: u32, from: u64) -> Vec<Line> {
    vec![
        started(attempt, from),
        joined(from, "Ann"),
        track(attempt, from + 100, "Ann"),
        Line::TrackStart { at_ms: from + 50, file: file(attempt, "Ann") },
        speaking("ann", from + 100, from + 1_000),
        joined(from + 2_000, "Bob"),
        track(attempt, from + 2_100, "Bob"),
        gap(attempt, "Ann", from + 3_000, from + 3_200),
        gap(attempt, "Ann", from + 3_200, from + 3_400),
        Line::Paused { at_ms: from + 4_000 },
        Line::Resumed { at_ms: from + 5_000 },
        speaking("bob", from + 5_000, from + 6_000),
        left(from + 6_000, "bob"),
        Line::DatagramsDropped { attempt, at_ms: from + 7_000, lost: 3 },
        Line::ConnectionLost { at_ms: from + 8_000 },
        track(attempt, from + 9_000, "Ann-2"),
        Line::HandedOver { attempt, at_ms: from + 10_000 },
    ]
}

fn written(lines: &[Line]) -> String {
    lines.iter().map(|line| text(line).unwrap() + "\n").collect()
}

fn write(path: &Path, text: &str) {
    write_whole(path, |file| file.write_all(text.as_bytes())).unwrap();
}

/// The journals of an attempt and of earlier ones, in a folder.
struct Journals {
    folder: TempDir,
    earlier: Vec<(u32, PathBuf)>,
}

impl Journals {
    fn new(own: &str, earlier: &[(u32, String)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write_one = |(attempt, text): &(u32, String)| {
            let path = folder.path().join(attempt.to_string());
            write(&path, text);
            (*attempt, path)
        };
        let earlier = earlier.iter().map(write_one).collect();
        let journals = Self { folder, earlier };
        journals.write(own);
        journals
    }

    fn own(&self) -> PathBuf {
        self.folder.path().join("own")
    }

    fn write(&self, own: &str) {
        write(&self.own(), own);
    }

    fn plan(&self) -> Option<Merged> {
        plan(&self.own(), &self.earlier).unwrap()
    }

    /// The text of the merged journal.
    fn merge(&self) -> String {
        let mut text = Vec::new();
        self.plan().unwrap().write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }
}

/// The lines that are merged into an attempt's journal.
fn merged(own: &[Line], earlier: &[(u32, Vec<Line>)]) -> Vec<Line> {
    let texts: Vec<_> = earlier.iter().map(|(attempt, lines)| (*attempt, written(lines))).collect();
    let journals = Journals::new(&written(own), &texts);
    let text = journals.merge();
    journals.write(&text);
    assert_eq!(journals.merge(), text, "the second time changes nothing");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn concat(parts: &[&[Line]]) -> Vec<Line> {
    parts.concat()
}

#[test]
fn at_whatever_line_a_journal_was_copied_the_result_is_as_if_it_had_been_copied_whole() {
    let (first, second) = (bot(1, 0), bot(2, 20_000));
    let whole = concat(&[&first, &second]);
    for copied in 0..=first.len() {
        let own = concat(&[&first[..copied], &second]);
        let merged = merged(&own, &[(1, first.clone())]);
        // The second bot of a copy that ends in a pause has not recorded: see below.
        if matches!(first[..copied].last(), Some(Line::Paused { .. })) {
            assert_eq!(merged.len(), whole.len() + 1);
        } else {
            assert_eq!(merged, whole, "{copied}");
        }
    }
}

#[test]
fn an_attempt_in_the_middle_gets_the_lines_that_it_lacks_too() {
    let [first, second, third] = [bot(1, 0), bot(2, 20_000), bot(3, 40_000)];
    let whole = concat(&[&first, &second, &third]);
    for (to_second, to_third) in [(3, 7), (0, 0), (0, 8), (first.len(), 2), (5, second.len())] {
        let of_second = concat(&[&first[..to_second], &second]);
        let copied = &of_second[..to_second + to_third];
        let own = concat(&[copied, &third]);
        let earlier = [(1, first.clone()), (2, of_second.clone())];
        assert_eq!(merged(&own, &earlier), whole, "{to_second} {to_third}");
    }
    // The second attempt was never in the call, or finalised the recording before.
    let own = concat(&[&first[..4], &third]);
    let expected = concat(&[&first, &third]);
    assert_eq!(merged(&own, &[(1, first.clone()), (2, first[..4].to_vec())]), expected);
    let finalised = concat(&[&first, &second]);
    let own = concat(&[&first[..4], &second, &third]);
    assert_eq!(merged(&own, &[(1, first.clone()), (2, finalised)]), whole);
}

#[test]
fn a_journal_to_which_nothing_comes_late_stays_as_it_is() {
    let (first, second) = (bot(1, 0), bot(2, 20_000));
    let (own, copy) = (written(&concat(&[&first, &second])), written(&first));
    let torn = copy[..copy.len() - 5].to_owned();
    for earlier in [copy, torn, String::new()] {
        assert_eq!(Journals::new(&own, &[(1, earlier)]).merge(), own);
    }
    assert!(Journals::new("", &[(1, String::new())]).plan().is_none());
}

#[test]
fn a_bot_beside_its_successor_adds_only_what_was_before_the_successor() {
    let known = [started(1, 0), joined(0, "Ann"), track(1, 0, "Ann")];
    let late = [
        joined(900, "Bob"),
        track(1, 950, "Bob"),
        speaking("ann", 100, 990),
        gap(1, "Ann", 990, 1_000),
        // The successor joins.
        gap(1, "Ann", 995, 1_100),
        speaking("bob", 999, 3_000),
        joined(1_500, "Cid"),
        track(1, 1_600, "Cid"),
        // It begins before, and has a number after that of a file that is left out.
        track(1, 999, "Dan"),
        gap(1, "Bob", 1_700, 1_800),
        speaking("ann", 1_800, 2_000),
        left(2_000, "ann"),
        Line::Paused { at_ms: 2_100 },
        Line::DatagramsDropped { attempt: 1, at_ms: 2_200, lost: 9 },
        Line::ConnectionLost { at_ms: 2_300 },
        Line::Left { attempt: 1, at_ms: 2_400, reason: None },
    ];
    let second = bot(2, 1_000);
    let cut = [gap(1, "Ann", 995, 1_000), speaking("bob", 999, 1_000)];
    let expected = concat(&[&known, &late[..4], &cut, &second]);
    let first = concat(&[&known, &late]);
    assert_eq!(merged(&concat(&[&known, &second]), &[(1, first)]), expected);
}

#[test]
fn a_bot_that_was_in_the_call_only_after_its_successor_adds_nothing() {
    let second = bot(2, 1_000);
    assert_eq!(merged(&second, &[(1, bot(1, 1_500))]), second);
}

#[test]
fn a_successor_records_by_the_pauses_that_it_knew() {
    let begun = [started(1, 0)];
    let second = [started(2, 9_000), track(2, 9_000, "Ann")];
    let pauses = |lines: Vec<Line>| {
        let mut state = JournalState::read(lines);
        state.finish(20_000);
        state.pauses.iter().map(|pause| (pause.start_ms, pause.end_ms)).collect::<Vec<_>>()
    };
    let merge = |known: &[Line], late: &[Line], second: &[Line]| {
        let own = concat(&[&begun, known, second]);
        pauses(merged(&own, &[(1, concat(&[&begun, known, late]))]))
    };
    let (pause, resume) = ([Line::Paused { at_ms: 5_000 }], [Line::Resumed { at_ms: 6_000 }]);
    assert_eq!(merge(&[], &pause, &second), [(5_000, 9_000)]);
    assert_eq!(merge(&[], &concat(&[&pause, &resume]), &second), [(5_000, 6_000)]);
    assert_eq!(merge(&pause, &resume, &second), [(5_000, 6_000), (9_000, 20_000)]);
    // The server has told the successor.
    let told = concat(&[&second[..1], &[Line::Paused { at_ms: 9_000 }]]);
    assert_eq!(merge(&[], &pause, &told), [(5_000, 20_000)]);
    let told = concat(&[&second[..1], &[Line::Resumed { at_ms: 9_000 }]]);
    assert_eq!(merge(&pause, &resume, &told), [(5_000, 6_000)]);
    let stop = [Line::Resumed { at_ms: 7_000 }, Line::Stopped { at_ms: 7_000 }];
    assert_eq!(merge(&[], &concat(&[&pause, &stop]), &second), [(5_000, 7_000)]);
}

#[test]
fn lines_that_come_after_a_first_addition_are_added_too() {
    let (first, second) = (bot(1, 0), bot(2, 20_000));
    // Each of these is finalised in turn, with what has come until then.
    let mut own = concat(&[&first[..3], &second]);
    for come in 4..=first.len() {
        own = merged(&own, &[(1, first[..come].to_vec())]);
    }
    own.retain(|line| *line != Line::Resumed { at_ms: 20_000 });
    assert_eq!(own, concat(&[&first, &second]));
}

#[test]
fn no_own_line_is_lost_where_the_earlier_journal_is_another_one() {
    let (first, second) = (bot(1, 0), bot(2, 20_000));
    // A line is missing, another one is only here.
    let only_here = [joined(2_500, "Eve")];
    let known = concat(&[&first[..5], &first[6..8], &only_here, &first[8..9]]);
    let found = merged(&concat(&[&known, &second]), &[(1, first.clone())]);
    let expected = concat(&[&first[..8], &only_here, &first[8..], &second]);
    assert_eq!(found, expected);
    // A line that this program does not know, and one before any bot.
    let odd = "{\"type\":\"paused\",\"atMs\":0}\n{\"type\":\"started\",\"attempt\":1,\"atMs\":0,\"startedAt\":\"1970-01-01T00:00:00Z\"}\n{\"type\":\"new\"}\n";
    let own = odd.to_owned() + &written(&second);
    let earlier = [(1, written(&[started(1, 0), joined(1, "Ann")]))];
    let found = Journals::new(&own, &earlier).merge();
    assert!(own.lines().all(|line| found.lines().any(|other| other == line)), "{found:#?}");
}

#[test]
fn a_successor_that_knew_nothing_of_the_earlier_journal_counts_from_its_beginning() {
    let begun = |attempt, at_ms, ms| Line::Started {
        attempt,
        at_ms,
        started_at: Timestamp::from_millis(ms),
    };
    // The server has heard of the first packet 300 ms after the first bot's admission.
    let first = [begun(1, 0, 10_000), joined(0, "Ann"), track(1, 280, "Ann")];
    let second = [
        begun(2, 5_000, 10_300),
        track(2, 5_100, "Ann"),
        gap(2, "Ann", 6_000, 6_100),
        speaking("ann", 5_100, 7_000),
    ];
    let moved = [
        begun(2, 5_300, 10_000),
        track(2, 5_400, "Ann"),
        gap(2, "Ann", 6_300, 6_400),
        speaking("ann", 5_400, 7_300),
    ];
    assert_eq!(merged(&second, &[(1, first.to_vec())]), concat(&[&first, &moved]));
    let found = Journals::new(&written(&second), &[(1, written(&first))]).plan().unwrap();
    assert_eq!(found.own_ms, 300);
    assert_eq!(found.fits[&1], Fit { later_ms: 0, until_ms: Some(5_300) });
    // The same where the clock of the first machine is fast.
    let first = [begun(1, 0, 10_500), track(1, 100, "Ann")];
    let moved = [begun(1, 200, 10_300), track(1, 300, "Ann")];
    assert_eq!(merged(&second, &[(1, first.to_vec())]), concat(&[&moved, &second]));
}
