//! People in a Janus room: each sends with our `rtc`, as a browser would.

use std::{collections::VecDeque, path::PathBuf, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use meetbot_rtc::{AudioPacket, Channel, Event, Guard, Kind, Peer, Picture, TrackId};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{ClientRequestBuilder, Message},
};
use xtask::janus::{Janus, ROOM, SECRET};

use super::media::{Frames, Pictures};

/// Reached only when a test fails.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The duration of one step of sending.
const PACKET: Duration = Duration::from_millis(20);
/// Delayed packets are sent in portions of this many steps, so that no socket of the test overflows.
const PORTION: usize = 40;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A conversation with Janus.
pub(crate) struct Line {
    socket: Socket,
    session: Option<u64>,
    next: u32,
}

impl Line {
    pub(crate) async fn open(address: &str) -> Self {
        let request = ClientRequestBuilder::new(format!("ws://{address}/").parse().unwrap())
            .with_sub_protocol("janus-protocol");
        let (socket, _) = connect_async(request).await.unwrap();
        let mut line = Self { socket, session: None, next: 0 };
        line.session = line.ask(json!({"janus": "create"})).await["data"]["id"].as_u64();
        line
    }

    pub(crate) async fn attach(&mut self, plugin: &str) -> u64 {
        let plugin = format!("janus.plugin.{plugin}");
        self.ask(json!({"janus": "attach", "plugin": plugin})).await["data"]["id"].as_u64().unwrap()
    }

    pub(crate) async fn request(&mut self, handle: u64, body: Value, jsep: Option<Value>) -> Value {
        let mut message = json!({"janus": "message", "handle_id": handle, "body": body});
        if let Some(jsep) = jsep {
            message["jsep"] = jsep;
        }
        self.ask(message).await
    }

    /// Sends a request, and waits for the answer; other messages are ignored.
    async fn ask(&mut self, mut message: Value) -> Value {
        self.next += 1;
        let transaction = format!("t{}", self.next);
        message["transaction"] = transaction.as_str().into();
        if let Some(session) = self.session {
            message["session_id"] = session.into();
        }
        self.socket.send(Message::text(message.to_string())).await.unwrap();
        let answered = async {
            loop {
                let heard = self.hear().await.unwrap_or_else(|| panic!("no answer to {message}"));
                if heard["transaction"] == transaction.as_str() && heard["janus"] != "ack" {
                    return heard;
                }
            }
        };
        tokio::time::timeout(TIMEOUT, answered).await.expect("Janus answers in time")
    }

    async fn hear(&mut self) -> Option<Value> {
        while let Some(Ok(message)) = self.socket.next().await {
            if let Message::Text(text) = message {
                return Some(serde_json::from_str(&text).unwrap());
            }
        }
        None
    }

    async fn keep_alive(&mut self) {
        let message = json!({"janus": "keepalive", "session_id": self.session, "transaction": "k"});
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }
}

/// The media of a person.
#[derive(Clone, Default)]
pub(crate) struct Sends {
    pub(crate) voice: Option<Frames>,
    pub(crate) camera: Option<Pictures>,
    pub(crate) screen: Option<Pictures>,
    /// The path, without its extension, to which Janus records it.
    pub(crate) record: Option<PathBuf>,
}

enum PersonCommand {
    Mute(bool),
    /// For this many steps.
    Delay(u64),
    Stall(u64),
    Turn(u16),
    Leave,
    Vanish,
}

/// A person who sends in the room.
pub(crate) struct Person {
    /// How many packets of the voice were sent so far.
    packets: watch::Receiver<u64>,
    orders: mpsc::UnboundedSender<PersonCommand>,
    task: JoinHandle<()>,
}

impl Person {
    /// Joins and sends; it returns once the media path is up.
    pub(crate) async fn join(janus: &Janus, room: u64, name: &str, sends: Sends) -> Self {
        let mut line = Line::open(&janus.address()).await;
        let handle = line.attach("videoroom").await;
        let mut peer = Peer::bind(janus.near().parse().unwrap(), Guard::everywhere()).unwrap();
        let join = json!({"request": "join", "ptype": "publisher", "room": room, "display": name, "pin": xtask::janus::PIN});
        let joined = line.request(handle, join, None).await;
        assert_eq!(joined["plugindata"]["data"]["videoroom"], "joined", "{joined}");
        let mut kinds = vec![(Kind::Audio, name.to_owned())];
        kinds.extend(sends.camera.iter().map(|_| (Kind::Video, format!("{name}-camera"))));
        kinds.extend(sends.screen.iter().map(|_| (Kind::Video, format!("{name}-screen"))));
        let (tracks, offer) = peer.offer(&kinds).unwrap();
        let mut descriptions = Vec::new();
        if sends.screen.is_some() {
            let mid = tracks.last().unwrap().to_string();
            descriptions.push(json!({"mid": mid, "description": "shared screen"}));
        }
        let mut publish = json!({"request": "publish", "descriptions": descriptions});
        if let Some(path) = &sends.record {
            publish["record"] = true.into();
            publish["filename"] = path.to_str().into();
        }
        let jsep = json!({"type": "offer", "sdp": offer});
        let answer = line.request(handle, publish, Some(jsep)).await;
        let answer = answer["jsep"]["sdp"].as_str().unwrap_or_else(|| panic!("{answer}"));
        peer.accept_answer(answer).unwrap();
        while !peer.is_connected() {
            tokio::time::timeout(TIMEOUT, peer.next()).await.expect("the path comes up").unwrap();
        }
        let (orders, heard) = mpsc::unbounded_channel();
        let (count, packets) = watch::channel(0);
        let films = sends.camera.into_iter().chain(sends.screen);
        let sending = Sending {
            line,
            handle,
            peer,
            voice: tracks[0],
            films: tracks[1..].iter().copied().zip(films).map(Film::new).collect(),
            sound: sends.voice,
            count,
            muted: false,
            due: VecDeque::new(),
            delayed_until: 0,
            stalled_until: 0,
            stood: 0,
            rotation: 0,
        };
        Self { packets, orders, task: tokio::spawn(sending.run(heard)) }
    }

