//! Test media, made by ffmpeg: tones, and marks that can be found in a recording.

use std::{io::Cursor, process::Command, sync::Arc};

/// Packets or pictures, in order.
pub(crate) type Frames = Arc<Vec<Arc<[u8]>>>;

/// A sine of `hz`, in Opus packets of 20 ms, to be played in a loop: it contains a whole number of waves.
pub(crate) fn tone(hz: u32) -> Frames {
    let source = format!("sine=frequency={hz}:sample_rate=48000:duration=10");
    opus(&ffmpeg(&[
        "-f", "lavfi", "-i", &source, "-af", "volume=4", "-c:a", "libopus", "-b:a", "64k", "-f",
        "ogg", "-",
    ]))
}

/// A beep of 80 ms at each whole second, in Opus packets of 20 ms.
pub(crate) fn beeps() -> Frames {
    let source = "aevalsrc='if(lt(mod(t,1),0.08),0.5*sin(2*PI*1000*t),0)':s=48000:d=10";
    opus(&ffmpeg(&[
        "-f", "lavfi", "-i", source, "-c:a", "libopus", "-b:a", "64k", "-f", "ogg", "-",
    ]))
}

/// A video of 25 pictures a second.
#[derive(Clone)]
pub(crate) struct Pictures {
    pub(crate) frames: Frames,
    /// Whether there is only one keyframe, at the beginning, so that a keyframe request restarts the video. Otherwise there is one each second.
    pub(crate) restarts: bool,
}

/// Dark pictures with a white flash of 80 ms at each whole second.
const FLASHES: &str =
    "color=black:s=320x180:r=25:d=10,drawbox=c=white:t=fill:enable='lt(mod(t,1),0.08)'";
/// A moving test picture, small enough for a keyframe of a few packets.
const MOVING: &str = "testsrc2=s=160x90:r=25:d=10";

/// A typical camera: 640 × 360, half a megabit a second.
pub(crate) fn scene() -> Pictures {
    const SCENE: &str = "testsrc2=s=640x360:r=25:d=10";
    Pictures { frames: ivf(&vp8(SCENE, "25", "512k")), restarts: false }
}

/// Flashes in VP8.
pub(crate) fn flashes() -> Pictures {
    Pictures { frames: ivf(&vp8(FLASHES, "25", "200k")), restarts: false }
}

/// Movement in VP8, with one keyframe.
pub(crate) fn moving() -> Pictures {
    Pictures { frames: ivf(&vp8(MOVING, "9999", "100k")), restarts: true }
}

/// A left half in red and a right half in blue, in VP8 with one keyframe.
pub(crate) fn halves() -> Pictures {
    const HALVES: &str =
        "color=red:s=80x90:r=25:d=10[l];color=blue:s=80x90:r=25:d=10[r];[l][r]hstack";
    Pictures { frames: ivf(&vp8(HALVES, "9999", "100k")), restarts: true }
}

/// Flashes in H.264.
pub(crate) fn flashes_h264() -> Pictures {
    let file = ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        FLASHES,
        "-c:v",
        "libx264",
        "-profile:v",
        "baseline",
        "-pix_fmt",
        "yuv420p",
        "-tune",
        "zerolatency",
        "-g",
        "25",
        "-x264-params",
        "repeat-headers=1:slices=1",
        "-bsf:v",
        "h264_metadata=aud=insert",
        "-f",
        "h264",
        "-",
    ]);
    // Each picture begins with a delimiter.
    let begins = file.windows(5).enumerate().filter(|(_, five)| *five == [0, 0, 0, 1, 9]);
    let begins: Vec<usize> = begins.map(|(at, _)| at).chain([file.len()]).collect();
    let frames = begins.windows(2).map(|two| Arc::from(&file[two[0]..two[1]])).collect();
    Pictures { frames: Arc::new(frames), restarts: false }
}

fn vp8(source: &str, keyframe_every: &str, bitrate: &str) -> Vec<u8> {
    ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        source,
        "-pix_fmt",
        "yuv420p",
        "-c:v",
        "libvpx",
        "-b:v",
        bitrate,
        "-g",
        keyframe_every,
        "-keyint_min",
        keyframe_every,
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-auto-alt-ref",
        "0",
        "-error-resilient",
        "default",
        "-f",
        "ivf",
        "-",
    ])
}

/// The pictures of an IVF file: after a header of 32 bytes, each follows its length and its time.
fn ivf(file: &[u8]) -> Frames {
    let mut rest = &file[32..];
    let mut frames = Vec::new();
    while let Some((length, more)) = rest.split_first_chunk::<4>() {
        let (frame, more) = more[8..].split_at(u32::from_le_bytes(*length) as usize);
        frames.push(Arc::from(frame));
        rest = more;
    }
    Arc::new(frames)
}

/// The packets of an Ogg Opus file.
pub(crate) fn opus(file: &[u8]) -> Frames {
    let mut reader = ogg::PacketReader::new(Cursor::new(file));
    let mut packets = Vec::new();
    while let Some(packet) = reader.read_packet().unwrap() {
        packets.push(Arc::from(packet.data));
    }
    // The first two contain the headers; the packets after ten seconds hold the encoder's delay, and would be a jump in each loop.
    let mut sound = packets.split_off(2);
    sound.truncate(500);
    Arc::new(sound)
}

/// The standard output of ffmpeg.
fn ffmpeg(arguments: &[&str]) -> Vec<u8> {
    let made = Command::new("ffmpeg").args(["-v", "error", "-nostdin"]).args(arguments).output();
    let made = made.expect("this test needs ffmpeg: apt-get install ffmpeg");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    made.stdout
}
