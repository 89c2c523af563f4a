//! The program's log on standard error: lines for people or JSON for programs, in which no text of strangers steers a terminal or forges a line.

#![expect(clippy::print_stderr, reason = "a panic is printed where the log is")]

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal as _, Write},
};

use meetbot_orchestrator::config::LogFormat;
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter,
    field::MakeExt as _,
    fmt::{FormatFields, MakeWriter, format},
    util::SubscriberInitExt as _,
};

use crate::text::{escaped, message, plain};

/// Starts it; `MEETBOT_LOG` says how much is logged (`debug`, `meetbot_orchestrator=debug,warn`). A second one in one process is refused; the first one goes on.
pub(crate) fn start(default: &str, format: LogFormat) {
    let filter = EnvFilter::builder().with_env_var("MEETBOT_LOG").try_from_env();
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(default));
    let _ = match format {
        LogFormat::Text => {
            std::panic::set_hook(Box::new(|panic| {
                eprintln!("{}", message(&panic.to_string()));
                let trace = Backtrace::capture();
                if trace.status() == BacktraceStatus::Captured {
                    eprintln!("{trace}");
                }
            }));
            text(filter, io::stderr().is_terminal(), io::stderr).try_init()
        }
        LogFormat::Json => {
            // Rust's own words about a panic are no JSON.
            std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a bug")));
            json(filter, io::stderr).try_init()
        }
    };
}

/// A line for each event. `colours` are the program's own escape sequences, around its own words.
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

/// An object for each event, on a line of its own.
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
    /// Takes whole lines: that is how the logger writes.
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
    use crate::text::steers;

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

    /// What is logged when strangers' text is in everything that can hold any.
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
    fn strangers_text_in_a_log_line_stays_in_it() {
        let all = || EnvFilter::new("trace");
        let line = logged(|kept| Box::new(text(all(), false, move || kept.clone())));
        assert_eq!(line.lines().count(), 1, "{line:?}");
        assert!(!line.trim_end_matches('\n').contains(steers), "{line:?}");
        assert!(line.matches("forged").count() >= 6, "{line:?}");
        // The program's own colours end before anybody else's words begin.
        let coloured = logged(|kept| Box::new(text(all(), true, move || kept.clone())));
        assert!(coloured.contains("\u{1b}[31mERROR"), "{coloured:?}");
        assert!(!coloured.contains("\u{1b}[2J") && coloured.lines().count() == 1, "{coloured:?}");

        let line = logged(|kept| Box::new(json(all(), move || kept.clone())));
        assert!(!line.trim_end_matches('\n').contains(steers), "{line:?}");
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&object["message"], &object["shown"]), (&HOSTILE.into(), &HOSTILE.into()));
    }
}