    /// How many packets of the voice were sent so far.
    pub(crate) fn packets(&self) -> u64 {
        *self.packets.borrow()
    }

    /// Waits until this many packets of the voice were sent.
    pub(crate) async fn sent(&self, packets: u64) {
        let mut counted = self.packets.clone();
        let enough = counted.wait_for(|count| *count >= packets);
        tokio::time::timeout(TIMEOUT, enough).await.expect("they send").unwrap();
    }

    /// Stops or resumes audio.
    pub(crate) fn mute(&self, mute: bool) {
        self.orders.send(PersonCommand::Mute(mute)).unwrap();
    }

    /// Delays all packets for this time, then sends them in a burst.
    pub(crate) fn delay_packets(&self, time: Duration) {
        self.orders.send(PersonCommand::Delay(steps(time))).unwrap();
    }

    /// Stalls the microphone and its clock; the cameras continue.
    pub(crate) fn stall_microphone(&self, time: Duration) {
        self.orders.send(PersonCommand::Stall(steps(time))).unwrap();
    }

    /// Sets the rotation of the cameras' pictures: by how many degrees clockwise they must be rotated for display.
    pub(crate) fn turn(&self, rotation: u16) {
        self.orders.send(PersonCommand::Turn(rotation)).unwrap();
    }

    /// Leaves the room.
    pub(crate) async fn leave(self) {
        self.orders.send(PersonCommand::Leave).unwrap();
        self.task.await.unwrap();
    }

    /// Disconnects without leaving.
    pub(crate) async fn vanish(self) {
        // The meeting may have ended already.
        let _ = self.orders.send(PersonCommand::Vanish);
        self.task.await.unwrap();
    }
}

fn steps(time: Duration) -> u64 {
    (time.as_millis() / PACKET.as_millis()).try_into().unwrap()
}

struct Sending {
    line: Line,
    handle: u64,
    peer: Peer,
    voice: TrackId,
    sound: Option<Frames>,
    films: Vec<Film>,
    count: watch::Sender<u64>,
    muted: bool,
    /// Delayed steps, and up to which step they are delayed.
    due: VecDeque<u64>,
    delayed_until: u64,
    /// Up to which step the microphone stalls, and for how many it has.
    stalled_until: u64,
    stood: u64,
    /// In degrees.
    rotation: u16,
}

/// A video that is sent.
struct Film {
    track: TrackId,
    pictures: Pictures,
    next: usize,
}

impl Film {
    fn new((track, pictures): (TrackId, Pictures)) -> Self {
        Self { track, pictures, next: 0 }
    }
}

impl Sending {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<PersonCommand>) {
        let mut ticks = tokio::time::interval(PACKET);
        let mut keepalive = tokio::time::interval(Duration::from_secs(20));
        let mut number = 0;
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(PersonCommand::Mute(mute)) => self.muted = mute,
                    Some(PersonCommand::Delay(steps)) => self.delayed_until = number + steps,
                    Some(PersonCommand::Stall(steps)) => self.stalled_until = number + steps,
                    Some(PersonCommand::Turn(rotation)) => self.rotation = rotation,
                    Some(PersonCommand::Leave) => {
                        self.line.request(self.handle, json!({"request": "leave"}), None).await;
                        self.peer.close();
                        return;
                    }
                    Some(PersonCommand::Vanish) | None => return,
                },
                event = self.peer.next() => if let Event::KeyframeWanted { track } = event.unwrap() {
                    let film = self.films.iter_mut().find(|film| film.track == track).unwrap();
                    if film.pictures.restarts {
                        film.next = 0;
                    }
                },
                _ = ticks.tick() => {
                    self.due.push_back(number);
                    number += 1;
                    let portion = if number > self.delayed_until { PORTION } else { 0 };
                    for _ in 0..portion.min(self.due.len()) {
                        let due = self.due.pop_front().unwrap();
                        self.send(due);
                    }
                }
                _ = keepalive.tick() => self.line.keep_alive().await,
                heard = self.line.hear() => if heard.is_none() { return },
            }
        }
    }

    /// Sends the media of the `number`th step of 20 ms.
    fn send(&mut self, number: u64) {
        if !self.peer.is_connected() {
            return;
        }
        for film in self.films.iter_mut().filter(|_| number.is_multiple_of(2)) {
            let frames = &film.pictures.frames;
            let picture = Picture {
                rtp_time: 90_000 + number * 1_800,
                rotation: Some(self.rotation),
                data: Arc::clone(&frames[film.next % frames.len()]),
            };
            film.next += 1;
            self.peer.send_picture(film.track, &picture).unwrap();
        }
        if number < self.stalled_until {
            self.stood += 1;
            return;
        }
        let number = number - self.stood;
        let Some(voice) = self.sound.as_ref().filter(|_| !self.muted) else { return };
        let data = Arc::clone(&voice[usize::try_from(number).unwrap() % voice.len()]);
        let packet =
            AudioPacket { rtp_time: 48_000 + number * 960, level_dbov: -20, voice: true, data };
        self.peer.send_audio(self.voice, &packet).unwrap();
        self.count.send_modify(|count| *count += 1);
    }
}

