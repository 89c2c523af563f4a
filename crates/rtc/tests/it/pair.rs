//! Two peers on loopback in one thread.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use meetbot_rtc::{AudioPacket, Error, Event, Frame, Guard, Kind, Peer, Picture, TrackId};
use tokio::{net::UdpSocket, sync::watch};

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Reached only when something is wrong.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) struct Pair {
    pub(crate) sender: Peer,
    pub(crate) receiver: Peer,
}

pub(crate) enum Side {
    Sender(Event),
    Receiver(Event),
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self {
            sender: Peer::bind(LOOPBACK, Guard::everywhere()).unwrap(),
            receiver: Peer::bind(LOOPBACK, Guard::everywhere()).unwrap(),
        }
    }

    pub(crate) fn offer(&mut self, streams: &[&str]) -> Vec<TrackId> {
        let streams: Vec<_> =
            streams.iter().map(|stream| (Kind::Audio, (*stream).to_owned())).collect();
        let (tracks, offer) = self.sender.offer(&streams).unwrap();
        let answer = self.receiver.accept_offer(&offer).unwrap();
        self.sender.accept_answer(&answer).unwrap();
        tracks
    }

    /// The first event on either side that is `wanted`.
    pub(crate) async fn until<T>(&mut self, mut wanted: impl FnMut(Side) -> Option<T>) -> T {
        let happening = async {
            loop {
                let side = tokio::select! {
                    event = self.sender.next() => Side::Sender(event.unwrap()),
                    event = self.receiver.next() => Side::Receiver(event.unwrap()),
                };
                if let Some(found) = wanted(side) {
                    return found;
                }
            }
        };
        tokio::time::timeout(TIMEOUT, happening).await.expect("it never happened")
    }

    pub(crate) async fn connect(&mut self) {
        let mut up = [false; 2];
        self.until(|side| {
            match side {
                Side::Sender(Event::Connected) => up[0] = true,
                Side::Receiver(Event::Connected) => up[1] = true,
                _ => {}
            }
            (up == [true; 2]).then_some(())
        })
        .await;
    }

    pub(crate) async fn frame(&mut self) -> Frame {
        self.until(
            |side| if let Side::Receiver(Event::Frame(frame)) = side { Some(frame) } else { None },
        )
        .await
    }
}

pub(crate) fn packet(number: u64) -> AudioPacket {
    let data: Vec<u8> = [0xF8].into_iter().chain(number.to_be_bytes()).collect();
    AudioPacket { rtp_time: number * 960, level_dbov: -30, voice: true, data: Arc::from(data) }
}

#[tokio::test]
async fn audio_arrives_in_order_as_it_was_sent() {
    let mut pair = Pair::new();
    let tracks = pair.offer(&["alice"]);
    pair.connect().await;
    let mut first = None;
    for number in 0..50 {
        pair.sender.send_audio(tracks[0], &packet(number)).unwrap();
        let frame = pair.frame().await;
        let first = *first.get_or_insert(frame.rtp_time);
        assert_eq!(frame.data, packet(number).data);
        assert_eq!((frame.track, frame.codec, frame.clock_rate), (tracks[0], "opus", 48_000));
        assert_eq!(frame.rtp_time - first, number * 960);
        assert_eq!((frame.level_dbov, frame.voice), (Some(-30), Some(true)));
        assert!(frame.contiguous);
    }
}

#[tokio::test]
async fn packets_that_arrive_while_a_peer_is_not_driven_are_kept() {
    const PACKETS: u64 = 150;
    let mut pair = Pair::new();
    let tracks = pair.offer(&["alice"]);
    pair.connect().await;
    for number in 0..PACKETS {
        let packet = AudioPacket { data: Arc::from([0xF8; 1_000]), ..packet(number) };
        pair.sender.send_audio(tracks[0], &packet).unwrap();
        // Only the sender is driven.
        let _ = tokio::time::timeout(Duration::ZERO, pair.sender.next()).await;
    }
    for number in 0..PACKETS {
        let frame = pair.frame().await;
        assert!(frame.contiguous, "packets before {number} are lost");
    }
}

