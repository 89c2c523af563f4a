//! A hostile server that speaks the protocol of Janus.

use std::{collections::VecDeque, net::Ipv4Addr, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _, stream::SplitSink};
use meetbot_rtc::{Channel, Event, Guard, Peer};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::mpsc, time::MissedTickBehavior};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
    },
};

use super::{
    Outcome, PATIENCE, Room,
    call::{Voice, next, padded},
    flood::{Kind, SeededRandom},
};

/// The ids of the bot's handles.
const ROSTER: u64 = 2;
const MEDIA: u64 = 3;
const CHAT: u64 = 4;
/// The participant who sends audio.
const ANN: u64 = 5;
/// The first id of the flood's people.
const OTHERS: u64 = 1000;
/// People in a message.
const CROWD: u32 = 200;
/// Bytes of a text: six times as many in JSON are less than what a bot takes at once.
const TEXT_BYTES: u64 = 150_000;
/// Bytes of a line on the data channel, and how many lines are tried at once.
const LINE_BYTES: u64 = 8_000;
const LINES: u32 = 100;
/// The flood begins after so many packets of the voice.
const HEARD: u32 = 50;
const PACKET: Duration = Duration::from_millis(20);

/// Serves a bot.
pub(super) async fn meet(stream: TcpStream, room: &Arc<Room>) -> Outcome<()> {
    stream.set_nodelay(true)?;
    #[expect(clippy::result_large_err, reason = "the callback's type is given")]
    let protocol = |_: &Request, mut response: Response| {
        let name = "janus-protocol".parse().expect("it is a header's value");
        response.headers_mut().insert("Sec-WebSocket-Protocol", name);
        Ok(response)
    };
    let socket = tokio::time::timeout(PATIENCE, accept_hdr_async(stream, protocol)).await??;
    let (sink, mut stream) = socket.split();
    // A small channel: messages are generated as the bot reads them.
    let (words, queue) = mpsc::channel(2);
    let writing = tokio::spawn(write(sink, queue));
    let mut call = Call {
        room,
        voice: Voice::new()?,
        heard: 0,
        chat: None,
        due: VecDeque::new(),
        ended: false,
    };
    let mut ticks = tokio::time::interval(PACKET);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !writing.is_finished() {
        let floods = call.floods();
        tokio::select! {
            heard = stream.next() => {
                let Some(Ok(heard)) = heard else { break };
                if let Message::Text(text) = heard
                    && !call.hear(&serde_json::from_str(&text)?)?
                {
                    break;
                }
            }
            event = next(Some(&mut call.voice.peer)) => if let Event::Disconnected = event { break },
            event = next(call.chat.as_mut().map(|chat| &mut chat.peer)) => call.chat(event),
            _ = ticks.tick() => {
                call.voice.speak()?;
                call.heard += u32::from(call.voice.peer.is_connected());
                call.write_lines();
            }
            permit = words.reserve(), if floods || !call.due.is_empty() => {
                let Some(word) = call.due.pop_front().or_else(|| call.word()) else { continue };
                permit?.send(word);
            }
        }
    }
    writing.abort();
    Ok(())
}

/// Writes for as long as the bot reads.
async fn write(
    mut sink: SplitSink<WebSocketStream<TcpStream>, Message>,
    mut words: mpsc::Receiver<String>,
) {
    while let Some(word) = words.recv().await {
        if sink.send(Message::text(word)).await.is_err() {
            return;
        }
    }
}

struct Chat {
    peer: Peer,
    offer: String,
    /// The bot's own channel, once it has joined.
    channel: Option<Channel>,
}

struct Call<'a> {
    room: &'a Arc<Room>,
    voice: Voice,
    /// Packets of the voice.
    heard: u32,
    chat: Option<Chat>,
    /// The messages to send before the flood.
    due: VecDeque<String>,
    ended: bool,
}

