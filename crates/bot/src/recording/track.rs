//! One speaker's file: packets as they were received, on a timeline without holes.

use std::{io, path::Path};

use super::{
    opus::{self, SILENCE_TICKS, TICKS_PER_MS},
    output::Output,
    webm::{self, Blocks, KEYFRAME},
};

/// When the sender's clock and ours are further apart than this, ours is right.
pub(crate) const MAX_DRIFT_MS: u64 = 2000;

/// A packet to write.
pub(crate) struct Packet<'a> {
    /// The sender's clock, in ticks of 1/48000 s.
    pub(crate) rtp_time: u64,
    /// When it came, in ms of the recording's clock.
    pub(crate) at_ms: u64,
    /// It.
    pub(crate) data: &'a [u8],
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct TrackFile {
    output: Output,
    blocks: Blocks,
    /// The recording's time at which the file begins.
    start_ms: u64,
    /// The sender's time and the file's time (both in ticks) of the same moment.
    anchor: (u64, u64),
    /// Where the next packet is due, in ticks of the file.
    next: u64,
}

/// What writing a packet brought about.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Silence had to be put in before it: from when to when in the recording's time.
    pub(crate) filled: Option<(u64, u64)>,
    /// How long it plays, in ms.
    pub(crate) duration_ms: u64,
}

impl TrackFile {
    /// Begins a file with its first packet.
    pub(crate) fn create(path: &Path, first: &Packet<'_>) -> io::Result<Self> {
        let header = webm::opus_header();
        Ok(Self {
            output: Output::create(path, header)?,
            blocks: Blocks::default(),
            start_ms: first.at_ms,
            anchor: (first.rtp_time, 0),
            next: 0,
        })
    }

    /// When the file begins, in ms of the recording.
    pub(crate) const fn start_ms(&self) -> u64 {
        self.start_ms
    }

    /// An RTP time and the recording's time, in ms, of the same moment.
    pub(crate) fn anchor(&self) -> (u64, f64) {
        let (rtp, file) = self.anchor;
        (rtp, self.start_ms as f64 + file as f64 / TICKS_PER_MS as f64)
    }

    /// Takes a packet. What is no Opus, or comes too late to be in order, is refused with `None`.
    pub(crate) fn write(&mut self, packet: &Packet<'_>) -> Option<Written> {
        let ticks = opus::ticks(packet.data)?;
        let at = self.place(packet)?;
        let mut written = Written { filled: None, duration_ms: ticks / TICKS_PER_MS };
        if at >= self.next + SILENCE_TICKS {
            let from = self.ms(self.next);
            while self.next + SILENCE_TICKS <= at {
                webm::push_filling(
                    &mut self.blocks,
                    &mut self.output.buffer,
                    self.next / TICKS_PER_MS,
                );
                self.next += SILENCE_TICKS;
            }
            written.filled = Some((from, self.ms(at)));
        }
        let at = at.max(self.next);
        self.blocks.push(&mut self.output.buffer, at / TICKS_PER_MS, KEYFRAME, packet.data);
        self.next = at + ticks;
        Some(written)
    }

    /// Where in the file a packet belongs: by the sender's clock, as long as it agrees with ours.
    fn place(&mut self, packet: &Packet<'_>) -> Option<u64> {
        let ours = packet.at_ms.saturating_sub(self.start_ms) * TICKS_PER_MS;
        let (rtp, file) = self.anchor;
        let theirs = match packet.rtp_time.checked_sub(rtp) {
            Some(since) => file.checked_add(since),
            None => file.checked_sub(rtp - packet.rtp_time),
        };
        let drift = MAX_DRIFT_MS * TICKS_PER_MS;
        if let Some(theirs) = theirs
            && theirs.abs_diff(ours) <= drift
        {
            // A packet that was sent before one that is written already: its time is taken.
            if theirs + SILENCE_TICKS / 2 < self.next {
                return None;
            }
            // Along with the packets: times that are half a day apart cannot be compared.
            self.anchor = (packet.rtp_time, theirs);
            return Some(theirs);
        }
        // The sender began to count anew, or lies.
        let at = ours.max(self.next);
        self.anchor = (packet.rtp_time, at);
        Some(at)
    }

    fn ms(&self, ticks: u64) -> u64 {
        self.start_ms + ticks / TICKS_PER_MS
    }

    /// Hands what was taken to the system; answers how many bytes.
    pub(crate) fn flush(&mut self) -> io::Result<u64> {
        self.output.flush()
    }