/// A person in the chat.
pub(crate) struct Writer {
    said: mpsc::UnboundedSender<String>,
    heard: watch::Receiver<Vec<Value>>,
}

impl Writer {
    /// Joins; it returns once the person can write.
    pub(crate) async fn join(janus: &Janus, name: &str) -> Self {
        let mut line = Line::open(&janus.address()).await;
        let handle = line.attach("textroom").await;
        let mut peer = Peer::answering(janus.near().parse().unwrap(), Guard::everywhere());
        let offer = line.request(handle, json!({"request": "setup"}), None).await;
        let answer = peer.accept_offer(offer["jsep"]["sdp"].as_str().unwrap()).unwrap();
        let _ = peer.open_channel("JanusDataChannel");
        let jsep = json!({"type": "answer", "sdp": answer});
        line.request(handle, json!({"request": "ack"}), Some(jsep)).await;
        let (said, to_say) = mpsc::unbounded_channel();
        let (note, mut heard) = watch::channel(Vec::new());
        let join = json!({"textroom": "join", "transaction": "j", "room": ROOM, "username": format!("u-{name}"), "display": name});
        tokio::spawn(chat(line, peer, join, to_say, note));
        let inside = heard.wait_for(|words| words.iter().any(|word| word["textroom"] == "success"));
        tokio::time::timeout(TIMEOUT, inside).await.expect("the chat opens").unwrap();
        Self { said, heard }
    }

    pub(crate) fn say(&self, text: &str) {
        let message =
            json!({"textroom": "message", "transaction": "m", "room": ROOM, "text": text});
        self.said.send(message.to_string()).unwrap();
    }

    /// Waits for the message `text`; returns its sender's display name.
    pub(crate) async fn reads(&mut self, text: &str) -> String {
        let wanted = |word: &Value| word["textroom"] == "message" && word["text"] == text;
        let read = self.heard.wait_for(|words| words.iter().any(wanted));
        let words = tokio::time::timeout(TIMEOUT, read).await.expect("it is written").unwrap();
        words.iter().find(|word| wanted(word)).unwrap()["from"].as_str().unwrap().to_owned()
    }
}

async fn chat(
    _line: Line,
    mut peer: Peer,
    join: Value,
    mut to_say: mpsc::UnboundedReceiver<String>,
    note: watch::Sender<Vec<Value>>,
) {
    let mut open: Option<Channel> = None;
    loop {
        tokio::select! {
            event = peer.next() => match event.unwrap() {
                Event::ChannelOpen { channel, .. } => {
                    open = Some(channel);
                    peer.send_text(channel, &join.to_string()).unwrap();
                }
                Event::ChannelData { data, .. } => {
                    note.send_modify(|words| words.push(serde_json::from_slice(&data).unwrap()));
                }
                _ => {}
            },
            said = to_say.recv() => match (said, open) {
                (Some(text), Some(channel)) => peer.send_text(channel, &text).unwrap(),
                _ => return,
            },
        }
    }
}

/// The room's owner kicks a person.
pub(crate) async fn kick(janus: &Janus, room: u64, id: &Value) {
    owner(janus, json!({"request": "kick", "room": room, "id": id, "secret": SECRET})).await;
}

/// The room's owner closes it.
pub(crate) async fn close(janus: &Janus, room: u64) {
    owner(janus, json!({"request": "destroy", "room": room, "secret": SECRET})).await;
}

/// The participants in the room, as Janus lists them.
pub(crate) async fn present(janus: &Janus, room: u64) -> Vec<Value> {
    let listed = owner(janus, json!({"request": "listparticipants", "room": room})).await;
    listed["plugindata"]["data"]["participants"].as_array().unwrap().clone()
}

async fn owner(janus: &Janus, request: Value) -> Value {
    let mut line = Line::open(&janus.address()).await;
    let handle = line.attach("videoroom").await;
    line.request(handle, request, None).await
}
