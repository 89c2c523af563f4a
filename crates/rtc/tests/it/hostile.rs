//! Hostile other sides: they make a peer send to forbidden addresses, or too much.

use std::net::IpAddr;

use meetbot_rtc::{Error, Event, Guard, Kind, Peer};
use meetbot_testkit::hostile_server::Trap;

use crate::pair::{
    LOOPBACK, Pair, Side, TIMEOUT, an_offer, candidates, drive_for_a_while, packet, with_candidates,
};

/// The candidates of a trap, and host names; each has a higher priority than the real one.
fn hostile(trap: &Trap) -> Vec<String> {
    let names = ["hostile.local", "localhost", "0x7f000002", "2130706434", "127.2"];
    let names = names.map(|name| format!("candidate:8 1 udp 2130706431 {name} 9 typ host"));
    trap.candidates().into_iter().chain(names).collect()
}

#[tokio::test]
async fn nothing_is_sent_to_an_address_that_the_guard_refuses() {
    let elsewhere: IpAddr = "127.0.0.2".parse().unwrap();
    let guard =
        Guard::new(move |address| address.to_canonical() != elsewhere, "it is not for bots");
    let trap = Trap::set(elsewhere, 50).unwrap();
    let hostile = hostile(&trap);
    let named: Vec<&str> = hostile.iter().map(String::as_str).collect();
    let mapped =
        named.iter().map(|candidate| candidate.replace(" 127.0.0.2 ", " ::ffff:127.0.0.2 "));
    let trickled: Vec<String> = hostile.iter().cloned().chain(mapped).collect();

    // Both sides of a session, each with candidates that the other's guard refuses.
    let mut sender = Peer::bind(LOOPBACK, guard.clone()).unwrap();
    let mut receiver = Peer::answering(LOOPBACK, guard.clone());
    let (tracks, offer) = sender.offer(&[(Kind::Audio, "a".to_owned())]).unwrap();
    let named_too = |sdp: &str| {
        let own: Vec<String> =
            candidates(sdp).iter().map(|own| format!("candidate:{own}")).collect();
        let all: Vec<&str> = named.iter().copied().chain(own.iter().map(String::as_str)).collect();
        with_candidates(sdp, &all)
    };
    let answer = receiver.accept_offer(&named_too(&offer)).unwrap();
    sender.accept_answer(&named_too(&answer)).unwrap();
    for candidate in &trickled {
        let _ = sender.add_remote_candidate(candidate);
        let _ = receiver.add_remote_candidate(candidate);
    }
    let mut pair = Pair { sender, receiver };
    pair.connect().await;
    for number in 0..50 {
        pair.sender.send_audio(tracks[0], &packet(number)).unwrap();
        pair.frame().await;
    }

    // A connectivity check from a refused address is not answered, although its credentials are right.
    let mut sender = Peer::bind(elsewhere, Guard::everywhere()).unwrap();
    let mut receiver = Peer::answering(LOOPBACK, guard.clone());
    let (_, offer) = sender.offer(&[(Kind::Audio, "a".to_owned())]).unwrap();
    let answer = receiver.accept_offer(&with_candidates(&offer, &[])).unwrap();
    sender.accept_answer(&answer).unwrap();
    let _ = tokio::join!(drive_for_a_while(&mut sender), drive_for_a_while(&mut receiver));
    assert!(!sender.is_connected() && !receiver.is_connected());
    assert!(
        sender.why_no_path().to_string().contains("no UDP packet came back"),
        "{}",
        sender.why_no_path()
    );

    // If all candidates are refused, the text names the reason.
    let mut peer = Peer::answering(LOOPBACK, guard);
    peer.accept_offer(&with_candidates(&offer, &named)).unwrap();
    drive_for_a_while(&mut peer).await;
    assert!(
        peer.why_no_path().to_string().ends_with("it is not for bots"),
        "{}",
        peer.why_no_path()
    );
    assert_eq!(trap.caught(), 0);
}

#[tokio::test]
async fn a_peer_sends_to_few_of_a_thousand_candidates() {
    let trap = Trap::set(LOOPBACK, 100).unwrap();
    let named = trap.candidates();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let mut peer = Peer::answering(LOOPBACK, Guard::everywhere());
    for offer in [an_offer(), an_offer()] {
        // Another session of the other side, so that ICE restarts.
        let _ = peer.accept_offer(&with_candidates(&offer, &named));
        for candidate in &named {
            let _ = peer.add_remote_candidate(candidate);
        }
        for _ in 0..8 {
            drive_for_a_while(&mut peer).await;
        }
    }
    let reached = trap.reached();
    assert!((1..=32).contains(&reached), "{reached}");
}

#[tokio::test]
async fn invalid_credentials_are_refused_and_the_peer_stays_usable() {
    let mut pair = Pair::new();
    let offer = an_offer();
    let value = |name: &str| {
        offer.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
    };
    let (ufrag, password) = (value("a=ice-ufrag:"), value("a=ice-pwd:"));
    for (value, bad) in [
        (&ufrag, "u".repeat(160)),
        (&ufrag, "u".repeat(112)),
        (&ufrag, "u".repeat(400_000)),
        (&ufrag, "uuu".to_owned()),
        (&ufrag, "ufrag:more".to_owned()),
        (&ufrag, "ü".repeat(60)),
        (&password, "p".repeat(21)),
        (&password, "p".repeat(257)),
        (&password, "p ".repeat(20)),
    ] {
        let refused = pair.receiver.accept_offer(&offer.replace(value.as_str(), &bad));
        assert!(matches!(refused, Err(Error::Description(_))), "{bad:.9}");
        drive_for_a_while(&mut pair.receiver).await;
    }
    let longest = pair.receiver.accept_offer(&offer.replace(&ufrag, &"u".repeat(111)));
    longest.expect("the longest is taken");
    drive_for_a_while(&mut pair.receiver).await;
}

#[tokio::test]
async fn the_number_of_data_channels_and_the_size_of_messages_are_bounded() {
    let mut pair = Pair::new();
    let (first, offer) = pair.sender.open_channel("first");
    let answer = pair.receiver.accept_offer(&offer.unwrap()).unwrap();
    assert!(answer.contains("a=max-message-size:65536"), "{answer}");
    pair.sender.accept_answer(&answer).unwrap();
    pair.until(|side| matches!(side, Side::Sender(Event::ChannelOpen { .. })).then_some(())).await;
    let _ = pair.sender.send_text(first, &"x".repeat(100_000));
    for number in 0..200 {
        let _ = pair.sender.open_channel(&format!("channel {number}"));
    }
    let broken = async {
        loop {
            tokio::select! {
                // The other side's session may end with it.
                _ = pair.sender.next() => {}
                event = pair.receiver.next() => match event {
                    Ok(Event::ChannelData { data, .. }) => assert!(data.len() <= 65_536),
                    Ok(_) => {}
                    Err(error) => return error,
                }
            }
        }
    };
    let error = tokio::time::timeout(TIMEOUT, broken).await.expect("it has a bound");
    assert!(matches!(error, Error::TooManyChannels), "{error}");
}