    /// Ends the file; it is on disk after this.
    pub(crate) fn close(self) -> io::Result<()> {
        self.output.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meetbot_types::bot::MediaKind;

    use meetbot_rtc::SenderReport;

    use crate::recording::{clock::SenderClock, scan::scan};

    const SOUND: &[u8] = &[0x08, 1, 2, 3];

    fn packet(number: u64, at_ms: u64) -> Packet<'static> {
        Packet { rtp_time: 1_000_000 + number * 960, at_ms, data: SOUND }
    }

    /// Writes packets; answers what was filled, and the file's packets and duration.
    fn write(packets: &[Packet<'_>]) -> (Vec<(u64, u64)>, u64, u64) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.webm");
        let mut file = TrackFile::create(&path, &packets[0]).unwrap();
        let filled = packets.iter().filter_map(|packet| file.write(packet)?.filled).collect();
        file.close().unwrap();
        let bytes = std::fs::read(path).unwrap();
        let scan = scan(&mut bytes.as_slice(), &MediaKind::Audio).unwrap();
        (filled, scan.packets, scan.duration_ms)
    }

    #[test]
    fn packets_follow_each_other() {
        let packets: Vec<_> = (0..100).map(|number| packet(number, 5000 + number * 20)).collect();
        assert_eq!(write(&packets), (vec![], 100, 2000));
    }

    #[test]
    fn a_hole_is_filled_with_silence_of_its_length() {
        let packets: Vec<_> = (0..100)
            .filter(|number| !(30..80).contains(number))
            .map(|number| packet(number, 5000 + number * 20))
            .collect();
        assert_eq!(write(&packets), (vec![(5600, 6600)], 50, 2000));
    }

    #[test]
    fn a_burst_that_came_late_keeps_the_senders_times() {
        let packets: Vec<_> =
            (0..100).map(|number| packet(number, 5000 + (number * 20).max(1000))).collect();
        assert_eq!(write(&packets), (vec![], 100, 2000));
    }

    #[test]
    fn a_sender_that_counts_anew_goes_on_by_our_clock() {
        let mut packets: Vec<_> = (0..50).map(|number| packet(number, number * 20)).collect();
        packets.extend(
            (0..50)
                .map(|number| Packet { rtp_time: number * 960, ..packet(0, 2000 + number * 20) }),
        );
        assert_eq!(write(&packets), (vec![(1000, 2000)], 100, 3000));
    }

    #[test]
    fn a_sender_whose_clock_leaps_fills_no_disk() {
        let packets = [
            packet(0, 0),
            Packet { rtp_time: u64::MAX, ..packet(0, 20) },
            Packet { rtp_time: u64::MAX / 2, ..packet(0, 40) },
            Packet { rtp_time: 0, ..packet(0, 60) },
        ];
        assert_eq!(write(&packets), (vec![], 4, 80));
    }

    #[test]
    fn a_packet_that_was_overtaken_is_left_out_and_moves_nothing() {
        let packets = [packet(0, 0), packet(2, 40), packet(1, 45), packet(3, 60)];
        assert_eq!(write(&packets), (vec![(20, 40)], 3, 80));
    }

    #[test]
    fn after_half_a_day_the_voice_still_tells_the_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = TrackFile::create(&folder.path().join("a.webm"), &packet(0, 0)).unwrap();
        let mut clock = SenderClock::default();
        for hour in 0..=13 {
            let at_ms = hour * 3_600_000;
            let packet = packet(hour * 180_000, at_ms);
            assert!(file.place(&packet).is_some());
            let ntp = std::time::UNIX_EPOCH + std::time::Duration::from_millis(at_ms);
            let report = SenderReport { ntp, rtp_time: packet.rtp_time };
            clock.hear(Some(report), opus::TICKS_PER_SECOND);
            let (rtp_time, recorded_ms) = file.anchor();
            let moment = at_ms as f64 + 20.0;
            let since = clock.since(rtp_time, moment, opus::TICKS_PER_SECOND).unwrap();
            assert!((recorded_ms + since - moment).abs() < 1.0, "after {hour} h: {since}");
        }
    }

    #[test]
    fn what_is_no_opus_or_doubled_is_refused() {
        let nothing = Packet { data: &[], ..packet(1, 20) };
        assert_eq!(write(&[packet(0, 0), nothing, packet(0, 25), packet(1, 30)]), (vec![], 2, 40));
    }
}
