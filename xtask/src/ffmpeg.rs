//! Judges recordings with ffmpeg, as a listener's player would.

use std::{path::Path, process::Command};

/// Fails unless ffmpeg decodes the whole file without a word.
///
/// # Panics
/// When it does not, or when there is no ffmpeg on this machine.
#[track_caller]
pub fn decodes(path: &Path) {
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(path)
        // Times as the file has them, in ms: by its guess of the rate, ffmpeg would take two pictures that are near for one.
        .args(["-enc_time_base:v", "1:1000", "-f", "null", "-"])
        .output()
        .expect("this test needs ffmpeg: apt-get install ffmpeg");
    let words = String::from_utf8_lossy(&decoded.stderr);
    assert!(decoded.status.success() && words.is_empty(), "{}: {words}", path.display());
}

/// How long a file says it plays, in ms.
///
/// # Panics
/// When it does not say so, or when there is no ffprobe on this machine.
#[track_caller]
pub fn length_ms(path: &Path) -> u64 {
    let probed = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .expect("this test needs ffprobe: apt-get install ffmpeg");
    let seconds: f64 = String::from_utf8_lossy(&probed.stdout)
        .trim()
        .parse()
        .unwrap_or_else(|error| panic!("{}: {error}: {probed:?}", path.display()));
    std::time::Duration::from_secs_f64(seconds).as_millis().try_into().unwrap_or(u64::MAX)
}

