//! The audio levels of each track: the loudest level of each 100 ms, in one file when the recording is finalised. Nothing is decoded: the levels are in the packets.
//!
//! Each attempt appends to its own log, which survives a crash. The finished file is made from the logs of all attempts. An attempt that was finalised, but could not
//! report it, has a finished file instead of a log, or both: of a log that came from another machine the end may be missing.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write as _},
    path::{Path, PathBuf},
};

use meetbot_types::{
    bot::{BotOrder, MediaKind},
    manifest::Track,
};
use serde::{Deserialize, Serialize};

use super::{
    READ_AT_ONCE,
    files::{folder_of, write_whole},
    output::Output,
};
use crate::bounds::LEVELS;

/// The finished file.
pub(super) const FILE: &str = "levels.bin";
/// The log of an attempt.
const LOG: &str = "levels.log";
/// The version of the finished file's format.
const VERSION: u32 = 1;
/// The length of a bin, in ms.
const BIN_MS: u64 = 100;
/// Bins per second.
const SECOND: usize = 10;
/// The quietest level: 127 dB below the loudest (RFC 6464).
const QUIETEST: u8 = 127;
/// A bin without a level. It is greater than all levels, so that the minimum of two bytes is the louder one.
const UNKNOWN: u8 = u8::MAX;
/// Bytes of a record of the log: the number of the file, the second in it, and the levels of that second.
const RECORD: usize = 2 + 4 + SECOND;

/// Writes the levels of an attempt.
#[derive(Debug)]
pub(super) struct Levels {
    path: PathBuf,
    /// `None` before the first level.
    log: Option<Output>,
    /// Records that are not in the log yet.
    records: Vec<u8>,
    /// How many media files the attempt has begun.
    begun: u16,
    /// The second of each file that is not complete yet, by the file's number: its index, and its levels.
    last: HashMap<u16, (u32, [u8; SECOND])>,
}

impl Levels {
    /// Levels of the attempt with this folder.
    pub(super) fn of(folder: &Path) -> Self {
        let path = folder.join(LOG);
        Self { path, log: None, records: Vec::new(), begun: 0, last: HashMap::new() }
    }

    /// Counts a media file, whose line is in the journal. Returns its number: from 0, in the order of the lines.
    pub(super) const fn begin(&mut self) -> u16 {
        let number = self.begun;
        self.begun = self.begun.saturating_add(1);
        number
    }

    /// Adds the level of a packet that plays at `at_ms` of its file, for `lasts_ms`.
    pub(super) fn add(&mut self, number: u16, at_ms: u64, lasts_ms: u64, level_dbov: i8) {
        let level = level_dbov.min(0).unsigned_abs().min(QUIETEST);
        let end_ms = at_ms.saturating_add(lasts_ms.max(1) - 1);
        for bin in at_ms / BIN_MS..=end_ms / BIN_MS {
            let Ok(second) = u32::try_from(bin / SECOND as u64) else { return };
            let bin_of_second = usize::try_from(bin % SECOND as u64).unwrap_or(0);
            let (last, levels) = self.last.entry(number).or_insert((second, [UNKNOWN; SECOND]));
            if *last != second {
                push(&mut self.records, number, *last, levels);
                (*last, *levels) = (second, [UNKNOWN; SECOND]);
            }
            levels[bin_of_second] = level.min(levels[bin_of_second]);
        }
    }

    /// Writes the complete seconds; returns how many bytes.
    pub(super) fn flush(&mut self) -> io::Result<u64> {
        if self.records.is_empty() && self.log.is_none() {
            return Ok(0);
        }
        let log = match &mut self.log {
            Some(log) => log,
            None => self.log.insert(Output::create(&self.path, Vec::new())?),
        };
        log.buffer.append(&mut self.records);
        log.flush()
    }

