//! Who spoke when, drawn as a line for each speaker.

/// How many characters the whole recording is wide.
const WIDTH: u64 = 60;

/// Someone's name and when they spoke, in ms from the recording's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Speaker {
    /// The name.
    pub(crate) name: String,
    /// From when to when.
    pub(crate) spoke: Vec<(u64, u64)>,
}

/// Draws it: `█` where they spoke for most of the cell, `·` where they did not.
pub(crate) fn draw(speakers: &[Speaker], duration_ms: u64) -> Vec<String> {
    let width = speakers.iter().map(|speaker| speaker.name.chars().count()).max().unwrap_or(0);
    let cell = (duration_ms / WIDTH).max(1);
    let mut lines = Vec::new();
    for speaker in speakers {
        let mut line = format!("  {:<width$}  ", speaker.name);
        for index in 0..WIDTH {
            let (start, end) = (index * cell, (index + 1) * cell);
            let spoken: u64 = speaker
                .spoke
                .iter()
                .map(|(from, to)| (*to).min(end).saturating_sub((*from).max(start)))
                .sum();
            line.push(if spoken * 2 >= cell { '█' } else { '·' });
        }
        lines.push(line);
    }
    let seconds = duration_ms / 1000;
    let end = format!("{seconds} s");
    let room = usize::try_from(WIDTH).unwrap_or(60) - 1;
    lines.push(format!("  {:<width$}  0{end:>room$}", ""));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_filled_if_most_of_its_time_was_spoken() {
        let speakers = [
            Speaker { name: "Al".to_owned(), spoke: vec![(0, 30_000)] },
            Speaker { name: "Barbara".to_owned(), spoke: vec![(30_000, 59_400), (59_960, 60_000)] },
        ];
        let lines = draw(&speakers, 60_000);
        assert_eq!(lines[0], format!("  Al       {}{}", "█".repeat(30), "·".repeat(30)));
        assert_eq!(lines[1], format!("  Barbara  {}{}·", "·".repeat(30), "█".repeat(29)));
        assert!(lines[2].ends_with("60 s"));
    }

    #[test]
    fn an_empty_recording_draws_without_dividing_by_zero() {
        assert!(draw(&[Speaker { name: "A".to_owned(), spoke: vec![] }], 0)[0].contains('·'));
    }
}
