//! Other sides that want a peer to send where it should not, or more than it should.

use std::net::IpAddr;

use meetbot_rtc::{Error, Event, Guard, Kind, Peer};
use meetbot_testkit::hostile_server::Trap;

use crate::pair::{
    LOOPBACK, PATIENCE, Pair, Side, an_offer, candidates, move_on, packet, with_candidates,
};

/// The candidates of a trap, and names; each is better than a good one.
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

    // Both sides of a session, each with what the other side does not allow.
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

    // Somebody who checks from there is not answered, though the check is right.
    let mut sender = Peer::bind(elsewhere, Guard::everywhere()).unwrap();
    let mut receiver = Peer::answering(LOOPBACK, guard.clone());
    let (_, offer) = sender.offer(&[(Kind::Audio, "a".to_owned())]).unwrap();
    let answer = receiver.accept_offer(&with_candidates(&offer, &[])).unwrap();
    sender.accept_answer(&answer).unwrap();
    let _ = tokio::join!(move_on(&mut sender), move_on(&mut receiver));
    assert!(!sender.is_connected() && !receiver.is_connected());
    assert!(sender.path().to_string().contains("no UDP packet came back"), "{}", sender.path());

    // Where there is nothing else, the reason is told.
    let mut peer = Peer::answering(LOOPBACK, guard);
    peer.accept_offer(&with_candidates(&offer, &named)).unwrap();
    move_on(&mut peer).await;
    assert!(peer.path().to_string().ends_with("it is not for bots"), "{}", peer.path());
    assert_eq!(trap.caught(), 0);
}

#[tokio::test]
async fn a_peer_sends_to_few_of_a_thousand_candidates() {
    let trap = Trap::set(LOOPBACK, 100).unwrap();
    let named = trap.candidates();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let mut peer = Peer::answering(LOOPBACK, Guard::everywhere());
    for offer in [an_offer(), an_offer()] {
        // Another session of the other side, so that ICE begins anew.
        let _ = peer.accept_offer(&with_candidates(&offer, &named));
        for candidate in &named {
            let _ = peer.add_remote_candidate(candidate);
        }
        for _ in 0..8 {
            move_on(&mut peer).await;
        }
    }
    let reached = trap.reached();
    assert!((1..=32).contains(&reached), "{reached}");
}

#[tokio::test]
async fn credentials_that_no_session_has_are_refused_and_the_peer_lives_on() {
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
        move_on(&mut pair.receiver).await;
    }
    let longest = pair.receiver.accept_offer(&offer.replace(&ufrag, &"u".repeat(111)));
    longest.expect("the longest is taken");
    move_on(&mut pair.receiver).await;
}

#[tokio::test]
async fn data_channels_without_end_and_messages_without_end_are_bounded() {
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
    let error = tokio::time::timeout(PATIENCE, broken).await.expect("it has a bound");
    assert!(matches!(error, Error::TooManyChannels), "{error}");
}