#[tokio::test]
async fn a_track_added_later_is_heard() {
    let mut pair = Pair::new();
    let early = pair.offer(&["alice"]);
    pair.connect().await;
    let late = pair.offer(&["bob"]);
    pair.until(|side| match side {
        Side::Receiver(Event::TrackAdded { track, .. }) if track == late[0] => Some(()),
        _ => None,
    })
    .await;
    for (number, track) in [(0, late[0]), (1, early[0])] {
        pair.sender.send_audio(track, &packet(number)).unwrap();
        let frame = pair.frame().await;
        assert_eq!((frame.track, frame.data), (track, packet(number).data));
    }
}

#[tokio::test]
async fn a_malformed_picture_is_dropped_and_the_session_continues() {
    let mut pair = Pair::new();
    let kinds = [(Kind::Audio, "voice".to_owned()), (Kind::Video, "face".to_owned())];
    let (tracks, offer) = pair.sender.offer(&kinds).unwrap();
    // Without VP8 it is H.264, of which the sender names the units.
    let answer = pair.receiver.accept_offer(&offer.replace(" VP8/", " VP0/")).unwrap();
    pair.sender.accept_answer(&answer).unwrap();
    pair.connect().await;
    let picture =
        |rtp_time, unit: u8| Picture { rtp_time, rotation: None, data: Arc::from([unit, 0, 1]) };
    for (number, unit, contiguous) in [(0, 0x65, true), (1, 0x41, false), (2, 0x41, true)] {
        if !contiguous {
            // There are no units of type 30.
            pair.sender.send_picture(tracks[1], &picture(number * 3_000 - 9, 0x1E)).unwrap();
            pair.sender.send_audio(tracks[0], &packet(number)).unwrap();
            let frame = pair.frame().await;
            assert_eq!((frame.kind, frame.data), (Kind::Audio, packet(number).data));
        }
        pair.sender.send_picture(tracks[1], &picture(number * 3_000, unit)).unwrap();
        let frame = pair.frame().await;
        assert_eq!((frame.track, frame.codec), (tracks[1], "h264"));
        assert_eq!((frame.data[4], frame.contiguous), (unit, contiguous), "{number}");
    }
}

#[tokio::test]
async fn a_picture_carries_the_rotation_that_its_sender_sent() {
    let mut pair = Pair::new();
    let (tracks, offer) = pair.sender.offer(&[(Kind::Video, "face".to_owned())]).unwrap();
    let answer = pair.receiver.accept_offer(&offer).unwrap();
    assert!(answer.contains("urn:3gpp:video-orientation"), "{answer}");
    pair.sender.accept_answer(&answer).unwrap();
    pair.connect().await;
    // More than one packet: the last one carries the rotation.
    let data: Arc<[u8]> = [0x11].into_iter().chain([7; 3_000]).collect();
    let rotations = [None, Some(0), Some(90), None, Some(180), Some(270), Some(0)];
    for (number, rotation) in (0..).zip(rotations) {
        let picture = Picture { rtp_time: number * 3_000, rotation, data: Arc::clone(&data) };
        pair.sender.send_picture(tracks[0], &picture).unwrap();
        let frame = pair.frame().await;
        assert_eq!((frame.rotation, frame.data.len()), (rotation, 3_001), "{number}");
    }
}

