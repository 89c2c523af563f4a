//! Scripted servers for tests in other languages: a JSON line for each command, and one for each answer and report.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Write},
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ConnectionEvent, Request, Script, Server, script::Bytes};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Command {
    /// Starts a server; its number and its URL are the answer.
    Start(Script),
    /// Sends bytes over the connection that relays.
    Send { server: u64, bytes: Bytes },
    /// Stops a server.
    Stop { server: u64 },
    /// Is answered after everything that happened before has been reported.
    Flush {},
}

/// Carries out the commands of `input` until it ends.
///
/// Each is answered in its turn with `{"done": …}`, or with `{"error": TEXT}`. What happens at the servers is reported in between
/// with `{"event": "opened" | "asked" | "closed", "server": NUMBER, "connection": NUMBER}`; `asked` has the `request` beside it
/// (`line`, `headers` as pairs in their order with names in lower case, `body`), and `closed` whether it was `byClient`.
/// A request is reported before it is answered.
///
/// # Errors
/// When `output` is closed, or `input` cannot be read.
pub fn run(input: impl BufRead, output: impl Write + Send + 'static) -> io::Result<()> {
    let output = Arc::new(Mutex::new(output));
    let mut servers = BTreeMap::new();
    for (line, number) in input.lines().zip(1..) {
        let answer = match carry_out(&line?, number, &mut servers, &output) {
            Ok(done) => json!({ "done": done }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        write(&output, &answer)?;
    }
    Ok(())
}

fn carry_out(
    line: &str,
    number: u64,
    servers: &mut BTreeMap<u64, Server>,
    output: &Arc<Mutex<impl Write + Send + 'static>>,
) -> io::Result<Value> {
    let unknown = |number: u64| io::Error::other(format!("there is no server {number}"));
    match serde_json::from_str(line)? {
        Command::Start(script) => {
            let output = Arc::clone(output);
            // A reader that has gone away wants no reports.
            let report = move |event| drop(write(&output, &report(number, event)));
            let server = Server::observed(script, report)?;
            let done = json!({ "server": number, "url": server.url() });
            servers.insert(number, server);
            return Ok(done);
        }
        Command::Send { server, bytes: Bytes(bytes) } => {
            servers.get(&server).ok_or_else(|| unknown(server))?.send(&bytes);
        }
        Command::Stop { server } => {
            servers.remove(&server).ok_or_else(|| unknown(server))?.stop();
        }
        Command::Flush {} => {}
    }
    Ok(json!({}))
}

fn report(server: u64, event: ConnectionEvent) -> Value {
    match event {
        ConnectionEvent::Opened(connection) => {
            json!({ "happened": "opened", "server": server, "connection": connection })
        }
        ConnectionEvent::Requested(connection, Request { line, headers, body }) => {
            let body = String::from_utf8(body).map_or_else(
                |error| json!({ "base64": BASE64_STANDARD.encode(error.as_bytes()) }),
                Value::String,
            );
            let request = json!({ "line": line, "headers": headers, "body": body });
            json!({ "happened": "asked", "server": server, "connection": connection, "request": request })
        }
        ConnectionEvent::Closed { connection, by_client } => {
            json!({ "happened": "closed", "server": server, "connection": connection, "byClient": by_client })
        }
    }
}

fn write(output: &Mutex<impl Write>, line: &Value) -> io::Result<()> {
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(output, "{line}")?;
    output.flush()
}
