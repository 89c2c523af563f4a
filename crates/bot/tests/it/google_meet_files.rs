//! Reads the files of recordings of Google Meet.

use std::{path::Path, process::Command};

use meetbot_types::{Manifest, bot::Caption};

use crate::orchestrator::Fixture;

/// The lines of the first attempt's captions.
pub(crate) fn captions(fixture: &Fixture, manifest: &Manifest) -> Vec<Caption> {
    let file = fixture.folder(1).join(manifest.captions.as_deref().unwrap());
    let lines = std::fs::read_to_string(file).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The level of a tone in a file, in dB relative to full scale; the loudest 100 ms count.
pub(crate) fn tone_db(file: &Path, hz: u32) -> f64 {
    tone_levels(file, hz).into_iter().fold(-120.0, f64::max)
}

/// The level of a tone in each 100 ms of a file, in dB relative to full scale.
pub(crate) fn tone_levels(file: &Path, hz: u32) -> Vec<f64> {
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-f", "s16le", "-ac", "1", "-ar", "16000", "-"])
        .output()
        .unwrap();
    let samples: Vec<f64> = decoded
        .stdout
        .as_chunks::<2>()
        .0
        .iter()
        .map(|sample| f64::from(i16::from_le_bytes(*sample)) / 32_768.0)
        .collect();
    // Goertzel's filter.
    let coefficient = 2.0 * (std::f64::consts::TAU * f64::from(hz) / 16_000.0).cos();
    let power = samples.chunks_exact(1_600).map(|piece| {
        let (one, two) = piece
            .iter()
            .fold((0.0, 0.0), |(one, two), sample| (sample + coefficient * one - two, one));
        (one * one + two * two - coefficient * one * two) / (1_600.0 * 1_600.0 / 4.0)
    });
    power.map(|power| 10.0 * power.max(1e-12).log10()).collect()
}
