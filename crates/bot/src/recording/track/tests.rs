//! Tests of the audio file of one speaker.

use std::path::PathBuf;

use meetbot_types::bot::MediaKind;
use tempfile::TempDir;

use super::*;
use crate::recording::{
    opus,
    scan::scan,
    stream_clock::{Seen, StreamClock},
};

const SOUND: &[u8] = &[0x08, 1, 2, 3];

/// Writes an audio file with this many packets of 20 ms.
pub(crate) fn write_voice(path: &Path, packets: u64) {
    let mut track = Track::at(path.to_owned());
    for number in 0..packets {
        track.take(&Sent(number * 20, number, number * 960, &[0x08; 60]), true);
    }
    track.file.unwrap().close().unwrap();
}

/// A packet: its arrival, its sequence number, its RTP time, and its content.
#[derive(Clone)]
struct Sent(u64, u64, u64, &'static [u8]);

fn packet(number: u64, at_ms: u64) -> Sent {
    Sent(at_ms, number, 1_000_000 + number * 960, SOUND)
}

/// A file, and its stream's clock.
struct Track {
    clock: StreamClock,
    file: Option<TrackFile>,
    written: Vec<Written>,
    path: PathBuf,
    folder: Option<TempDir>,
}

impl Track {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.webm");
        Self { folder: Some(folder), ..Self::at(path) }
    }

    fn at(path: PathBuf) -> Self {
        let clock = StreamClock::new(48_000, true);
        Self { clock, file: None, written: Vec::new(), path, folder: None }
    }

    fn take(&mut self, Sent(at_ms, number, rtp_time, data): &Sent, speech: bool) {
        let lasts = opus::ticks(data).unwrap_or(0);
        let seen = Seen {
            sequence: *number..=*number,
            rtp_time: *rtp_time,
            lasts,
            at_ms: *at_ms,
            report: None,
        };
        let Some(placement) = self.clock.observe_packet(&seen) else { return };
        let file = self.file.get_or_insert_with(|| {
            TrackFile::create(&self.path, Codec::Opus, &placement, 0).unwrap()
        });
        let packet = Packet {
            rtp_time: *rtp_time,
            speech,
            level_dbov: None,
            not_before_ms: 0,
            lost: placement.lost,
            data: Arc::from(*data),
        };
        file.take(&placement, self.clock.base(), Some(packet), &mut self.written);
    }

    /// The filled spans, and the packets and the duration on disk.
    fn end(mut self) -> (Vec<(u64, u64)>, u64, u64) {
        let _folder = self.folder.take();
        let mut file = self.file.take().unwrap();
        file.release(self.clock.settle(), &mut self.written);
        file.close().unwrap();
        let (packets, duration_ms) = self.on_disk();
        (self.written.iter().filter_map(|written| written.filled).collect(), packets, duration_ms)
    }

    fn on_disk(&self) -> (u64, u64) {
        let bytes = std::fs::read(&self.path).unwrap();
        let scan = scan(&mut bytes.as_slice(), &MediaKind::Audio).unwrap();
        assert_eq!(scan.whole, bytes.len() as u64, "the file has no incomplete block");
        (scan.packets, scan.duration_ms)
    }
}

fn write(packets: &[Sent]) -> (Vec<(u64, u64)>, u64, u64) {
    let mut track = Track::new();
    for packet in packets {
        track.take(packet, true);
    }
    track.end()
}

#[test]
fn packets_follow_each_other() {
    let packets: Vec<_> = (0..100).map(|number| packet(number, 5000 + number * 20)).collect();
    assert_eq!(write(&packets), (vec![], 100, 2000));
}

#[test]
fn a_gap_is_filled_with_silence_of_its_length() {
    let packets: Vec<_> = (0..100)
        .filter(|number| !(30..80).contains(number))
        .map(|number| packet(number, 5000 + number * 20))
        .collect();
    assert_eq!(write(&packets), (vec![(5600, 6600)], 50, 2000));
}

#[test]
fn gaps_of_short_packets_are_filled_to_their_length() {
    // 10 ms each, every fourth of which is lost: a player that counts samples must not be early.
    let packets: Vec<_> = (0..400)
        .filter(|number| number % 4 != 1)
        .map(|number| Sent(number * 10, number, number * 480, &[0xF0, 1, 2, 3]))
        .collect();
    let (filled, packets, duration_ms) = write(&packets);
    assert_eq!((filled.len(), filled[99], packets), (100, (3_970, 3_980), 300));
    assert_eq!(duration_ms, 4_000);
}

#[test]
fn a_late_burst_keeps_the_senders_times() {
    let packets: Vec<_> =
        (0..100).map(|number| packet(number, 5000 + (number * 20).max(1000))).collect();
    let (filled, packets, duration_ms) = write(&packets);
    assert_eq!((filled, packets, duration_ms), (vec![], 100, 2000));
}

