//! How often the memory allocator is called for each packet of a voice, between a bot's socket and its file.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use allocation_counter::measure;
use futures_util::FutureExt as _;
use meetbot_bot::bench::Recorder;
use meetbot_rtc::{AudioPacket, Event, Frame, Guard, Kind, Peer, TrackId};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Reached only when something is wrong.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Before the buffers have their sizes.
const FIRST: u64 = 300;
const PACKETS: u64 = 1_500;
/// How many packets come between two flushes.
const FLUSH: u64 = 22;
/// What the session allocates for a packet at most: it copies the datagram, decrypts it, and makes a frame. That is in str0m.
const MOST_IN_SESSION: u64 = 6;
/// One call in so many packets is for what happens rarely: a line of the journal in ten seconds, the levels of a second.
const RARELY: u64 = 20;

/// A sender of one voice, and a receiver that reads in pauses, as a bot's peer does.
async fn connected() -> (Peer, TrackId, Peer) {
    let mut sender = Peer::bind(LOOPBACK, Guard::everywhere()).unwrap();
    let mut receiver = Peer::bind(LOOPBACK, Guard::everywhere()).unwrap();
    let (tracks, offer) = sender.offer(&[(Kind::Audio, "voice".to_owned())]).unwrap();
    sender.accept_answer(&receiver.accept_offer(&offer).unwrap()).unwrap();
    while !(sender.is_connected() && receiver.is_connected()) {
        tokio::select! {
            event = sender.next() => drop(event.unwrap()),
            event = receiver.next() => drop(event.unwrap()),
        }
    }
    receiver.pause_between_readings();
    (sender, tracks[0], receiver)
}

fn packet(number: u64) -> AudioPacket {
    // Opus, 20 ms.
    let data = Arc::from([0x08; 60]);
    AudioPacket { rtp_time: number * 960, level_dbov: -20, voice: true, data }
}

/// The next frame, and how often the allocator was called for it.
async fn received(receiver: &mut Peer) -> (Frame, u64) {
    let mut allocations = 0;
    loop {
        let mut event = None;
        let counted = measure(|| event = receiver.next().now_or_never());
        allocations += counted.count_total;
        if let Some(Event::Frame(frame)) = event.map(Result::unwrap) {
            return (frame, allocations);
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_packet_is_recorded_without_a_call_of_the_allocator() {
    let counted = measure(|| drop(std::hint::black_box(Box::new(5_u64))));
    assert_eq!(counted.count_total, 1, "allocations are counted");

    let (mut sender, track, mut receiver) =
        tokio::time::timeout(TIMEOUT, Box::pin(connected())).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::begin(folder.path());
    let mut begun = None;
    let (mut in_session, mut in_recording) = (0, 0);
    for number in 0..FIRST + PACKETS {
        sender.send_audio(track, &packet(number)).unwrap();
        assert!(sender.next().now_or_never().is_none());
        let arrives = received(&mut receiver);
        let (mut frame, allocations) = tokio::time::timeout(TIMEOUT, arrives).await.unwrap();
        // The test sends faster than a voice.
        let begun = begun.get_or_insert(frame.arrived);
        frame.arrived = *begun + u32::try_from(number).unwrap() * Duration::from_millis(20);
        let counted = measure(|| {
            recorder.frame(frame);
            if number % FLUSH == 0 {
                recorder.flush();
            }
        });
        if number >= FIRST {
            in_session += allocations;
            in_recording += counted.count_total;
        }
    }
    assert_eq!(recorder.packets(), FIRST + PACKETS);
    println!("of {PACKETS} packets: {in_session} in the session, {in_recording} in the recording");
    assert!(in_session <= PACKETS * MOST_IN_SESSION, "{in_session}");
    assert!(in_recording <= PACKETS / RARELY, "{in_recording}");
}
