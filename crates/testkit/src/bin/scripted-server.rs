//! `scripted-server [SCRIPT.json]`: HTTP servers that answer as scripts say, for tests in any language, until the standard input ends.

use std::{
    env, fs,
    io::{self, Read as _, Write as _},
    process::ExitCode,
};

use meetbot_testkit::scripted::commands;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "scripted-server: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let mut arguments = env::args_os().skip(1);
    let first = match (arguments.next(), arguments.next()) {
        (None, _) => String::new(),
        (Some(script), None) => {
            let wrong = |error| io::Error::other(format!("{}: {error}", script.display()));
            let text = fs::read_to_string(&script).map_err(wrong)?;
            let script: serde_json::Value =
                serde_json::from_str(&text).map_err(|error| wrong(error.into()))?;
            format!("{}\n", serde_json::json!({ "start": script }))
        }
        _ => return Err(io::Error::other("usage: scripted-server [SCRIPT.json]")),
    };
    commands::run(io::BufReader::new(first.as_bytes().chain(io::stdin())), io::stdout())
}