/// The sound of a file, as one channel of 48,000 samples a second between -1 and 1.
///
/// # Panics
/// When it cannot be decoded, or when there is no ffmpeg on this machine.
#[track_caller]
pub fn samples(path: &Path) -> Vec<f32> {
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(path)
        .args(["-f", "f32le", "-ac", "1", "-ar", "48000", "-"])
        .output()
        .expect("this test needs ffmpeg: apt-get install ffmpeg");
    assert!(decoded.status.success(), "{}: {decoded:?}", path.display());
    let (whole, _) = decoded.stdout.as_chunks::<4>();
    whole.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// The loudest sample of each channel of a file, from 0 to 1.
///
/// # Panics
/// When it cannot be decoded, or when there is no ffmpeg on this machine.
#[track_caller]
pub fn loudest(path: &Path) -> Vec<f32> {
    let channels: usize = probed(path, "stream=channels").parse().expect("it has a track of sound");
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(path)
        .args(["-f", "f32le", "-"])
        .output()
        .expect("this test needs ffmpeg: apt-get install ffmpeg");
    assert!(decoded.status.success(), "{}: {decoded:?}", path.display());
    let (samples, _) = decoded.stdout.as_chunks::<4>();
    let mut loudest = vec![0.0_f32; channels];
    for (index, sample) in samples.iter().enumerate() {
        let level = &mut loudest[index % channels];
        *level = level.max(f32::from_le_bytes(*sample).abs());
    }
    loudest
}

/// The language that the file's first track names; empty where it is undetermined.
///
/// # Panics
/// When there is no ffprobe on this machine.
#[track_caller]
pub fn language(path: &Path) -> String {
    probed(path, "stream_tags=language")
}

/// What ffprobe says of an entry of a file.
fn probed(path: &Path, entry: &str) -> String {
    let probed = Command::new("ffprobe")
        .args(["-v", "error", "-of", "csv=p=0", "-show_entries", entry])
        .arg(path)
        .output()
        .expect("this test needs ffprobe: apt-get install ffmpeg");
    assert!(probed.status.success(), "{}: {probed:?}", path.display());
    String::from_utf8_lossy(&probed.stdout).trim().to_owned()
}

/// How loud each tone (in Hz) is in a file, in dB, by Goertzel's algorithm.
///
/// # Panics
/// As [`samples`].
#[track_caller]
pub fn tones_db(path: &Path, tones: &[f64]) -> Vec<f64> {
    let samples = samples(path);
    let power = |hz: &f64| {
        let turn = 2.0 * (std::f64::consts::TAU * hz / 48_000.0).cos();
        let (mut one, mut two) = (0.0, 0.0);
        for (index, sample) in samples.iter().enumerate() {
            // A window, since the tone begins and ends somewhere: its edges must not be heard as other tones.
            let place = index as f64 / samples.len() as f64;
            let window = 0.5 - 0.5 * (std::f64::consts::TAU * place).cos();
            let now = f64::from(*sample) * window + turn * one - two;
            (two, one) = (one, now);
        }
        10.0 * (one * one + two * two - turn * one * two + f64::MIN_POSITIVE).log10()
    };
    tones.iter().map(power).collect()
}

/// When a sound begins after silence, in ms of the file.
///
/// # Panics
/// As [`samples`].
#[track_caller]
pub fn beeps_ms(path: &Path) -> Vec<u64> {
    const LOUD: f32 = 0.1;
    const SILENCE: usize = 48_000 / 4;
    let mut found = Vec::new();
    let mut last_loud = None;
    for (index, _) in samples(path).iter().enumerate().filter(|(_, sample)| sample.abs() > LOUD) {
        // One that the file begins in the middle of has no beginning.
        if last_loud.map_or(index, |last| index - last) > SILENCE {
            found.push(index as u64 / 48);
        }
        last_loud = Some(index);
    }
    found
}

/// When a picture lights up after darkness, in ms of the file.
///
/// # Panics
/// When it cannot be decoded, or when there is no ffmpeg on this machine.
#[track_caller]
pub fn flashes_ms(path: &Path) -> Vec<u64> {
    const BRIGHT: f64 = 120.0;
    let shown = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(path)
        .args(["-vf", "signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-"])
        .args(["-fps_mode", "passthrough", "-f", "null", "-"])
        .output()
        .expect("this test needs ffmpeg: apt-get install ffmpeg");
    assert!(shown.status.success(), "{}: {shown:?}", path.display());
    let text = String::from_utf8_lossy(&shown.stdout);
    let after = |line: &str, word: &str| {
        line.split(word).nth(1)?.split_whitespace().next()?.parse::<f64>().ok()
    };
    let mut found = Vec::new();
    let (mut seconds, mut was_bright) = (0.0, true);
    for line in text.lines() {
        if let Some(time) = after(line, "pts_time:") {
            seconds = time;
        } else if let Some(brightness) = after(line, "YAVG=") {
            if brightness > BRIGHT && !was_bright {
                let time = std::time::Duration::from_secs_f64(seconds);
                found.push(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            }
            was_bright = brightness > BRIGHT;
        }
    }
    found
}

/// The mean colour of each picture of a file: red, green and blue.
///
/// # Panics
/// When it cannot be decoded, or when there is no ffmpeg on this machine.
#[track_caller]
pub fn colours(path: &Path) -> Vec<[u8; 3]> {
    let shown = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(path)
        .args(["-vf", "scale=1:1:flags=area", "-fps_mode", "passthrough"])
        .args(["-pix_fmt", "rgb24", "-f", "rawvideo", "-"])
        .output()
        .expect("this test needs ffmpeg: apt-get install ffmpeg");
    assert!(shown.status.success(), "{}: {shown:?}", path.display());
    shown.stdout.as_chunks::<3>().0.to_vec()
}

/// The mean colours (red, green and blue) of the four quarters of a file's last picture, as a player shows it: top left, top right, bottom left, bottom right.
///
/// # Panics
/// When it cannot be decoded, or when there is no ffmpeg on this machine.
#[track_caller]
pub fn quarters(path: &Path) -> [[u8; 3]; 4] {
    let shown = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(path)
        .args(["-vf", "format=rgb24,scale=2:2:flags=area", "-fps_mode", "passthrough"])
        .args(["-pix_fmt", "rgb24", "-f", "rawvideo", "-"])
        .output()
        .expect("this test needs ffmpeg: apt-get install ffmpeg");
    assert!(shown.status.success(), "{}: {shown:?}", path.display());
    let quarters = shown.stdout.as_chunks::<3>().0.last_chunk();
    *quarters.unwrap_or_else(|| panic!("{}: no picture", path.display()))
}

/// When the last frame begins that can be decoded, in ms of the file; `None` when there is none. The file's end may be torn.
///
/// # Panics
/// When a frame before the end cannot be decoded, or when there is no ffprobe on this machine.
#[track_caller]
pub fn plays_to_ms(path: &Path) -> Option<u64> {
    let probed = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "frame=pts_time", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .expect("this test needs ffprobe: apt-get install ffmpeg");
    let words = String::from_utf8_lossy(&probed.stderr);
    // Of the container only the end may be missing; a decoder has no reason to complain.
    let decoders = ["[opus ", "[vp8 ", "[h264 "];
    assert!(!decoders.iter().any(|name| words.contains(name)), "{}: {words}", path.display());
    let text = String::from_utf8_lossy(&probed.stdout);
    let seconds = text.lines().filter_map(|line| line.trim_matches(',').trim().parse::<f64>().ok());
    let last = std::time::Duration::try_from_secs_f64(seconds.reduce(f64::max)?).ok()?;
    last.as_millis().try_into().ok()
}

/// How wide and high each picture of a file is, when it is decoded.
///
/// # Panics
/// When it cannot be, or when there is no ffprobe on this machine.
#[track_caller]
pub fn sizes(path: &Path) -> Vec<(u32, u32)> {
    let probed = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "frame=width,height", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .expect("this test needs ffprobe: apt-get install ffmpeg");
    assert!(probed.status.success(), "{}: {probed:?}", path.display());
    let size = |line: &str| {
        let (width, height) = line.trim_matches(',').split_once(',')?;
        Some((width.parse().ok()?, height.parse().ok()?))
    };
    String::from_utf8_lossy(&probed.stdout).lines().filter_map(size).collect()
}