#[tokio::test]
async fn text_goes_both_ways_over_a_data_channel() {
    let mut pair = Pair::new();
    let (_, offer) = pair.sender.open_channel("chat");
    let answer = pair.receiver.accept_offer(&offer.unwrap()).unwrap();
    pair.sender.accept_answer(&answer).unwrap();
    let mut open = (None, None);
    let (ours, theirs) = pair
        .until(|side| {
            match side {
                Side::Sender(Event::ChannelOpen { channel, .. }) => open.0 = Some(channel),
                Side::Receiver(Event::ChannelOpen { channel, label }) => {
                    assert_eq!(label, "chat");
                    open.1 = Some(channel);
                }
                _ => {}
            }
            open.0.zip(open.1)
        })
        .await;
    pair.sender.send_text(ours, "hello").unwrap();
    pair.receiver.send_text(theirs, "good day").unwrap();
    let mut heard = Vec::new();
    pair.until(|side| {
        if let Side::Sender(Event::ChannelData { data, .. })
        | Side::Receiver(Event::ChannelData { data, .. }) = side
        {
            heard.push(String::from_utf8(data).unwrap());
        }
        (heard.len() == 2).then_some(())
    })
    .await;
    heard.sort();
    assert_eq!(heard, ["good day", "hello"]);
}

