//! The program's log on standard error, as text or JSON. Untrusted text in it can neither control a terminal nor forge a line.

#![expect(clippy::print_stderr, reason = "a panic is printed where the log is")]

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    env,
    io::{self, IsTerminal as _, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use meetbot_orchestrator::config::LogFormat;
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter,
    field::MakeExt as _,
    fmt::{FormatFields, MakeWriter, format},
    util::SubscriberInitExt as _,
};

use crate::{
    output::Usage,
    text::{escaped, message, plain},
};

const VARIABLE: &str = "MEETBOT_LOG";
/// The largest size in bytes of a log that is not rotated.
const BOUND: usize = 4 << 20;
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Starts the log; `MEETBOT_LOG` sets the levels (`debug`, `meetbot_orchestrator=debug,warn`). A second call in one process is an error.
pub(crate) fn start(default: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = wanted()?.unwrap_or_else(|| EnvFilter::new(default));
    let _ = match format {
        LogFormat::Text => {
            std::panic::set_hook(Box::new(|panic| {
                eprintln!("{}", message(&panic.to_string()));
                let trace = Backtrace::capture();
                if trace.status() == BacktraceStatus::Captured {
                    eprintln!("{trace}");
                }
            }));
            text(filter, colours(), io::stderr).try_init()
        }
        LogFormat::Json => {
            // Rust's panic messages are no JSON.
            std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a bug")));
            json(filter, io::stderr).try_init()
        }
    };
    Ok(())
}

/// The same as text, of which no more than [`BOUND`] bytes are written.
pub(crate) fn start_bounded(default: &str) -> anyhow::Result<()> {
    let filter = wanted()?.unwrap_or_else(|| EnvFilter::new(default));
    let left = Arc::new(AtomicUsize::new(BOUND));
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a bug")));
    let to = move || Bounded { to: io::stderr(), left: Arc::clone(&left) };
    let _ = text(filter, false, to).try_init();
    Ok(())
}

/// Writes lines until its bound is reached, then one line that the rest is left out.
struct Bounded<W> {
    to: W,
    left: Arc<AtomicUsize>,
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let took = |left: usize| left.checked_sub(bytes.len()).filter(|left| *left > 0);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, took) {
            Ok(_) => self.to.write_all(bytes)?,
            Err(_) if self.left.swap(0, Ordering::Relaxed) > 0 => {
                self.to.write_all(b"more is not logged\n")?;
            }
            Err(_) => {}
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// What `MEETBOT_LOG` asks for; `None` where it is not set.
pub(crate) fn wanted() -> anyhow::Result<Option<EnvFilter>> {
    let Some(text) = env::var(VARIABLE).ok().filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    check(&text).map_err(|problem| Usage(format!("{VARIABLE}: {problem}")))?;
    let filter = EnvFilter::builder().parse(&text);
    Ok(Some(filter.map_err(|error| Usage(format!("{VARIABLE}: {error}")))?))
}

/// Refuses a word that is no level: the filter would take it for a module, and log nothing but that.
fn check(text: &str) -> Result<(), String> {
    // Commas separate fields of a span too.
    if text.contains(['[', '{']) {
        return Ok(());
    }
    for directive in text.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level.trim());
        let known = LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level));
        if !known && !matches!(level, "0" | "1" | "2" | "3" | "4" | "5") {
            return Err(format!(
                "there is no level {level:?}; give one of {}, of one part of the program as in meetbot_bot=debug",
                LEVELS.join(", ")
            ));
        }
    }
    Ok(())
}

/// Whether lines are coloured: at a terminal, unless the environment says otherwise (<https://no-color.org>).
fn colours() -> bool {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let dumb = set("TERM").is_some_and(|terminal| terminal == "dumb");
    io::stderr().is_terminal() && set("NO_COLOR").is_none() && !dumb
}

