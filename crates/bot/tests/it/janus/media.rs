//! What people send in tests: tones made by ffmpeg, once for each kind.

use std::{io::Cursor, process::Command, sync::Arc};

/// Packets or pictures, in order.
pub(crate) type Frames = Arc<Vec<Arc<[u8]>>>;

/// A sine of `hz`, in Opus packets of 20 ms, to be played round and round: a whole number of its waves fits in.
pub(crate) fn tone(hz: u32) -> Frames {
    let source = format!("sine=frequency={hz}:sample_rate=48000:duration=10");
    opus(&ffmpeg(&[
        "-f", "lavfi", "-i", &source, "-af", "volume=4", "-c:a", "libopus", "-b:a", "64k", "-f",
        "ogg", "-",
    ]))
}

/// The packets of an Ogg Opus file.
fn opus(file: &[u8]) -> Frames {
    let mut reader = ogg::PacketReader::new(Cursor::new(file));
    let mut packets = Vec::new();
    while let Some(packet) = reader.read_packet().unwrap() {
        packets.push(Arc::from(packet.data));
    }
    // The first two hold the headers.
    Arc::new(packets.split_off(2))
}

/// What ffmpeg writes to its standard output.
fn ffmpeg(arguments: &[&str]) -> Vec<u8> {
    let made = Command::new("ffmpeg").args(["-v", "error", "-nostdin"]).args(arguments).output();
    let made = made.expect("this test needs ffmpeg: apt-get install ffmpeg");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    made.stdout
}