    /// Adds the seconds that are not complete to the records.
    pub(super) fn settle(&mut self) {
        for (number, (second, levels)) in self.last.drain() {
            push(&mut self.records, number, second, &levels);
        }
    }

    /// Writes everything and closes the log.
    pub(super) fn close(mut self) -> io::Result<()> {
        self.settle();
        self.flush().map(drop)
    }
}

fn push(records: &mut Vec<u8>, number: u16, second: u32, levels: &[u8; SECOND]) {
    records.extend(number.to_le_bytes());
    records.extend(second.to_le_bytes());
    records.extend(levels);
}

/// The audio tracks of a finished recording.
#[derive(Debug, Default)]
pub(super) struct Voices(Vec<Voice>);

#[derive(Debug)]
struct Voice {
    attempt: u32,
    number: u16,
    participant_id: String,
    source: String,
    start_ms: u64,
    duration_ms: u64,
}

/// The first line of the finished file. The levels follow, one byte each: those of the first track, then those of the second, and so on.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    version: u32,
    bin_ms: u64,
    tracks: Vec<TrackHeader>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TrackHeader {
    participant_id: String,
    source: String,
    start_ms: u64,
    bins: u64,
}

/// The levels of the audio tracks.
#[derive(Debug)]
struct Known {
    bin_ms: u64,
    /// One list for each of [`Voices`].
    levels: Vec<Vec<u8>>,
}

impl Known {
    /// Adds the level of the audio at `at_ms` of a track, for `lasts_ms`.
    fn add(&mut self, place: usize, at_ms: u64, lasts_ms: u64, level: u8) {
        let end_ms = at_ms.saturating_add(lasts_ms.max(1) - 1);
        let Ok(first) = usize::try_from(at_ms / self.bin_ms) else { return };
        let last = usize::try_from(end_ms / self.bin_ms).unwrap_or(usize::MAX);
        let levels = &mut self.levels[place];
        let last = last.min(levels.len().saturating_sub(1));
        if level <= QUIETEST && first <= last {
            levels[first..=last].iter_mut().for_each(|known| *known = level.min(*known));
        }
    }
}

impl Voices {
    /// Adds a track of the manifest, with the number of its file in the attempt. Video is ignored.
    pub(super) fn add(&mut self, attempt: u32, number: u16, track: &Track) {
        if track.kind != MediaKind::Audio {
            return;
        }
        self.0.push(Voice {
            attempt,
            number,
            participant_id: track.participant_id.clone(),
            source: track.source.clone(),
            start_ms: track.start_ms,
            duration_ms: track.duration_ms,
        });
    }

    /// Writes the finished file into the folder `own`. Without any level no file is written, and the result is `false`.
    pub(super) fn write(&self, order: &BotOrder, own: &Path) -> io::Result<bool> {
        let mut known = self.unknown(self.bin_ms(LEVELS));
        for attempt in 1..=order.epoch {
            let folder = folder_of(order, attempt);
            if let Some(mut log) = open(&folder.join(LOG))? {
                self.read_log(attempt, &mut log, &mut known)?;
            }
            if let Some(mut file) = open(&folder.join(FILE))? {
                self.read_finished(&mut file, &mut known)?;
            }
        }
        let voices = self.0.iter().zip(&known.levels);
        let of_known: Vec<_> =
            voices.filter(|(_, of)| of.iter().any(|level| *level != UNKNOWN)).collect();
        if of_known.is_empty() {
            return Ok(false);
        }
        let tracks = of_known.iter().map(|(voice, levels)| TrackHeader {
            participant_id: voice.participant_id.clone(),
            source: voice.source.clone(),
            start_ms: voice.start_ms,
            bins: levels.len() as u64,
        });
        let header = Header { version: VERSION, bin_ms: known.bin_ms, tracks: tracks.collect() };
        write_whole(&own.join(FILE), |file| {
            serde_json::to_writer(&mut *file, &header)?;
            file.write_all(b"\n")?;
            of_known.iter().try_for_each(|(_, levels)| file.write_all(levels))
        })?;
        Ok(true)
    }