/// Relays datagrams between the two ends; drops all of them until `lose` connectivity checks of the answering side are dropped.
async fn relay(socket: UdpSocket, there: u16, lose: watch::Sender<u32>) {
    let there = (LOOPBACK, there).into();
    let mut answerer = None;
    let mut datagram = [0; 2_000];
    loop {
        let (length, from) = socket.recv_from(&mut datagram).await.unwrap();
        if from != there {
            answerer = Some(from);
        }
        let is_check = from != there && datagram[..2] == [0, 1];
        if *lose.borrow() > 0 {
            lose.send_if_modified(|left| {
                *left -= u32::from(is_check);
                is_check
            });
        } else if let Some(to) = if from == there { answerer } else { Some(there) } {
            socket.send_to(&datagram[..length], to).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_few_lost_connectivity_checks_do_not_end_the_session() {
    let mut pair = Pair::new();
    let socket = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let (ours, offer) = pair.sender.open_channel("chat");
    let offer = offer.unwrap();
    let address = offer.split(" typ host").next().unwrap().rsplit(' ').next().unwrap();
    let here = format!("{} typ host", socket.local_addr().unwrap().port());
    let offer = offer.replace(&format!("{address} typ host"), &here);
    let answer = pair.receiver.accept_offer(&offer).unwrap();
    // The only path leads over the relay.
    let known = answer.split_inclusive('\n').filter(|line| !line.starts_with("a=candidate:"));
    pair.sender.accept_answer(&known.collect::<String>()).unwrap();
    let (lose, mut left) = watch::channel(0);
    tokio::spawn(relay(socket, address.parse().unwrap(), lose.clone()));
    let open = |side| matches!(side, Side::Sender(Event::ChannelOpen { .. })).then_some(());
    pair.until(open).await;

    lose.send_replace(5);
    let missed = |side| {
        let down =
            matches!(side, Side::Sender(Event::Disconnected) | Side::Receiver(Event::Disconnected));
        down.then_some(())
    };
    tokio::select! {
        () = pair.until(missed) => panic!("a side counts as disconnected"),
        all = left.wait_for(|left| *left == 0) => drop(all.unwrap()),
    }
    pair.sender.send_text(ours, "still here").unwrap();
    let text = pair.until(|side| match side {
        Side::Receiver(Event::ChannelData { data, .. }) => Some(data),
        side => missed(side).map(|()| Vec::new()),
    });
    assert_eq!(text.await, b"still here");
}

#[tokio::test]
async fn a_closed_peer_is_reported_as_disconnected() {
    let mut pair = Pair::new();
    pair.offer(&["alice"]);
    pair.connect().await;
    let Pair { sender, mut receiver } = pair;
    sender.close();
    let missed = async {
        loop {
            if let Event::Disconnected = receiver.next().await.unwrap() {
                return;
            }
        }
    };
    tokio::time::timeout(TIMEOUT, missed)
        .await
        .expect("the receiver never reported the disconnect");
}

#[tokio::test]
async fn a_peer_that_vanishes_is_reported_as_disconnected() {
    let mut pair = Pair::new();
    pair.offer(&["alice"]);
    pair.connect().await;
    let Pair { sender, mut receiver } = pair;
    drop(sender);
    let missed = async { while !matches!(receiver.next().await.unwrap(), Event::Disconnected) {} };
    tokio::time::timeout(TIMEOUT, missed)
        .await
        .expect("the receiver never reported the disconnect");
}

#[tokio::test]
async fn a_bad_description_is_an_error_and_the_peer_stays_usable() {
    let mut pair = Pair::new();
    for bad in
        ["", "v=0", "hello", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 X 1\r\n"]
    {
        assert!(matches!(pair.receiver.accept_offer(bad), Err(Error::Description(_))), "{bad:?}");
        assert!(pair.receiver.accept_answer(bad).is_err(), "{bad:?}");
    }
    let tracks = pair.offer(&["alice"]);
    pair.connect().await;
    pair.sender.send_audio(tracks[0], &packet(7)).unwrap();
    assert_eq!(pair.frame().await.data, packet(7).data);
}

#[tokio::test]
async fn next_is_cancel_safe() {
    let mut pair = Pair::new();
    let tracks = pair.offer(&["alice"]);
    pair.connect().await;
    for number in 0..20 {
        pair.sender.send_audio(tracks[0], &packet(number)).unwrap();
    }
    let mut got = 0;
    while got < 20 {
        // Both calls are dropped and repeated each time one of them is ready.
        let event = tokio::select! {
            biased;
            event = async { tokio::time::timeout(Duration::from_millis(1), pair.receiver.next()).await } => event.ok(),
            _ = pair.sender.next() => None,
        };
        if let Some(Event::Frame(frame)) = event.transpose().unwrap() {
            assert_eq!(frame.data, packet(got).data);
            got += 1;
        }
    }
}

#[tokio::test]
async fn a_stun_server_gives_the_address_and_a_silent_one_costs_only_the_timeout() {
    let server = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let address = server.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut request = [0; 100];
        let (length, from) = server.recv_from(&mut request).await.unwrap();
        // A success with one attribute: 203.0.113.7:1000, hidden behind the magic cookie.
        let mut answer = vec![0x01, 0x01, 0, 12];
        answer.extend(&request[4..length]);
        answer.extend([0, 0x20, 0, 8, 0, 1]);
        let hidden =
            [0x03, 0xE8, 203, 0, 113, 7].into_iter().zip([0x21, 0x12, 0x21, 0x12, 0xA4, 0x42]);
        answer.extend(hidden.map(|(byte, mask): (u8, u8)| byte ^ mask));
        server.send_to(&answer, from).await.unwrap();
    });
    let mut peer = Peer::bind(LOOPBACK, Guard::everywhere()).unwrap();
    let found = peer.discover(&[address]).await.unwrap();
    assert_eq!(found, Some("203.0.113.7:1000".parse().unwrap()));
    let (_, offer) = peer.offer(&[(Kind::Audio, "a".to_owned())]).unwrap();
    assert!(offer.contains("203.0.113.7 1000 typ srflx"), "{offer}");

    let silent = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let found =
        Peer::bind(LOOPBACK, Guard::everywhere()).unwrap().discover(&[address]).await.unwrap();
    assert_eq!(found, None);
}

/// An offer whose candidates are these instead of the sender's own.
pub(crate) fn with_candidates(offer: &str, candidates: &[&str]) -> String {
    let others = offer.split_inclusive("\r\n").filter(|line| !line.starts_with("a=candidate:"));
    let added = candidates.iter().map(|candidate| format!("a={candidate}\r\n"));
    others.map(str::to_owned).chain(added).collect()
}

pub(crate) fn an_offer() -> String {
    let mut sender = Peer::bind(LOOPBACK, Guard::everywhere()).unwrap();
    sender.offer(&[(Kind::Audio, "a".to_owned())]).unwrap().1
}

pub(crate) fn candidates(sdp: &str) -> Vec<&str> {
    sdp.lines().filter_map(|line| line.strip_prefix("a=candidate:")).collect()
}

/// Drives a peer for 300 ms.
pub(crate) async fn drive_for_a_while(peer: &mut Peer) {
    let moved = async {
        loop {
            peer.next().await.unwrap();
        }
    };
    let _ = tokio::time::timeout(Duration::from_millis(300), moved).await;
}

#[tokio::test]
async fn a_peer_binds_the_addresses_from_which_it_reaches_the_candidates_of_an_offer() {
    let elsewhere: IpAddr = "127.0.0.9".parse().unwrap();
    let offered = with_candidates(
        &an_offer(),
        &[
            "candidate:1 1 udp 2130706175 127.0.0.1 40000 typ host",
            "candidate:2 1 udp 2130706174 127.0.0.5 40000 typ host",
            // Candidates without a path: over TCP, to a link that is not named.
            "candidate:3 1 tcp 2130706173 127.0.0.6 9 typ host tcptype passive",
            "candidate:4 1 udp 2130706172 fe80::1 40000 typ host",
        ],
    );
    let mut peer = Peer::answering(elsewhere, Guard::everywhere());
    let answer = peer.accept_offer(&offered).unwrap();
    let found = candidates(&answer);
    assert_eq!(found.len(), 1, "{answer}");
    assert!(found[0].contains(" 127.0.0.1 "), "{answer}");

    // If no candidate of the offer is reached, the fallback address is bound; trickled candidates add to it.
    let nowhere = with_candidates(&an_offer(), &[]);
    let mut peer = Peer::answering(elsewhere, Guard::everywhere());
    let answer = peer.accept_offer(&nowhere).unwrap();
    assert!(candidates(&answer)[0].contains(" 127.0.0.9 "), "{answer}");
    let trickled = "candidate:1 1 udp 2130706175 127.0.0.1 40000 typ host";
    let added = peer.add_remote_candidate(trickled).unwrap().unwrap();
    assert!(added.starts_with("candidate:") && added.contains(" 127.0.0.1 "), "{added}");
    assert_eq!(peer.add_remote_candidate(trickled).unwrap(), None, "it is bound");
}

#[tokio::test]
async fn media_uses_the_path_of_the_candidates_and_not_that_of_signalling() {
    let mut sender = Peer::bind(LOOPBACK, Guard::everywhere()).unwrap();
    let mut receiver = Peer::answering("127.0.0.9".parse().unwrap(), Guard::everywhere());
    let (_, offer) = sender.offer(&[(Kind::Audio, "a".to_owned())]).unwrap();
    // The candidates come one by one, as a server with full trickle sends them.
    let candidates: Vec<String> = candidates(&offer).into_iter().map(str::to_owned).collect();
    let answer = receiver.accept_offer(&with_candidates(&offer, &[])).unwrap();
    sender.accept_answer(&with_candidates(&answer, &[])).unwrap();
    for candidate in candidates {
        let own = receiver.add_remote_candidate(&format!("candidate:{candidate}")).unwrap();
        sender.add_remote_candidate(&own.unwrap()).unwrap();
    }
    let mut pair = Pair { sender, receiver };
    pair.until(|side| matches!(side, Side::Receiver(Event::Connected)).then_some(())).await;
}

#[tokio::test]
async fn a_peer_explains_why_no_path_comes_up() {
    let silent = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let candidate = format!("candidate:1 1 udp 2130706175 127.0.0.1 {port} typ host");
    let mut peer = Peer::answering(LOOPBACK, Guard::everywhere());
    peer.accept_offer(&with_candidates(&an_offer(), &[&candidate])).unwrap();
    drive_for_a_while(&mut peer).await;
    let said = peer.why_no_path().to_string();
    assert_eq!(said, format!("no UDP packet came back from 127.0.0.1:{port}"));

    let mut peer = Peer::answering(LOOPBACK, Guard::everywhere());
    peer.accept_offer(&with_candidates(&an_offer(), &["candidate:4 1 udp 1 fe80::1 4 typ host"]))
        .unwrap();
    drive_for_a_while(&mut peer).await;
    let said = peer.why_no_path().to_string();
    assert!(
        said.contains("IPv6 addresses only (fe80::1)") && said.contains("no route to them"),
        "{said}"
    );
}