#[test]
fn a_restarted_sender_continues_by_our_clock() {
    let mut packets: Vec<_> = (0..50).map(|number| packet(number, number * 20)).collect();
    packets
        .extend((0..50).map(|number| Sent(2000 + number * 20, 50 + number, number * 960, SOUND)));
    assert_eq!(write(&packets), (vec![(1000, 2000)], 100, 3000));
}

#[test]
fn a_sender_whose_clock_jumps_does_not_fill_the_disk() {
    let packets = [
        packet(0, 0),
        Sent(20, 1, u64::MAX, SOUND),
        Sent(40, 2, u64::MAX / 2, SOUND),
        Sent(60, 3, 0, SOUND),
    ];
    assert_eq!(write(&packets), (vec![], 4, 80));
}

#[test]
fn a_sender_that_is_faster_than_real_time_makes_no_longer_file() {
    let packets: Vec<_> = (0..20_000).map(|number| packet(number, number / 2)).collect();
    let (filled, _, duration_ms) = write(&packets);
    assert!(filled.is_empty() && duration_ms <= 25_000, "{duration_ms} of 10,000 ms");
}

#[test]
fn a_reordered_packet_is_dropped_and_moves_nothing() {
    let packets = [packet(0, 0), packet(2, 40), packet(1, 45), packet(3, 60)];
    assert_eq!(write(&packets), (vec![(20, 40)], 3, 80));
}

#[test]
fn invalid_opus_and_duplicates_are_refused() {
    let nothing = Sent(20, 1, 1_000_960, &[]);
    let packets = [packet(0, 0), nothing, packet(0, 25), packet(2, 40), packet(2, 41)];
    assert_eq!(write(&packets), (vec![(20, 40)], 2, 60));
}

#[test]
fn held_packets_are_on_disk_and_get_their_final_place_later() {
    let mut track = Track::new();
    for number in 0..150 {
        track.take(&packet(number, number * 20), true);
    }
    // The clock stalls for 1.6 s; a tenth of a second later that is still uncertain.
    for number in 150..155 {
        track.take(&packet(number, number * 20 + 1_600), true);
    }
    assert_eq!(track.written.len(), 150);
    track.file.as_mut().unwrap().flush().unwrap();
    assert_eq!(track.on_disk(), (155, 3_100));
    for number in 155..200 {
        track.take(&packet(number, number * 20 + 1_600), true);
    }
    track.file.as_mut().unwrap().flush().unwrap();
    assert_eq!(track.on_disk(), (200, 5_600));
    assert_eq!(track.written[150].at_ms, 4_600);
    assert_eq!(track.end(), (vec![(3_000, 4_600)], 200, 5_600));
}

#[test]
fn packets_that_are_held_at_the_end_are_written() {
    let mut packets: Vec<_> = (0..150).map(|number| packet(number, number * 20)).collect();
    packets.extend((150..153).map(|number| packet(number, number * 20 + 1_600)));
    assert_eq!(write(&packets), (vec![], 153, 3_060));
}

#[test]
fn a_clock_that_is_fast_costs_packets_without_speech_and_a_slow_one_gets_silence() {
    // 200 ppm, twice the drift of real clocks: 0.24 s in twenty minutes.
    for (drift_us, packets, duration_ms) in [(-4_i64, 59_988, 1_199_760), (4, 60_000, 1_200_240)] {
        for speech in [false, true] {
            let mut track = Track::new();
            for number in 0..60_000_i64 {
                let at_ms = (number * (20_000 + drift_us) / 1_000).unsigned_abs();
                track.take(&packet(number.unsigned_abs(), at_ms), speech);
                let at = track.written.last().unwrap();
                assert!(at.at_ms.abs_diff(at_ms) <= 41, "{number}: {at:?}, {at_ms}");
            }
            let (filled, written, lasts) = track.end();
            assert!(filled.is_empty(), "{filled:?}");
            assert!(written.abs_diff(packets) <= 3, "{written}");
            assert!(lasts.abs_diff(duration_ms) <= 60, "{lasts}");
        }
    }
}

#[test]
fn packets_before_not_before_ms_are_not_written() {
    let mut track = Track::new();
    for number in 0..200 {
        track.take(&packet(number, number * 20), true);
    }
    let seen = Seen {
        sequence: 200..=200,
        rtp_time: 1_000_000 + 200 * 960,
        lasts: 960,
        at_ms: 4_060,
        report: None,
    };
    let placement = track.clock.observe_packet(&seen).unwrap();
    let file = track.file.as_mut().unwrap();
    let packet = Packet {
        rtp_time: seen.rtp_time,
        speech: true,
        level_dbov: None,
        not_before_ms: 4_050,
        lost: 0,
        data: SOUND.into(),
    };
    let mut written = Vec::new();
    file.take(&placement, 0, Some(packet), &mut written);
    assert_eq!(written, []);
}