    /// The shortest length of a bin with which there are at most `most` of them.
    fn bin_ms(&self, most: u64) -> u64 {
        let mut bin_ms = BIN_MS;
        let bins = |bin_ms| {
            let of_each = self.0.iter().map(|voice| voice.duration_ms.div_ceil(bin_ms));
            of_each.fold(0, u64::saturating_add)
        };
        while bins(bin_ms) > most.max(self.0.len() as u64) {
            bin_ms *= 2;
        }
        bin_ms
    }

    /// Bins without levels.
    fn unknown(&self, bin_ms: u64) -> Known {
        let bins = |voice: &Voice| usize::try_from(voice.duration_ms.div_ceil(bin_ms));
        let levels = self.0.iter().map(|voice| vec![UNKNOWN; bins(voice).unwrap_or(0)]);
        Known { bin_ms, levels: levels.collect() }
    }

    /// Reads the complete records of an attempt's log. Records of other files are skipped.
    fn read_log(&self, attempt: u32, log: &mut impl Read, known: &mut Known) -> io::Result<()> {
        let voices = self.0.iter().enumerate().filter(|(_, voice)| voice.attempt == attempt);
        let places: HashMap<u16, usize> =
            voices.map(|(place, voice)| (voice.number, place)).collect();
        let mut record = [0; RECORD];
        while fill(log, &mut record)? {
            let (head, of_second) = record.split_at(RECORD - SECOND);
            let [n0, n1, s0, s1, s2, s3] = *head else { break };
            let Some(place) = places.get(&u16::from_le_bytes([n0, n1])) else { continue };
            let second = u64::from(u32::from_le_bytes([s0, s1, s2, s3]));
            for (bin, level) in (second * SECOND as u64..).zip(of_second.iter().copied()) {
                known.add(*place, bin * BIN_MS, BIN_MS, level);
            }
        }
        Ok(())
    }

    /// Reads a finished file. Other tracks are skipped.
    fn read_finished(&self, file: &mut impl BufRead, known: &mut Known) -> io::Result<()> {
        let mut line = Vec::new();
        file.read_until(b'\n', &mut line)?;
        let Ok(header) = serde_json::from_slice::<Header>(&line) else { return Ok(()) };
        for track in header.tracks {
            let place = self.0.iter().position(|voice| {
                (&voice.participant_id, &voice.source, voice.start_ms)
                    == (&track.participant_id, &track.source, track.start_ms)
            });
            for bin in 0..track.bins {
                let mut level = [UNKNOWN];
                if !fill(file, &mut level)? {
                    return Ok(());
                }
                if let Some(place) = place {
                    let at_ms = bin.saturating_mul(header.bin_ms);
                    known.add(place, at_ms, header.bin_ms, level[0]);
                }
            }
        }
        Ok(())
    }
}

/// Removes the log, once the manifest lists the finished file.
pub(super) fn remove_log(own: &Path) {
    // A log that cannot be removed has the same levels as the finished file.
    let _ = fs::remove_file(own.join(LOG));
}

