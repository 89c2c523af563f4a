//! `long-recording FOLDER JOB SECONDS`: writes a recording of so many seconds into the job's folder. Each voice is a quiet room with a tone of its own for 100 ms at
//! each whole second of the meeting, and each camera and screen is white at the same time for 200 ms, so that who plays it can measure what is in step.

#![expect(clippy::unwrap_used, reason = "a program of the tests stops where it cannot go on")]

use std::{
    env, fs,
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use meetbot_bot::long_recording::{Encoded, PACKET_MS, Pictures, Speaker, write};
use xtask::spec_file;

/// How long the tone and the white last, in ms.
const TONE_MS: u64 = 100;
const WHITE_MS: u64 = 200;
/// A time at which no event occurs.
const NEVER: (u64, u64) = (u64::MAX, u64::MAX);

/// A key frame and a frame that changes nothing, of black and of white.
type Colours = [[Arc<[u8]>; 2]; 2];

static VP8: LazyLock<Colours> = LazyLock::new(|| ["black.ivf", "white.ivf"].map(ivf));
static VP9: LazyLock<Colours> = LazyLock::new(|| ["black.vp9.ivf", "white.vp9.ivf"].map(ivf));
static H264: LazyLock<Colours> = LazyLock::new(|| ["black.h264", "white.h264"].map(annex_b));

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, job, seconds] = &arguments[..] else { panic!("FOLDER JOB SECONDS") };
    let length: u64 = seconds.parse::<u64>().unwrap() * 1000;
    // Some whole packets after a second: their tones do not stand at the beginning of their files.
    let part = |percent: u64| length * percent / 100_000 * 1000 + 340;
    let whole = (0, length);
    let nobody = Speaker {
        name: "",
        there: whole,
        muted: NEVER,
        lost: NEVER,
        speaks: |ms| ms / 10_000 % 4 == 0,
        voice: 0,
        pictures: None,
    };
    let camera = Pictures { codec: "vp8", screen: false, shown: whole, at: |ms| shows(&VP8, ms) };
    let screen = Pictures {
        codec: "vp9",
        screen: true,
        shown: (part(20), part(90)),
        at: |ms| shows(&VP9, ms),
    };
    let second_camera =
        Pictures { codec: "h264", shown: whole, at: |ms| shows(&H264, ms), ..camera };
    let people = [
        Speaker { name: "Alice", pictures: Some(camera), ..nobody },
        Speaker {
            name: "Bob",
            there: (part(1), length),
            muted: (part(30), part(40)),
            speaks: |ms| ms / 10_000 % 4 == 1,
            voice: 1,
            pictures: Some(screen),
            ..nobody
        },
        Speaker {
            name: "Carol",
            there: (part(2), length),
            lost: (part(60), part(60) + 5 * PACKET_MS),
            speaks: |ms| ms / 10_000 % 4 == 2,
            voice: 2,
            pictures: Some(second_camera),
            ..nobody
        },
        Speaker { name: "Dan", speaks: |ms| ms / 10_000 % 4 == 3, voice: 3, ..nobody },
        Speaker { name: "Eve", there: (part(50), part(95)), speaks: |_| false, voice: 4, ..nobody },
    ];
    let room = packets("crates/sandbox/speech/room.opus");
    let tones = [500, 700, 1100, 1300, 1700].map(|hz| {
        // The encoder finds its level in the first second.
        packets(&format!("crates/imitation/tones/{hz}.opus")).split_off(50)
    });
    let index = |ms: u64, count: usize| usize::try_from(ms / PACKET_MS).unwrap() % count;
    let voice = |voice: usize, ms: u64| {
        let second = ms % 1000;
        let (all, at) = if second < TONE_MS { (&tones[voice], second) } else { (&room, ms) };
        Arc::clone(&all[index(at, all.len())])
    };
    write(&PathBuf::from(folder), job.parse().unwrap(), length, &people, voice).unwrap();
}

/// White at each whole second, else black.
fn shows(colours: &Colours, ms: u64) -> Encoded {
    let second = ms % 1000;
    let key = second == 0 || second == WHITE_MS;
    (Arc::clone(&colours[usize::from(second < WHITE_MS)][usize::from(!key)]), key)
}

fn packets(file: &str) -> Vec<Arc<[u8]>> {
    let file = fs::File::open(spec_file::path(file)).unwrap();
    let mut reader = ogg::PacketReader::new(file);
    let mut packets = Vec::new();
    while let Some(packet) = reader.read_packet().unwrap() {
        packets.push(Arc::from(packet.data));
    }
    // The first two hold the headers.
    packets.split_off(2)
}

fn picture(file: &str) -> Vec<u8> {
    fs::read(spec_file::path("crates/imitation/pictures").join(file)).unwrap()
}

/// The first two frames of an IVF file, whose header has 32 bytes, and that of each frame 12.
fn ivf(file: &str) -> [Arc<[u8]>; 2] {
    let bytes = picture(file);
    let mut rest = &bytes[32..];
    [(); 2].map(|()| {
        let (size, after) = rest.split_first_chunk().unwrap();
        let (frame, next) =
            after[8..].split_at(usize::try_from(u32::from_le_bytes(*size)).unwrap());
        rest = next;
        Arc::from(frame)
    })
}

/// The first two frames of an H.264 stream: the second begins at the first unit of type 1.
fn annex_b(file: &str) -> [Arc<[u8]>; 2] {
    let bytes = picture(file);
    let is_slice = |bytes: &[u8]| bytes[..3] == [0, 0, 1] && bytes[3] & 0x1F == 1;
    let mut starts = (0..bytes.len() - 3).filter(|at| is_slice(&bytes[*at..]));
    let (first, second) = (starts.next().unwrap(), starts.next().unwrap_or(bytes.len()));
    [Arc::from(&bytes[..first]), Arc::from(&bytes[first..second])]
}
