//! A peer that pauses between readings of its sockets.

use std::time::Duration;

use meetbot_rtc::{Event, Frame};

use super::pair::{Pair, TIMEOUT, packet};

/// The time between two packets.
const PACKET: Duration = Duration::from_millis(5);

/// Frames of packets that were sent [`PACKET`] apart to a receiver that pauses between readings.
async fn frames(count: u64) -> Vec<Frame> {
    let mut pair = Pair::new();
    let tracks = pair.offer(&["alice"]);
    pair.connect().await;
    pair.receiver.pause_between_readings();
    let (mut frames, mut sent) = (Vec::new(), 0);
    let mut pauses = tokio::time::interval(PACKET);
    let all = async {
        while frames.len() < usize::try_from(count).unwrap() {
            tokio::select! {
                _ = pauses.tick(), if sent < count => {
                    pair.sender.send_audio(tracks[0], &packet(sent)).unwrap();
                    sent += 1;
                }
                event = pair.sender.next() => drop(event.unwrap()),
                event = pair.receiver.next() => if let Event::Frame(frame) = event.unwrap() {
                    frames.push(frame);
                },
            }
        }
    };
    tokio::time::timeout(TIMEOUT, all).await.expect("a packet is missing");
    frames
}

#[tokio::test]
async fn packets_read_after_a_pause_are_whole_in_order_and_have_their_own_times_of_arrival() {
    let frames = Box::pin(frames(100)).await;
    for (number, frame) in (0..).zip(&frames) {
        assert!(frame.contiguous, "{number}");
        assert_eq!(frame.data, packet(number).data);
    }
    // A time of reading would be the same for four packets.
    let distinct = frames.windows(2).filter(|two| two[0].arrived < two[1].arrived).count();
    assert!(distinct > 90, "{distinct}");
}

#[tokio::test]
async fn what_a_socket_holds_is_given_on_request_before_the_pause_ends() {
    let mut pair = Pair::new();
    let tracks = pair.offer(&["alice"]);
    pair.connect().await;
    pair.receiver.pause_between_readings();
    let mut frames = 0;
    for number in 0..50 {
        pair.sender.send_audio(tracks[0], &packet(number)).unwrap();
        let _ = tokio::time::timeout(Duration::ZERO, pair.sender.next()).await;
    }
    // The sockets are read again a millisecond after the last reading, by `arrived` alone.
    let read = async {
        while frames < 50 {
            let events = pair.receiver.arrived().unwrap();
            frames += events.iter().filter(|event| matches!(event, Event::Frame(_))).count();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, read).await.expect("a packet is missing");
}

#[tokio::test]
async fn a_peer_that_pauses_notices_the_end_of_its_session() {
    let mut pair = Pair::new();
    pair.offer(&["alice"]);
    pair.connect().await;
    pair.receiver.pause_between_readings();
    pair.sender.close();
    let ended =
        async { while !matches!(pair.receiver.next().await.unwrap(), Event::Disconnected) {} };
    tokio::time::timeout(TIMEOUT, ended).await.expect("it is not noticed");
}
