//! Tests with a meeting's server that does not read: media are still recorded, and every command has a result.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use meetbot_rtc::{AudioPacket, Guard, Kind, Peer};
use meetbot_types::{
    ControlAction, ControlState, JobStatus,
    bot::{BotOrder, BotReport, Participant, RecordingRule, SandboxSeat},
    sandbox::{FromBot, FromMeeting, TrackOwner},
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{Notify, watch},
};
use tokio_tungstenite::{accept_async, tungstenite::Message};

use crate::orchestrator::{Fixture, Running, TIMEOUT, command, ended};

/// More than the buffers of a connection on loopback (at most 4 MiB by default) and what a bot keeps (4 MiB).
const CHATS: u64 = 128;
const CHAT_BYTES: usize = 128 << 10;
const PACKET: Duration = Duration::from_millis(20);

/// A meeting whose server does not read.
struct UnresponsiveMeeting {
    address: String,
    /// How many packets of Ann's voice were sent.
    sent: watch::Receiver<u64>,
    /// Closes the connection.
    hangs_up: Arc<Notify>,
}

impl UnresponsiveMeeting {
    fn open() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = format!("ws://{}", listener.local_addr().unwrap());
        let (sent, sending) = watch::channel(0);
        let hangs_up = Arc::new(Notify::new());
        let until = Arc::clone(&hangs_up);
        tokio::spawn(async move {
            tokio::select! {
                () = meet(listener, sent) => {}
                () = until.notified() => {}
            }
        });
        Self { address, sent: sending, hangs_up }
    }

    fn order(&self, fixture: &Fixture) -> BotOrder {
        let order = fixture.order(1, "two-speakers");
        let address = self.address.clone();
        let seat = SandboxSeat { address, scenario: "two-speakers".to_owned(), token: None };
        BotOrder { sandbox: Some(seat), ..order }
    }

    /// Waits until this many more packets were sent.
    async fn speaks(&mut self, packets: u64) {
        let until = *self.sent.borrow() + packets;
        let spoken = self.sent.wait_for(|sent| *sent >= until);
        tokio::time::timeout(TIMEOUT, spoken).await.expect("Ann speaks").unwrap();
    }
}

/// Admits the bot, and then only sends Ann's voice.
async fn meet(listener: TcpListener, sent: watch::Sender<u64>) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut bot = accept_async(stream).await.unwrap();
    bot.next().await.unwrap().unwrap();
    let mut peer = Peer::bind(Ipv4Addr::LOCALHOST.into(), Guard::everywhere()).unwrap();
    let (tracks, sdp) = peer.offer(&[(Kind::Audio, "ann".to_owned())]).unwrap();
    let person = |id: &str, name: &str, is_bot| Participant {
        id: id.to_owned(),
        name: name.to_owned(),
        is_host: false,
        is_bot,
    };
    let roster = vec![person("bot", "meetbot", true), person("ann", "Ann", false)];
    let owner = TrackOwner { mid: tracks[0].to_string(), participant_id: "ann".to_owned() };
    for word in [
        FromMeeting::Admitted { self_id: "bot".to_owned(), roster, recording: RecordingRule::Free },
        FromMeeting::Offer { sdp, tracks: vec![owner] },
    ] {
        bot.send(Message::text(serde_json::to_string(&word).unwrap())).await.unwrap();
    }
    let answer = bot.next().await.unwrap().unwrap();
    let FromBot::Answer { sdp } = serde_json::from_str(answer.to_text().unwrap()).unwrap() else {
        panic!("{answer}")
    };
    peer.accept_answer(&sdp).unwrap();
    let mut ticks = tokio::time::interval(PACKET);
    loop {
        tokio::select! {
            event = peer.next() => drop(event.unwrap()),
            _ = ticks.tick() => if peer.is_connected() {
                let packet = AudioPacket {
                    rtp_time: *sent.borrow() * 960,
                    level_dbov: -20,
                    voice: true,
                    data: Arc::from([0xF8, 0xFF, 0xFE]),
                };
                peer.send_audio(tracks[0], &packet).unwrap();
                sent.send_modify(|sent| *sent += 1);
            }
        }
    }
}

/// A recording bot with commands for more chat messages than the connection can buffer.
async fn writes_too_much(fixture: &Fixture, meeting: &mut UnresponsiveMeeting) -> Running {
    let bot = Fixture::run(meeting.order(fixture));
    fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
    for seq in 1..=CHATS {
        let text = "x".repeat(CHAT_BYTES);
        fixture.command(command(seq, ControlAction::SendChatMessage, Some(&text)));
    }
    bot
}

fn denied(report: &BotReport) -> bool {
    matches!(report, BotReport::CommandDone { state: ControlState::Denied, .. })
}

#[tokio::test]
async fn a_meeting_that_does_not_read_is_still_recorded() {
    let (fixture, mut meeting) = (Fixture::start().await, UnresponsiveMeeting::open());
    let bot = writes_too_much(&fixture, &mut meeting).await;
    fixture.wait_for(denied).await;
    meeting.speaks(100).await;
    let sent = *meeting.sent.borrow();
    fixture.command(command(CHATS + 1, ControlAction::LeaveCall, None));
    bot.finish().await;
    assert_eq!(ended(&fixture.take_reports()).0.status, JobStatus::Completed);
    let manifest = fixture.manifest(1);
    let [ann] = manifest.tracks.as_slice() else { panic!("{manifest:#?}") };
    assert!(ann.packets * 10 >= sent * 9, "{sent} were sent: {ann:?}");
}

#[tokio::test]
async fn pending_commands_of_a_lost_meeting_are_denied() {
    let (fixture, mut meeting) = (Fixture::start().await, UnresponsiveMeeting::open());
    let bot = writes_too_much(&fixture, &mut meeting).await;
    fixture.wait_for(denied).await;
    meeting.hangs_up.notify_one();
    let done = |report: &&BotReport| matches!(report, BotReport::CommandDone { .. });
    let all = usize::try_from(CHATS).unwrap();
    fixture.wait_until(|reports| reports.iter().filter(done).count() == all).await;
    fixture.command(command(CHATS + 1, ControlAction::LeaveCall, None));
    bot.finish().await;
    assert_eq!(ended(&fixture.take_reports()).0.status, JobStatus::Completed);
}

#[tokio::test]
async fn a_message_written_right_before_the_bot_leaves_is_sent() {
    let fixture = Fixture::start().await;
    let bot = Fixture::run(fixture.order(1, "two-speakers?seconds=3600"));
    fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
    let chat = command(1, ControlAction::SendChatMessage, Some("goodbye"));
    let id = chat.id;
    fixture.command(chat);
    fixture.command(command(2, ControlAction::LeaveCall, None));
    bot.finish().await;
    let reports = fixture.take_reports();
    let done = |report: &BotReport| matches!(report, BotReport::CommandDone { command_id, state } if *command_id == id && *state == ControlState::Done);
    assert!(reports.iter().any(done), "{reports:#?}");
}
