//! A hostile server that speaks the sandbox's protocol.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use meetbot_rtc::Event;
use meetbot_types::{
    bot::{Participant, RecordingRule},
    sandbox::{FromBot, FromMeeting, TrackOwner},
};
use tokio::{net::TcpStream, sync::mpsc, time::MissedTickBehavior};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async, connect_async,
    tungstenite::{
        Message,
        client::IntoClientRequest as _,
        handshake::server::{Request, Response},
        http::{HeaderValue, header::AUTHORIZATION},
    },
};

use super::{
    Outcome, PATIENCE, Room,
    call::{Voice, next, padded},
    flood::{Kind, SeededRandom},
};

/// The ids of the bot and of the participant who sends audio.
const BOT: &str = "p-meetbot";
const ANN: &str = "p-ann";
/// Bytes of a text: six times as many in JSON are less than what a bot takes at once.
const TEXT_BYTES: u64 = 40_000;
/// The flood begins after so many packets of the voice.
const HEARD: u32 = 50;
const PACKET: Duration = Duration::from_millis(20);

/// Serves a bot, or passes its connection on.
pub(super) async fn meet(stream: TcpStream, rooms: &[Arc<Room>], good: &str) -> Outcome<()> {
    stream.set_nodelay(true)?;
    let mut shown = None;
    #[expect(clippy::result_large_err, reason = "the callback's type is given")]
    let note = |request: &Request, response: Response| {
        shown = request.headers().get(AUTHORIZATION).cloned();
        Ok(response)
    };
    let mut bot = tokio::time::timeout(PATIENCE, accept_hdr_async(stream, note)).await??;
    let first = tokio::time::timeout(PATIENCE, bot.next()).await?.ok_or("it goes at once")??;
    let room = match serde_json::from_str(first.to_text()?)? {
        FromBot::Join { name, .. } => {
            rooms.iter().find(|room| room.flood.kind.victim() == name).map(|room| (room, name))
        }
        _ => None,
    };
    match room {
        Some((room, name)) => {
            room.join();
            serve_bot(bot, name, room).await
        }
        None => pass(bot, first, good, shown).await,
    }
}

/// Passes messages between a bot and a good sandbox.
async fn pass(
    mut bot: WebSocketStream<TcpStream>,
    first: Message,
    good: &str,
    shown: Option<HeaderValue>,
) -> Outcome<()> {
    let mut request = good.into_client_request()?;
    // The sandbox asks each bot for a token.
    request.headers_mut().extend(shown.map(|shown| (AUTHORIZATION, shown)));
    let (mut sandbox, _) = connect_async(request).await?;
    sandbox.send(first).await?;
    loop {
        tokio::select! {
            said = bot.next() => match said {
                Some(Ok(said)) => sandbox.send(said).await?,
                _ => return Ok(()),
            },
            said = sandbox.next() => match said {
                Some(Ok(said)) => bot.send(said).await?,
                _ => return Ok(()),
            },
        }
    }
}

async fn serve_bot(bot: WebSocketStream<TcpStream>, name: String, room: &Arc<Room>) -> Outcome<()> {
    let mut voice = Voice::new()?;
    let (mut sink, mut stream) = bot.split();
    let me = Participant { id: BOT.to_owned(), name, is_host: false, is_bot: true };
    let (self_id, recording) = (BOT.to_owned(), RecordingRule::Free);
    let roster = vec![me, person(ANN.to_owned(), "Ann".to_owned())];
    for word in
        [FromMeeting::Admitted { self_id, roster, recording }, offer(&voice, voice.offer.clone())]
    {
        sink.send(Message::text(serde_json::to_string(&word)?)).await?;
    }
    // A small channel: messages are generated as the bot reads them.
    let (words, mut queue) = mpsc::channel::<String>(2);
    let writing = tokio::spawn(async move {
        while let Some(word) = queue.recv().await {
            if sink.send(Message::text(word)).await.is_err() {
                return;
            }
        }
    });
    let (mut heard, mut ended) = (0, false);
    let mut ticks = tokio::time::interval(PACKET);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !writing.is_finished() {
        tokio::select! {
            said = stream.next() => {
                let Some(Ok(said)) = said else { break };
                match serde_json::from_str(said.to_text().unwrap_or_default()) {
                    // Answers to the flood's offers are ignored.
                    Ok(FromBot::Answer { sdp }) => drop(voice.peer.accept_answer(&sdp)),
                    Ok(FromBot::Leave) => break,
                    _ => {}
                }
            }
            event = next(Some(&mut voice.peer)) => if let Event::Disconnected = event { break },
            _ = ticks.tick() => {
                voice.speak()?;
                heard += u32::from(voice.peer.is_connected());
            }
            permit = words.reserve(), if heard >= HEARD && !ended => {
                let word = word(room, &voice).unwrap_or_else(|| {
                    ended = true;
                    FromMeeting::Ended
                });
                let word = serde_json::to_string(&word)?;
                room.sent(word.len());
                permit?.send(word);
            }
        }
    }
    writing.abort();
    Ok(())
}

/// The next message of the flood; `None` when it is over.
fn word(room: &Room, voice: &Voice) -> Option<FromMeeting> {
    let number = room.take(1).next()?;
    let mut random = SeededRandom::of(&room.flood, number);
    let id = format!("p-{number}");
    let joins = |participant| FromMeeting::ParticipantJoined { participant };
    Some(match &room.flood.kind {
        Kind::Joins => joins(person(id, format!("Person {number}"))),
        Kind::Leaves if number % 2 == 0 => {
            joins(person(id, random.one_of(&["Ann", "Bob", "", "Eve"]).to_owned()))
        }
        Kind::Leaves => FromMeeting::ParticipantLeft { id: format!("p-{}", number - 1) },
        Kind::Renames => joins(person(format!("p-{}", number % 50), format!("Bob {number}"))),
        Kind::Texts => match number % 4 {
            0 => joins(person(id, random.text(TEXT_BYTES))),
            1 => joins(person(random.text(TEXT_BYTES), "Eve".to_owned())),
            2 => FromMeeting::Chat {
                id: random.text(TEXT_BYTES / 4),
                sender_id: random.text(TEXT_BYTES / 4),
                sender: random.text(TEXT_BYTES / 4),
                text: random.text(TEXT_BYTES / 4),
                private: false,
            },
            _ => caption(random.text(TEXT_BYTES)),
        },
        Kind::Candidates(trap) => offer(voice, padded(&voice.offer, 0, &trap.candidates())),
        Kind::Talking => caption(format!("word {number}")),
        Kind::Lines => FromMeeting::Chat {
            id,
            sender_id: format!("p-{}", random.below(1 << 40)),
            sender: "Eve".to_owned(),
            text: format!("line {number}"),
            private: number % 2 == 0,
        },
        Kind::Renegotiations => {
            let bytes = if number % 10 == 0 { 200_000 } else { random.below(20_000) };
            offer(voice, padded(&voice.offer, usize::try_from(bytes).unwrap_or(0), &[]))
        }
    })
}

fn person(id: String, name: String) -> Participant {
    Participant { id, name, is_host: false, is_bot: false }
}

fn caption(text: String) -> FromMeeting {
    let (speaker_id, speaker) = (ANN.to_owned(), "Ann".to_owned());
    FromMeeting::Caption { speaker_id, speaker, began_ms_ago: 1, text }
}

fn offer(voice: &Voice, sdp: String) -> FromMeeting {
    let owner = TrackOwner { mid: voice.track.to_string(), participant_id: ANN.to_owned() };
    FromMeeting::Offer { sdp, tracks: vec![owner] }
}
