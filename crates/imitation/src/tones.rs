//! The voices of the people: a tone each, in Opus packets of 20 ms that can be played in a loop.

use std::{
    io::Cursor,
    sync::{Arc, LazyLock},
};

/// The packets of a second.
const PACKETS: usize = 50;

/// The tones, in Hz. None is a multiple of another.
pub const TONES_HZ: [u32; 6] = [500, 700, 1100, 1300, 1700, 1900];

static TONES: LazyLock<[Vec<Arc<[u8]>>; 6]> = LazyLock::new(|| {
    [
        packets(include_bytes!("../tones/500.opus")),
        packets(include_bytes!("../tones/700.opus")),
        packets(include_bytes!("../tones/1100.opus")),
        packets(include_bytes!("../tones/1300.opus")),
        packets(include_bytes!("../tones/1700.opus")),
        packets(include_bytes!("../tones/1900.opus")),
    ]
});

/// A packet of a tone; unknown tones are the first one.
pub(crate) fn packet(hz: u32, number: u64) -> Arc<[u8]> {
    let tone = TONES_HZ.iter().position(|known| *known == hz).unwrap_or(0);
    let place = usize::try_from(number % PACKETS as u64).unwrap_or(0);
    Arc::clone(&TONES[tone][place])
}

fn packets(file: &'static [u8]) -> Vec<Arc<[u8]>> {
    let mut reader = ogg::PacketReader::new(Cursor::new(file));
    let mut packets = Vec::new();
    while let Some(packet) = reader.read_packet().expect("the tones are whole Ogg files") {
        packets.push(Arc::from(packet.data));
    }
    // Two packets contain headers, and the encoder settles in the first second.
    packets.drain(2 + PACKETS..2 + 2 * PACKETS).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        path::{Path, PathBuf},
    };

    use ogg::{PacketWriteEndInfo, PacketWriter};
    use tempfile::TempDir;
    use xtask::ffmpeg::tones_db;

    use super::*;

    /// A file of 6 s of a tone.
    fn file(folder: &Path, hz: u32) -> PathBuf {
        let path = folder.join(format!("{hz}.opus"));
        let mut writer = PacketWriter::new(File::create(&path).unwrap());
        let head = b"OpusHead\x01\x01\x00\x00\x80\xBB\x00\x00\x00\x00\x00".to_vec();
        let tags = b"OpusTags\x00\x00\x00\x00\x00\x00\x00\x00".to_vec();
        writer.write_packet(head, 1, PacketWriteEndInfo::EndPage, 0).unwrap();
        writer.write_packet(tags, 1, PacketWriteEndInfo::EndPage, 0).unwrap();
        for number in 0..300 {
            let end = if number == 299 {
                PacketWriteEndInfo::EndStream
            } else {
                PacketWriteEndInfo::NormalPacket
            };
            writer.write_packet(packet(hz, number).to_vec(), 1, end, (number + 1) * 960).unwrap();
        }
        path
    }

    #[test]
    fn a_looped_tone_is_50_db_above_all_others() {
        let folder = TempDir::new().unwrap();
        for (place, hz) in TONES_HZ.into_iter().enumerate() {
            let levels = tones_db(&file(folder.path(), hz), &TONES_HZ.map(f64::from));
            for (other, level) in levels.iter().enumerate().filter(|(other, _)| *other != place) {
                let apart = levels[place] - level;
                assert!(apart > 50.0, "{} Hz in the file of {hz} Hz: {apart} dB", TONES_HZ[other]);
            }
        }
    }

    #[test]
    fn every_tone_has_a_second_of_packets_of_twenty_ms() {
        for tone in TONES.iter() {
            assert_eq!(tone.len(), PACKETS);
            // RFC 6716, 3.1: configurations of 20 ms with one frame.
            let one_of_20_ms = |packet: &Arc<[u8]>| {
                matches!(packet[0] >> 3, 13 | 15 | 19 | 23 | 27 | 31)
                    && packet[0].trailing_zeros() >= 2
            };
            assert!(tone.iter().all(one_of_20_ms));
        }
        assert_eq!(packet(700, 3), packet(700, 53));
        assert_ne!(packet(700, 3), packet(500, 3));
    }
}