impl Call<'_> {
    /// Whether there is something to flood with, or to end.
    fn floods(&self) -> bool {
        let on_the_channel = matches!(self.room.flood.kind, Kind::Lines) && !self.room.over();
        self.heard >= HEARD && !self.ended && !on_the_channel
    }

    /// Handles a message of the bot. Returns whether the bot stays.
    fn hear(&mut self, said: &Value) -> Outcome<bool> {
        let (transaction, body) = (&said["transaction"], &said["body"]);
        match (said["janus"].as_str(), body["request"].as_str()) {
            (Some("create"), _) => self.created(transaction, 1),
            (Some("attach"), _) => {
                let id = match transaction.as_str() {
                    Some("attach-roster") => ROSTER,
                    Some("attach-media") => MEDIA,
                    _ => CHAT,
                };
                self.created(transaction, id);
            }
            (Some("trickle"), _) => {
                let candidate = said["candidate"]["candidate"].as_str().unwrap_or_default();
                let peer = match (said["handle_id"].as_u64(), &mut self.chat) {
                    (Some(CHAT), Some(chat)) => &mut chat.peer,
                    _ => &mut self.voice.peer,
                };
                // The bot's candidates are not needed on the same machine.
                let _ = peer.add_remote_candidate(candidate);
            }
            (_, Some("join")) if body["ptype"] == "publisher" => {
                self.room.join();
                let ann = person(ANN, "Ann", true);
                let joined = json!({"videoroom": "joined", "room": 1234, "id": body["id"], "publishers": [ann]});
                self.answer(ROSTER, transaction, &joined, None);
            }
            (_, Some("join")) => {
                let stream =
                    json!({"mid": self.voice.track.to_string(), "feed_id": ANN, "feed_mid": "0"});
                let attached = json!({"videoroom": "attached", "room": 1234, "streams": [stream]});
                let offer = self.voice.offer.clone();
                self.answer(MEDIA, transaction, &attached, Some(&offer));
            }
            (_, Some("subscribe")) => {
                let refused =
                    json!({"videoroom": "event", "error_code": 428, "error": "No such feed"});
                self.answer(MEDIA, transaction, &refused, None);
            }
            (_, Some("start")) => {
                // The answer to the first offer; answers to the flood's offers are ignored.
                let sdp = said["jsep"]["sdp"].as_str().unwrap_or_default();
                let _ = self.voice.peer.accept_answer(sdp);
                let started = json!({"videoroom": "event", "started": "ok"});
                self.answer(MEDIA, transaction, &started, None);
            }
            (_, Some("setup")) => {
                let mut peer = Peer::bind(Ipv4Addr::LOCALHOST.into(), Guard::everywhere())?;
                let (_, offer) = peer.open_channel("not of the room");
                let offer = offer.ok_or("a new session has an offer")?;
                self.answer(CHAT, transaction, &json!({"textroom": "event"}), Some(&offer));
                self.chat = Some(Chat { peer, offer, channel: None });
            }
            (_, Some("ack")) => {
                let sdp = said["jsep"]["sdp"].as_str().unwrap_or_default();
                if let Some(chat) = &mut self.chat {
                    let _ = chat.peer.accept_answer(sdp);
                }
            }
            (_, Some("leave")) | (Some("destroy"), _) => return Ok(false),
            (Some("keepalive"), _) => {
                self.due.push_back(json!({"janus": "ack", "transaction": transaction}).to_string());
            }
            _ => {}
        }
        Ok(true)
    }

    fn created(&mut self, transaction: &Value, id: u64) {
        let created = json!({"janus": "success", "transaction": transaction, "data": {"id": id}});
        self.due.push_back(created.to_string());
    }

    fn answer(&mut self, handle: u64, transaction: &Value, data: &Value, offer: Option<&str>) {
        let mut answer = event(handle, data, offer);
        answer["transaction"] = transaction.clone();
        self.due.push_back(answer.to_string());
    }

    /// Something happens in the chat.
    fn chat(&mut self, event: Event) {
        let (Some(chat), Event::ChannelData { channel, data }) = (&mut self.chat, event) else {
            return;
        };
        let said: Value = serde_json::from_slice(&data).unwrap_or_default();
        if said["textroom"] == "join" {
            chat.channel = Some(channel);
            let inside = json!({"textroom": "success", "transaction": said["transaction"], "participants": []});
            let _ = chat.peer.send_text(channel, &inside.to_string());
        }
    }

    /// Writes lines for as long as the channel takes them.
    fn write_lines(&mut self) {
        if !matches!(self.room.flood.kind, Kind::Lines) || self.heard < HEARD {
            return;
        }
        let Some((chat, channel)) = self.chat.as_mut().and_then(|chat| {
            let channel = chat.channel?;
            Some((chat, channel))
        }) else {
            return;
        };
        for number in self.room.take(LINES) {
            let mut random = SeededRandom::of(&self.room.flood, number);
            let from = format!("user{}", random.below(1 << 40));
            let line = match number % 10 {
                // Each of these has a name that the bot has to store.
                0 => {
                    json!({"textroom": "join", "username": from, "display": random.text(LINE_BYTES)})
                }
                1 => json!({"textroom": "message", "from": from, "text": random.text(LINE_BYTES)}),
                _ => json!({"textroom": "message", "from": from, "text": format!("line {number}")}),
            };
            let line = line.to_string();
            self.room.sent(line.len());
            if chat.peer.send_text(channel, &line).is_err() {
                // The channel is full: refused lines are not sent again.
                return;
            }
        }
    }

    /// The next message of the flood, or the end of the meeting.
    fn word(&mut self) -> Option<String> {
        let flood = &self.room.flood;
        let at_once = if matches!(flood.kind, Kind::Joins) { CROWD } else { 1 };
        let numbers = self.room.take(at_once);
        if numbers.is_empty() {
            self.ended = true;
            return Some(
                event(ROSTER, &json!({"videoroom": "destroyed", "room": 1234}), None).to_string(),
            );
        }
        let (number, mut random) = (numbers.start, SeededRandom::of(flood, numbers.start));
        let id = OTHERS + u64::from(number);
        let room_event = |data: &Value| event(ROSTER, data, None);
        let word = match &flood.kind {
            Kind::Joins => {
                let people: Vec<Value> = numbers
                    .map(|number| {
                        person(
                            OTHERS + u64::from(number),
                            &format!("Person {number}"),
                            number % 4 == 0,
                        )
                    })
                    .collect();
                room_event(&json!({"videoroom": "event", "publishers": people}))
            }
            Kind::Leaves if number % 2 == 0 => {
                let person = person(id, random.one_of(&["Ann", "Bob", "", "Eve"]), false);
                room_event(&json!({"videoroom": "event", "joining": person}))
            }
            Kind::Leaves => room_event(&json!({"videoroom": "event", "leaving": id - 1})),
            Kind::Renames if number < 50 => {
                room_event(&json!({"videoroom": "event", "joining": person(id, "Bob", false)}))
            }
            Kind::Renames => {
                let name = format!("Bob {number}");
                room_event(
                    &json!({"videoroom": "event", "id": OTHERS + random.below(50), "display": name}),
                )
            }
            Kind::Texts => Self::text(number, &mut random),
            Kind::Candidates(trap) => {
                let candidates = trap.candidates();
                let handle = if number % 2 == 0 { MEDIA } else { CHAT };
                match number % 25 {
                    0 => {
                        let offer = padded(&self.voice.offer, 0, &candidates);
                        event(MEDIA, &json!({"videoroom": "updated"}), Some(&offer))
                    }
                    1 => trickle(
                        handle,
                        &format!("candidate:1 1 udp 1 hostile-{number}.local 9 typ host"),
                    ),
                    _ => trickle(handle, &candidates[number as usize / 2 % candidates.len()]),
                }
            }
            Kind::Talking => {
                let word = if random.below(2) == 0 { "talking" } else { "stopped-talking" };
                let id = if random.below(2) == 0 { ANN } else { random.below(1 << 50) };
                room_event(&json!({"videoroom": word, "id": id, "audio-level-dBov-avg": 30}))
            }
            Kind::Lines => return None,
            Kind::Renegotiations => {
                let bytes = if number % 10 == 0 { 400_000 } else { random.below(20_000) };
                let bytes = usize::try_from(bytes).unwrap_or(0);
                match &self.chat {
                    Some(chat) if number % 3 == 0 => event(
                        CHAT,
                        &json!({"textroom": "event"}),
                        Some(&padded(&chat.offer, bytes, &[])),
                    ),
                    _ => event(
                        MEDIA,
                        &json!({"videoroom": "updated"}),
                        Some(&padded(&self.voice.offer, bytes, &[])),
                    ),
                }
            }
        };
        let word = word.to_string();
        self.room.sent(word.len());
        Some(word)
    }

    /// A message of the largest possible size.
    fn text(number: u32, random: &mut SeededRandom) -> Value {
        let (id, text) = (OTHERS + u64::from(number), random.text(TEXT_BYTES));
        let data = match number % 6 {
            0 => json!({"videoroom": "event", "joining": person(id, &text, false)}),
            1 => json!({"videoroom": "event", "id": ANN, "display": text}),
            2 => json!({"videoroom": "event", "joining": {"id": text, "display": "Eve"}}),
            3 => json!({"videoroom": "event", "error_code": 499, "error": text}),
            4 => {
                let stream =
                    json!({"type": "audio", "mid": text, "codec": "opus", "description": text});
                json!({"videoroom": "event", "publishers": [{"id": id, "streams": [stream]}]})
            }
            _ => return trickle(MEDIA, &text),
        };
        event(ROSTER, &data, None)
    }
}

fn person(id: u64, name: &str, sends: bool) -> Value {
    let stream = json!({"type": "audio", "mid": "0", "codec": "opus"});
    let streams = if sends { vec![stream] } else { Vec::new() };
    json!({"id": id, "display": name, "streams": streams})
}

fn event(handle: u64, data: &Value, offer: Option<&str>) -> Value {
    let mut event =
        json!({"janus": "event", "session_id": 1, "sender": handle, "plugindata": {"data": data}});
    if let Some(sdp) = offer {
        event["jsep"] = json!({"type": "offer", "sdp": sdp});
    }
    event
}

fn trickle(handle: u64, candidate: &str) -> Value {
    json!({"janus": "trickle", "session_id": 1, "sender": handle, "candidate": {"candidate": candidate, "sdpMLineIndex": 0}})
}