fn open(path: &Path) -> io::Result<Option<BufReader<File>>> {
    match File::open(path) {
        Ok(file) => Ok(Some(BufReader::with_capacity(READ_AT_ONCE, file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Fills `bytes`; returns `false` at the end of the file.
fn fill(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        time::{Duration, Instant},
    };

    use meetbot_types::{Cause, LeaveReason, Manifest, Timestamp, bot::Participant};
    use serde_json::{Value, json};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        media::Frame,
        meeting::Source,
        recording::{
            Counters, Recording,
            files::{MANIFEST, hash},
            finalize::finalize,
            frames::sound,
            orders::order,
        },
    };

    /// Reads a finished file: its first line, and the levels of each track.
    fn finished(folder: &Path) -> (Value, Vec<Vec<u8>>) {
        let bytes = fs::read(folder.join(FILE)).unwrap();
        let line = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        let header: Value = serde_json::from_slice(&bytes[..line]).unwrap();
        let mut rest = &bytes[line + 1..];
        let mut levels = Vec::new();
        for track in header["tracks"].as_array().unwrap() {
            let bins = usize::try_from(track["bins"].as_u64().unwrap()).unwrap();
            let (of_track, behind) = rest.split_at(bins);
            levels.push(of_track.to_vec());
            rest = behind;
        }
        assert_eq!(rest, [0; 0]);
        (header, levels)
    }

    fn voice(duration_ms: u64) -> Voice {
        let (participant_id, source) = ("5".to_owned(), "microphone".to_owned());
        Voice { attempt: 1, number: 0, participant_id, source, start_ms: 0, duration_ms }
    }

    #[test]
    fn a_bin_has_the_loudest_level_of_its_packets_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Vec::new();
        let mut levels = Levels::of(folder.path());
        assert_eq!(levels.begin(), 0);
        for (at_ms, lasts_ms, level) in [
            (0, 20, -60),
            (20, 20, -30),
            (40, 20, -31),
            (190, 20, -40),
            (990, 20, -50),
            (2_500, 300, 5),
            (2_800, 0, -128),
            (3_000, 20, -1),
            (u64::MAX, 20, -1),
        ] {
            levels.add(0, at_ms, lasts_ms, level);
        }
        levels.settle();
        log.append(&mut levels.records);
        assert_eq!(log.len() % RECORD, 0);

        let voices = Voices(vec![voice(3_001)]);
        let mut known = voices.unknown(BIN_MS);
        voices.read_log(1, &mut &*log, &mut known).unwrap();
        let mut expected = [UNKNOWN; 31];
        for (bin, level) in
            [(0, 30), (1, 40), (2, 40), (9, 50), (10, 50), (25, 0), (26, 0), (27, 0), (28, 127)]
        {
            expected[bin] = level;
        }
        expected[30] = 1;
        assert_eq!(known.levels, [expected]);

        let mut coarse = voices.unknown(400);
        voices.read_log(1, &mut &*log, &mut coarse).unwrap();
        assert_eq!(coarse.levels, [[30, UNKNOWN, 50, UNKNOWN, UNKNOWN, UNKNOWN, 0, 1]]);
        // A longer file than the manifest says, and the tracks of another attempt.
        let short = Voices(vec![voice(150)]);
        let mut known = short.unknown(BIN_MS);
        short.read_log(1, &mut &*log, &mut known).unwrap();
        assert_eq!(known.levels, [[30, 40]]);
        let mut known = short.unknown(BIN_MS);
        short.read_log(2, &mut &*log, &mut known).unwrap();
        assert_eq!(known.levels, [[UNKNOWN; 2]]);
    }

    #[test]
    fn of_a_torn_log_the_complete_records_are_read() {
        let mut levels = Levels::of(Path::new(""));
        for second in 0..5 {
            levels.add(0, second * 1_000, 1_000, -20);
        }
        levels.settle();
        let voices = Voices(vec![voice(5_000)]);
        for cut in 0..=levels.records.len() {
            let mut known = voices.unknown(BIN_MS);
            voices.read_log(1, &mut &levels.records[..cut], &mut known).unwrap();
            let whole = cut / RECORD * SECOND;
            assert_eq!(known.levels[0][..whole], vec![20; whole]);
            assert_eq!(known.levels[0][whole..], vec![UNKNOWN; 50 - whole]);
        }
    }

    #[test]
    fn bins_are_longer_where_their_number_would_exceed_the_bound() {
        const DAY_MS: u64 = 24 * 3_600 * 1_000;
        for (people, duration_ms, expected) in [
            (0, 0, 100),
            (1, 0, 100),
            (20, 3_600_000, 100),
            (19, DAY_MS, 100),
            (20, DAY_MS, 200),
            (1_000, DAY_MS, 6_400),
        ] {
            let voices = Voices((0..people).map(|_| voice(duration_ms)).collect());
            let bin_ms = voices.bin_ms(LEVELS);
            assert_eq!(bin_ms, expected, "{people} people");
            let bins: usize = voices.unknown(bin_ms).levels.iter().map(Vec::len).sum();
            assert!(bins as u64 <= LEVELS, "{bins}");
        }
        let endless = Voices((0..6_000).map(|_| voice(u64::MAX)).collect());
        let bin_ms = endless.bin_ms(LEVELS);
        let bins: usize = endless.unknown(bin_ms).levels.iter().map(Vec::len).sum();
        assert!(bins as u64 <= LEVELS, "{bins}");
    }

    /// Adds Ann to the meeting, with this id.
    fn joins(recording: &mut Recording, id: &str, at: Instant) {
        let (id, name) = (id.to_owned(), "Ann".to_owned());
        recording.joined(&Participant { id, name, is_host: false, is_bot: false }, at).unwrap();
    }

    /// Records a packet of 20 ms for each number, with this level.
    fn speaks(
        recording: &mut Recording,
        (id, start): (&str, Instant),
        numbers: std::ops::Range<u64>,
        level_dbov: Option<i8>,
    ) {
        for number in numbers {
            let arrived = start + Duration::from_millis(number * 20);
            let frame = Frame { level_dbov, ..sound(number, arrived) };
            recording.frame(id, Source::Microphone, &frame).unwrap();
            if number % 25 == 0 {
                recording.flush().unwrap();
            }
        }
    }

    /// Finalises the recording and reads the manifest. `was_in`: this attempt was in the meeting.
    fn manifest_of(order: &BotOrder, was_in: bool) -> Manifest {
        let end = |has_media| Cause::Left(LeaveReason::MeetingEnded).ending(has_media, false);
        finalize(order, was_in, &CancellationToken::new(), end).unwrap().unwrap();
        let text = fs::read(folder_of(order, order.epoch).join(MANIFEST)).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    #[test]
    fn levels_of_a_killed_bot_and_of_the_next_one_are_in_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let order = |epoch| order(&folder.path().join("job"), epoch);
        let start = crate::clock::now();
        let open = |epoch: u32, start: Instant| {
            let wall = Timestamp::from_millis(60_000 * i64::from(epoch - 1));
            Recording::open(&order(epoch), (start, wall), Counters::default()).unwrap()
        };
        let mut first = open(1, start);
        joins(&mut first, "5", start);
        speaks(&mut first, ("5", start), 0..100, Some(-20));
        first.pause(start + Duration::from_secs(2)).unwrap();
        speaks(&mut first, ("5", start), 100..150, Some(-10));
        first.resume(start + Duration::from_secs(3)).unwrap();
        speaks(&mut first, ("5", start), 150..351, Some(-30));
        first.flush().unwrap();
        // It is killed: nothing is closed.
        drop(first);
        let start = start + Duration::from_mins(1);
        let mut second = open(2, start);
        joins(&mut second, "6", start);
        speaks(&mut second, ("6", start), 0..50, Some(-40));
        second.close(start + Duration::from_secs(1), None).unwrap();

        let manifest = manifest_of(&order(2), true);
        let own = folder_of(&order(2), 2);
        let (header, levels) = finished(&own);
        let track = |id: &str, start_ms: u64, bins: u64| json!({"participantId": id, "source": "microphone", "startMs": start_ms, "bins": bins});
        let bins: Vec<u64> =
            manifest.tracks.iter().map(|track| track.duration_ms.div_ceil(BIN_MS)).collect();
        // Under another id she is the same person.
        let tracks = [track("5", 0, bins[0]), track("5", 60_000, bins[1])];
        assert_eq!(header, json!({"version": 1, "binMs": 100, "tracks": tracks}));
        assert_eq!(levels[0][..70], [[20; 20].as_slice(), &[UNKNOWN; 10], &[30; 40]].concat());
        assert!(levels[0][70..].len() <= 1, "{levels:?}");
        assert_eq!(levels[1], [40; 10]);
        let listed = manifest.files.iter().find(|file| file.name == FILE).unwrap();
        assert_eq!(listed.media_type, "application/octet-stream");
        assert_eq!(listed.sha256, hash(&own.join(FILE)).unwrap());
        assert_eq!(listed.bytes, fs::metadata(own.join(FILE)).unwrap().len());

        assert!(!own.join(LOG).exists());

        // A bot that only finalises gets the same result from the finished file, and reads the complete part of a torn one.
        let before = fs::read(own.join(FILE)).unwrap();
        manifest_of(&order(3), false);
        assert_eq!(fs::read(folder_of(&order(3), 3).join(FILE)).unwrap(), before);
        fs::write(own.join(FILE), &before[..before.len() - 5]).unwrap();
        fs::remove_file(folder_of(&order(3), 3).join(FILE)).unwrap();
        manifest_of(&order(4), false);
        let (_, levels) = finished(&folder_of(&order(4), 4));
        assert_eq!(levels[1], [[40; 5], [UNKNOWN; 5]].concat());
    }

    #[test]
    fn the_finished_file_has_what_is_missing_at_the_end_of_a_log_from_another_machine() {
        let folder = tempfile::tempdir().unwrap();
        let order = |epoch| order(&folder.path().join("job"), epoch);
        let start = crate::clock::now();
        let admitted = (start, Timestamp::UNIX_EPOCH);
        let mut recording = Recording::open(&order(1), admitted, Counters::default()).unwrap();
        joins(&mut recording, "5", start);
        speaks(&mut recording, ("5", start), 0..151, Some(-20));
        recording.close(start + Duration::from_secs(4), None).unwrap();
        let [first, second] = [1, 2].map(|epoch| folder_of(&order(epoch), epoch));
        let log = fs::read(first.join(LOG)).unwrap();
        manifest_of(&order(1), true);
        for kept in [0, RECORD, log.len()] {
            fs::write(first.join(LOG), &log[..kept]).unwrap();
            manifest_of(&order(2), false);
            let [before, after] =
                [&first, &second].map(|folder| fs::read(folder.join(FILE)).unwrap());
            assert_eq!(before, after, "{kept}");
            fs::remove_dir_all(&second).unwrap();
        }
    }

    #[test]
    fn a_track_without_levels_has_no_header_and_a_recording_without_levels_no_file() {
        for (level_dbov, expected) in [(Some(-20), Some(1)), (None, None)] {
            let folder = tempfile::tempdir().unwrap();
            let order = order(&folder.path().join("job"), 1);
            let start = crate::clock::now();
            let admitted = (start, Timestamp::UNIX_EPOCH);
            let mut recording = Recording::open(&order, admitted, Counters::default()).unwrap();
            joins(&mut recording, "5", start);
            joins(&mut recording, "6", start);
            speaks(&mut recording, ("5", start), 0..50, None);
            speaks(&mut recording, ("6", start), 0..50, level_dbov);
            recording.close(start + Duration::from_secs(1), None).unwrap();
            let manifest = manifest_of(&order, true);
            assert_eq!(manifest.tracks.len(), 2);
            let own = folder_of(&order, 1);
            let is_listed = manifest.files.iter().any(|file| file.name == FILE);
            assert_eq!((is_listed, own.join(FILE).exists()), (expected.is_some(), is_listed));
            assert!(!own.join(LOG).exists());
            if let Some(tracks) = expected {
                let (header, levels) = finished(&own);
                assert_eq!(
                    (levels.len(), &header["tracks"][0]["participantId"]),
                    (tracks, &json!("6"))
                );
            }
        }
    }
}
