//! Tests of sandbox meetings with a minimal bot, made of a WebSocket and a peer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::{collections::HashMap, net::Ipv4Addr, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use meetbot_rtc::{Event, Guard, Peer};
use meetbot_sandbox::Sandbox;
use meetbot_types::{
    FailureCode, JobId, Timestamp,
    bot::{Lobby, Secret},
    sandbox::{FromBot, FromMeeting, Inspection},
};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{ClientRequestBuilder, Error, Message},
};

/// Reached only when a test fails.
const TIMEOUT: Duration = Duration::from_secs(30);

struct Bot {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    job: JobId,
}

const TOKEN: &str = "of this sandbox";

async fn sandbox() -> Sandbox {
    Sandbox::start((Ipv4Addr::LOCALHOST, 0).into(), Secret::new(TOKEN)).await.unwrap()
}

/// A request for the sandbox's WebSocket, with these headers.
fn connect_request(sandbox: &Sandbox, headers: &[(&str, &str)]) -> ClientRequestBuilder {
    let request = ClientRequestBuilder::new(sandbox.address().parse().unwrap());
    headers.iter().fold(request, |request, (name, value)| request.with_header(*name, *value))
}

impl Bot {
    async fn new(sandbox: &Sandbox) -> Self {
        let shown = format!("Bearer {TOKEN}");
        let request = connect_request(sandbox, &[("authorization", &shown)]);
        let (socket, _) = connect_async(request).await.unwrap();
        Self { socket, job: JobId::generate(Timestamp::UNIX_EPOCH) }
    }

    async fn send(&mut self, word: &FromBot) {
        self.socket.send(Message::text(serde_json::to_string(word).unwrap())).await.unwrap();
    }

    async fn receive(&mut self) -> FromMeeting {
        let next = tokio::time::timeout(TIMEOUT, self.socket.next());
        let message = next.await.unwrap().unwrap().unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }

    async fn join(&mut self, scenario: &str) -> FromMeeting {
        let (job_id, scenario) = (self.job, scenario.to_owned());
        self.send(&FromBot::Join { job_id, scenario, name: "bot".into() }).await;
        self.receive().await
    }

    /// Whether the sandbox ends the connection.
    async fn is_disconnected(&mut self) -> bool {
        let next = tokio::time::timeout(TIMEOUT, self.socket.next());
        matches!(next.await.unwrap(), None | Some(Err(_) | Ok(Message::Close(_))))
    }

    async fn inspect(&self, sandbox: &Sandbox) -> Inspection {
        let mut other = Self::new(sandbox).await;
        other.send(&FromBot::Inspect { job_id: self.job }).await;
        let FromMeeting::Inspection(inspection) = other.receive().await else { panic!() };
        inspection
    }

    /// Attends until the meeting sends a final message; returns that message, and the number of received packets by participant.
    async fn attend(&mut self) -> (FromMeeting, HashMap<String, u64>) {
        let mut peer = Peer::bind(Ipv4Addr::LOCALHOST.into(), Guard::everywhere()).unwrap();
        let mut owners = HashMap::new();
        let mut heard: HashMap<String, u64> = HashMap::new();
        loop {
            tokio::select! {
                word = self.receive() => match word {
                    FromMeeting::Offer { sdp, tracks } => {
                        owners.extend(tracks.into_iter().map(|track| (track.mid, track.participant_id)));
                        let sdp = peer.accept_offer(&sdp).unwrap();
                        self.send(&FromBot::Answer { sdp }).await;
                    }
                    FromMeeting::Ended | FromMeeting::Removed => return (word, heard),
                    _ => {}
                },
                event = peer.next() => if let Event::Frame(frame) = event.unwrap() {
                    *heard.entry(owners[&frame.track.to_string()].clone()).or_default() += 1;
                },
            }
        }
    }
}