/// A line for each event. `colours` adds the program's escape sequences around its own text.
fn text(
    filter: EnvFilter,
    colours: bool,
    to: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> impl Subscriber + Send + Sync {
    let to = tracing_subscriber::fmt().with_env_filter(filter).with_writer(to);
    to.with_ansi(colours).fmt_fields(plain_fields()).finish()
}

/// The fields of a line and of its spans, each within the line.
fn plain_fields() -> impl for<'a> FormatFields<'a> + Send + Sync + 'static {
    format::debug_fn(|writer, field, value| {
        let value = format!("{value:?}");
        match field.name() {
            "message" => write!(writer, "{}", plain(&value)),
            name => write!(writer, "{name}={}", plain(&value)),
        }
    })
    .delimited(" ")
}

/// A JSON object for each event, one per line.
fn json<W: for<'a> MakeWriter<'a> + Send + Sync + 'static>(
    filter: EnvFilter,
    to: W,
) -> impl Subscriber + Send + Sync {
    let logger = tracing_subscriber::fmt().with_env_filter(filter).json();
    logger.flatten_event(true).with_span_list(false).with_writer(Escaped(to)).finish()
}

/// Escapes what is written, which is JSON.
struct Escaped<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Escaped<W> {
    type Writer = Escaped<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Escaped(self.0.make_writer())
    }
}

impl<W: Write> Write for Escaped<W> {
    /// Expects whole lines, as the logger writes them.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(escaped(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::text::controls_terminal;

    const HOSTILE: &str =
        "Ann\u{1b}[2J\u{9b}31m\u{202e}\r\n2026-11-28T00:00:00Z  INFO forged\u{2028}";

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The log of an event whose fields all contain untrusted text.
    fn logged(logger: impl FnOnce(Kept) -> Box<dyn Subscriber + Send + Sync>) -> String {
        let kept = Kept::default();
        tracing::subscriber::with_default(logger(kept.clone()), || {
            let _span = tracing::error_span!("span", job = %HOSTILE, name = HOSTILE).entered();
            let error: &dyn std::error::Error = &io::Error::other(HOSTILE);
            tracing::error!(error, shown = %HOSTILE, debugged = ?HOSTILE, quoted = HOSTILE, "{HOSTILE}");
        });
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn an_unknown_level_is_refused() {
        for right in [
            "debug",
            "INFO",
            "meetbot_bot=debug,warn",
            " off ",
            "3",
            "hyper=trace, info",
            "meetbot[request]=debug",
        ] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for wrong in ["debgu", "meetbot_bot", "meetbot_bot=debgu", "warn,verbose", "6"] {
            let problem = check(wrong).unwrap_err();
            assert!(problem.contains("error, warn, info, debug"), "{wrong}: {problem}");
        }
    }

    #[test]
    fn a_log_stops_at_its_bound_with_one_message() {
        let kept = Kept::default();
        let left = Arc::new(AtomicUsize::new(10));
        let mut bounded = Bounded { to: kept.clone(), left };
        for line in ["12345\n", "678\n", "9\n", "0\n"] {
            bounded.write_all(line.as_bytes()).unwrap();
        }
        let written = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written, "12345\nmore is not logged\n");
    }

    #[test]
    fn untrusted_text_in_a_log_line_stays_in_it() {
        let all = || EnvFilter::new("trace");
        let line = logged(|kept| Box::new(text(all(), false, move || kept.clone())));
        assert_eq!(line.lines().count(), 1, "{line:?}");
        assert!(!line.trim_end_matches('\n').contains(controls_terminal), "{line:?}");
        assert!(line.matches("forged").count() >= 6, "{line:?}");
        // The program's colours end before untrusted text begins.
        let coloured = logged(|kept| Box::new(text(all(), true, move || kept.clone())));
        assert!(coloured.contains("\u{1b}[31mERROR"), "{coloured:?}");
        assert!(!coloured.contains("\u{1b}[2J") && coloured.lines().count() == 1, "{coloured:?}");

        let line = logged(|kept| Box::new(json(all(), move || kept.clone())));
        assert!(!line.trim_end_matches('\n').contains(controls_terminal), "{line:?}");
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&object["message"], &object["shown"]), (&HOSTILE.into(), &HOSTILE.into()));
    }
}
