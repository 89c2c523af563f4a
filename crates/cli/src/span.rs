//! Times on the command line: `90s`, `30m`, `24h`, `7d`.

use std::time::Duration;

/// Reads a whole number with its unit.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: give a number with s, m, h or d, as in 24h");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn a_time_has_a_unit() {
        let seconds = |text: &str| span(text).map(|span| span.as_secs());
        assert_eq!(
            ["0s", "90s", "30m", "24h", "7d"].map(seconds),
            [Ok(0), Ok(90), Ok(1_800), Ok(86_400), Ok(604_800)]
        );
        for wrong in ["", "24", "h", "-1h", "1.5h", "1é", "99999999999999999999d"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