#[tokio::test]
async fn nearly_every_packet_that_is_sent_arrives() {
    let sandbox = sandbox().await;
    let mut bot = Bot::new(&sandbox).await;
    let FromMeeting::Admitted { self_id, roster, .. } = bot.join("two-speakers?seconds=3").await
    else {
        panic!()
    };
    assert!(roster.iter().any(|person| person.id == self_id));
    let (end, heard) = bot.attend().await;
    assert_eq!(end, FromMeeting::Ended);
    let inspection = bot.inspect(&sandbox).await;
    assert_eq!((inspection.joins, inspection.sent.len()), (1, 2));
    for sent in inspection.sent {
        // A busy machine connects late; packets after that arrive.
        assert!(sent.packets >= 25, "{sent:?}");
        assert!(heard[&sent.participant_id] * 100 >= sent.packets * 99, "{sent:?} {heard:?}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn a_message_right_before_the_bot_leaves_is_kept() {
    let sandbox = sandbox().await;
    // The end of the media path may be detected before the message is read.
    for _ in 0..8 {
        let mut bot = Bot::new(&sandbox).await;
        bot.join("two-speakers?seconds=3600").await;
        let mut peer = Peer::bind(Ipv4Addr::LOCALHOST.into(), Guard::everywhere()).unwrap();
        loop {
            tokio::select! {
                word = bot.receive() => if let FromMeeting::Offer { sdp, .. } = word {
                    let sdp = peer.accept_offer(&sdp).unwrap();
                    bot.send(&FromBot::Answer { sdp }).await;
                },
                event = peer.next() => if let Event::Frame(_) = event.unwrap() {
                    break;
                },
            }
        }
        peer.close();
        bot.send(&FromBot::Chat { text: "good bye".into() }).await;
        bot.send(&FromBot::Leave).await;
        while !bot.is_disconnected().await {}
        assert_eq!(bot.inspect(&sandbox).await.chat, ["good bye"]);
    }
}

#[tokio::test]
async fn packets_of_a_later_participant_arrive() {
    let sandbox = sandbox().await;
    let mut bot = Bot::new(&sandbox).await;
    bot.join("two-speakers?seconds=15").await;
    let attending = bot.attend();
    let (_, heard) = tokio::time::timeout(TIMEOUT, attending).await.unwrap();
    // Carol is in the meeting for a third of the time, less the negotiation on a busy machine.
    assert!((150..=251).contains(&heard["p-carol"]), "{heard:?}");
}

#[tokio::test]
async fn a_rejoining_bot_enters_at_the_present_time_of_the_scenario() {
    let sandbox = sandbox().await;
    let mut first = Bot::new(&sandbox).await;
    first.join("kicked?seconds=3").await;
    let mut second = Bot::new(&sandbox).await;
    second.job = first.job;
    drop(first);
    second.join("kicked?seconds=3").await;
    let (end, heard) = second.attend().await;
    assert_eq!(end, FromMeeting::Removed);
    assert!(heard.values().all(|packets| *packets <= 150));
    let mut third = Bot::new(&sandbox).await;
    third.job = second.job;
    assert_eq!(third.join("kicked?seconds=3").await, FromMeeting::Ended);
    assert_eq!(third.inspect(&sandbox).await.joins, 2);
}

#[tokio::test]
async fn a_join_is_answered_as_the_scenario_defines() {
    let sandbox = sandbox().await;
    let waiting = FromMeeting::Lobby { lobby: Lobby::WaitingRoom };
    let mut bot = Bot::new(&sandbox).await;
    assert_eq!(bot.join("host-denies?denyAfter=1").await, waiting);
    let refused = bot.receive().await;
    assert!(matches!(refused, FromMeeting::Refused { code: FailureCode::HostDeniedAdmission, .. }));
    let mut bot = Bot::new(&sandbox).await;
    assert_eq!(bot.join("two-speakers?admitAfter=1").await, waiting);
    assert!(matches!(bot.receive().await, FromMeeting::Admitted { .. }));
    for (scenario, answer) in [
        ("nobody-admits", waiting),
        ("host-absent", FromMeeting::Lobby { lobby: Lobby::WaitingForHost }),
        ("already-ended", FromMeeting::Ended),
    ] {
        assert_eq!(Bot::new(&sandbox).await.join(scenario).await, answer, "{scenario}");
    }
    for (scenario, expected) in [
        ("no-such-meeting", FailureCode::MeetingNotFound),
        ("bad-passcode", FailureCode::AuthFailure),
        ("bot-blocked", FailureCode::BotBlocked),
        ("registration-required", FailureCode::RegistrationRequired),
        ("meeting-full", FailureCode::MeetingFull),
        ("moon-landing", FailureCode::MeetingNotFound),
    ] {
        let answer = Bot::new(&sandbox).await.join(scenario).await;
        assert!(
            matches!(answer, FromMeeting::Refused { ref code, .. } if *code == expected),
            "{scenario}"
        );
    }
}

#[tokio::test]
async fn hostile_bots_are_disconnected_and_do_not_affect_others() {
    let sandbox = sandbox().await;
    let mut good = Bot::new(&sandbox).await;
    good.join("two-speakers?seconds=2").await;
    let answer = serde_json::to_string(&FromBot::Answer { sdp: "v=0".into() }).unwrap();
    for message in [
        Message::text("not json"),
        Message::text("{}"),
        Message::binary(vec![1, 2, 3]),
        Message::text(answer.clone()),
        Message::text("x".repeat(1_000_000)),
    ] {
        let mut bot = Bot::new(&sandbox).await;
        let _ = bot.socket.send(message).await;
        assert!(bot.is_disconnected().await);
    }
    let mut bot = Bot::new(&sandbox).await;
    bot.join("two-speakers?seconds=2").await;
    bot.socket.send(Message::text(answer)).await.unwrap();
    while !matches!(bot.socket.next().await, None | Some(Err(_) | Ok(Message::Close(_)))) {}
    let (end, heard) = good.attend().await;
    assert_eq!((end, heard.len()), (FromMeeting::Ended, 2));
}

#[tokio::test]
async fn connections_without_the_token_or_from_a_web_page_are_refused() {
    let sandbox = sandbox().await;
    let good = format!("Bearer {TOKEN}");
    let page = "http://127.0.0.1:3010";
    for (headers, status) in [
        (&[][..], 401),
        (&[("authorization", "")], 401),
        (&[("authorization", "Bearer ")], 401),
        (&[("authorization", TOKEN)], 401),
        (&[("authorization", "Bearer of this sandbo")], 401),
        (&[("authorization", "Bearer of this sandbox2")], 401),
        // Every origin is refused, also the sandbox's address and `null`.
        (&[("authorization", &*good), ("origin", page)], 403),
        (&[("authorization", &*good), ("origin", "null")], 403),
        (&[("origin", "https://example.com")], 403),
    ] {
        match connect_async(connect_request(&sandbox, headers)).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status(), status, "{headers:?}"),
            other => panic!("{headers:?}: {other:?}"),
        }
    }
    let mut bot = Bot::new(&sandbox).await;
    assert!(matches!(bot.join("two-speakers").await, FromMeeting::Admitted { .. }));
}

#[tokio::test]
async fn stopping_ends_every_meeting() {
    let sandbox = sandbox().await;
    let mut bot = Bot::new(&sandbox).await;
    bot.join("silence").await;
    sandbox.stop().await;
    while !matches!(bot.socket.next().await, None | Some(Err(_) | Ok(Message::Close(_)))) {}
}
