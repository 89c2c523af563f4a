//! One connection of a bot, from its handshake to its end.

use futures_util::{SinkExt as _, StreamExt as _};
use meetbot_types::signature::hmac_sha256;
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::mpsc};
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};

use super::{CUT, Line, Out, SIGNALLING, Shared};

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Serves a bot, which may disconnect at any time.
pub(super) async fn serve(bot: TlsStream<TcpStream>, shared: &Shared) {
    let Ok(mut socket) = accept_async(bot).await else { return };
    let Some(first) = next(&mut socket).await else { return };
    let (sender, mut out) = mpsc::unbounded_channel();
    let Some(line) = handshake(&mut socket, &first, &sender, shared).await else { return };
    shared.changed();
    loop {
        tokio::select! {
            word = out.recv() => match word {
                Some(Out::Say(word)) => {
                    if socket.send(Message::text(word.to_string())).await.is_err() {
                        break;
                    }
                }
                Some(Out::Cut) | None => break,
            },
            word = next(&mut socket) => match word {
                Some(word) => hear(line, word, shared),
                None => break,
            },
        }
    }
    let mut state = shared.state();
    if state.ready.get(&line).is_some_and(|ready| ready.same_channel(&sender)) {
        state.ready.remove(&line);
    }
    state.waiting.retain(|(_, waiting)| !waiting.same_channel(&sender));
    drop(state);
    shared.changed();
}

async fn next(socket: &mut Socket) -> Option<Value> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return serde_json::from_str(&text).ok(),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// Answers the first message; `None` where the connection is refused.
async fn handshake(
    socket: &mut Socket,
    first: &Value,
    sender: &mpsc::UnboundedSender<Out>,
    shared: &Shared,
) -> Option<Line> {
    let (line, answer) = match first["msg_type"].as_u64() {
        Some(1) => (SIGNALLING, 2),
        Some(3) => (first["media_type"].as_u64().unwrap_or(0), 4),
        _ => {
            shared.state().faults.push(format!("no handshake comes first: {first}"));
            return None;
        }
    };
    shared.when(|state| !state.held.contains(&line)).await;
    let stream = &shared.stream;
    let signed = format!("{},{},{}", stream.client_id, stream.meeting_uuid, stream.stream_id);
    let signature = hmac_sha256(stream.client_secret.as_bytes(), signed.as_bytes());
    let known = first["meeting_uuid"] == stream.meeting_uuid.as_str()
        && first["rtms_stream_id"] == stream.stream_id.as_str();
    let refusal =
        shared.state().refusals.get_mut(&line).and_then(std::collections::VecDeque::pop_front);
    let status = match refusal {
        Some(CUT) => return None,
        Some(status) => status,
        None if !known || shared.state().closed => 40,
        None if first["signature"] != signature.as_str() => 3,
        None => 0,
    };
    if line != SIGNALLING && first["media_params"].as_object().is_none_or(serde_json::Map::is_empty)
    {
        shared.state().faults.push(format!("media are asked for without parameters: {first}"));
    }
    let mut word = json!({
        "msg_type": answer, "protocol_version": 1, "sequence": first["sequence"],
        "status_code": status, "reason": "", "a_field_of_later": {"x": [1]},
    });
    if line == SIGNALLING && status == 0 {
        let all = format!("wss://{}:{}/media", shared.host, shared.port);
        word["media_server"] = json!({ "server_urls": { "all": all } });
    }
    if status == 0 {
        // Before the answer: with it the bot may report on signalling that it is ready.
        let mut state = shared.state();
        *state.handshakes.entry(line).or_default() += 1;
        if line == SIGNALLING {
            state.ready.insert(line, sender.clone());
        } else {
            state.waiting.push((line, sender.clone()));
        }
    }
    // A connection that is gone already is removed when the next message is awaited.
    let sent = socket.send(Message::text(word.to_string())).await;
    if status == 0 {
        return Some(line);
    }
    sent.ok()?;
    let _ = socket.close(None).await;
    None
}

/// Handles a message of the bot after its handshake.
fn hear(line: Line, word: Value, shared: &Shared) {
    let mut state = shared.state();
    // The bot is ready: media flow on all connections that have done their handshake.
    if line == SIGNALLING && word["msg_type"] == 7 {
        if state.handshakes.keys().all(|line| *line == SIGNALLING) {
            state.faults.push("the bot is ready before a media handshake".to_owned());
        }
        for (media, out) in std::mem::take(&mut state.waiting) {
            for word in state.said.get(&media).into_iter().flatten() {
                let _ = out.send(Out::Say(word.clone()));
            }
            state.ready.insert(media, out);
        }
    }
    if line == SIGNALLING && word["msg_type"] == 21 {
        state.closed = true;
        let terminated = json!({"msg_type": 8, "state": 4, "reason": 20});
        if let Some(out) = state.ready.get(&SIGNALLING) {
            let _ = out.send(Out::Say(terminated));
        }
    }
    if line != SIGNALLING && word["msg_type"] != 13 {
        state.faults.push(format!("said on a media connection: {word}"));
    }
    state.heard.push((line, word));
    drop(state);
    shared.changed();
}
