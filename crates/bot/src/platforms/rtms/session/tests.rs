//! A session of realtime media streams from its first message to its end.

use meetbot_types::{AutoLeave, Cause};

use super::*;
use crate::{
    brain::{Brain, Decision, Observed},
    clock,
    platforms::rtms::protocol::Message,
};

fn begun(now: Instant) -> Session {
    let id = StreamId {
        meeting_uuid: "U/+==".to_owned(),
        stream: "S".to_owned(),
        signature: "hex".to_owned(),
    };
    let urls = vec!["wss://a.zoom.us".to_owned(), "wss://b.zoom.us".to_owned()];
    let wanted = vec![MediaType::Audio, MediaType::Chat];
    let (session, acts) = Session::begin(id, urls, wanted, now);
    assert!(matches!(&acts[..], [Act::Dial(Line::Signalling, url)] if url == "wss://a.zoom.us"));
    session
}

const AUDIO: Line = Line::Media(MediaType::Audio);
const FINE: &str = r#"{"msg_type":4,"status_code":0}"#;
const SERVERS: &str =
    r#"{"msg_type":2,"status_code":0,"media_server":{"server_urls":{"all":"wss://m.zoom.us"}}}"#;

fn hear(session: &mut Session, line: Line, text: &str, now: Instant) -> Vec<Act> {
    session.hear(line, Message::read(text).unwrap(), now)
}

/// A stream whose sound is up.
fn up(now: Instant) -> Session {
    let mut session = begun(now);
    let handshake = session.connected(Line::Signalling, now);
    assert!(matches!(&handshake[..], [Act::Say(Line::Signalling, word)] if word["msg_type"] == 1));
    let acts = hear(&mut session, Line::Signalling, SERVERS, now);
    let dialled = acts.iter().filter(|act| matches!(act, Act::Dial(Line::Media(_), _)));
    assert_eq!(dialled.count(), 2, "{acts:?}");
    session.connected(AUDIO, now);
    let ready = hear(&mut session, AUDIO, FINE, now);
    assert!(matches!(&ready[..], [Act::Say(Line::Signalling, word)] if word["msg_type"] == 7));
    session
}

#[test]
fn the_first_piece_of_media_lets_the_bot_in_or_a_second_without_any() {
    let now = clock::now();
    let mut session = up(now);
    let sound =
        r#"{"msg_type":14,"content":{"user_id":7,"user_name":"Ada","data":"eA==","timestamp":5}}"#;
    let acts = hear(&mut session, AUDIO, sound, now);
    let [Act::Admit { people, first_ms: Some(5) }, Act::Media { resumed: false, .. }] = &acts[..]
    else {
        panic!("{acts:?}");
    };
    assert_eq!(people[0].name, "Ada");
    let mut quiet = up(now);
    assert!(quiet.poll(now).is_empty());
    let acts = quiet.poll(quiet.wake().unwrap());
    assert!(matches!(&acts[..], [Act::Admit { first_ms: None, .. }]), "{acts:?}");
    assert!(quiet.poll(now + Duration::from_secs(2)).is_empty(), "once");
}

#[test]
fn keep_alives_are_answered_on_their_own_connection_and_silence_reconnects() {
    let now = clock::now();
    let mut session = up(now);
    for line in [Line::Signalling, AUDIO] {
        let acts = hear(&mut session, line, r#"{"msg_type":12,"timestamp":77}"#, now);
        let [Act::Say(on, word)] = &acts[..] else { panic!("{acts:?}") };
        assert_eq!((*on, &word["msg_type"], &word["timestamp"]), (line, &13.into(), &77.into()));
    }
    let acts = session.poll(now + SILENCE);
    let down = |line: Line| acts.iter().any(|act| matches!(act, Act::HangUp(it) if *it == line));
    assert!(down(Line::Signalling) && down(AUDIO), "{acts:?}");
}

#[test]
fn a_meeting_that_is_silent_for_65_seconds_stays_connected_while_zoom_asks() {
    let now = clock::now();
    let mut session = up(now);
    let mut at = now;
    let admitted = session.poll(now + FIRST_SOUND);
    assert!(matches!(&admitted[..], [Act::Admit { .. }]), "{admitted:?}");
    for second in 1..=65 {
        at = now + Duration::from_secs(second);
        assert!(session.poll(at).is_empty(), "{second} s");
        if second % 10 == 0 {
            for line in [Line::Signalling, AUDIO] {
                let acts = hear(&mut session, line, r#"{"msg_type":12,"timestamp":1}"#, at);
                assert!(matches!(&acts[..], [Act::Say(..)]), "{acts:?}");
            }
        }
    }
    let sound = r#"{"msg_type":14,"content":{"user_id":7,"data":"eA==","timestamp":65000}}"#;
    let acts = hear(&mut session, AUDIO, sound, at);
    let went_on = |act: &Act| matches!(act, Act::Media { resumed: false, .. });
    assert!(acts.iter().any(went_on), "{acts:?}");
}

#[test]
fn three_keep_alives_that_do_not_come_make_all_connections_anew_in_their_order() {
    let now = clock::now();
    let mut session = up(now);
    session.poll(now + FIRST_SOUND);
    let mut at = now;
    let mut dialled = Vec::new();
    // Zoom says nothing on any connection from now on: nothing happens for three keep-alives, and then all at once.
    while at < now + SILENCE {
        at = session.wake().unwrap();
        dialled.extend(session.poll(at));
    }
    assert_eq!(at, now + SILENCE);
    for _ in 0..2 {
        dialled.extend(session.poll(at));
    }
    let dials = |line: Line| {
        let to = |act: &&Act| matches!(act, Act::Dial(it, _) if *it == line);
        dialled.iter().filter(to).count()
    };
    assert_eq!((dials(Line::Signalling), dials(AUDIO)), (1, 1), "{dialled:?}");
    // It is there again within its minute, and what comes then is marked.
    session.connected(Line::Signalling, at);
    hear(&mut session, Line::Signalling, SERVERS, at);
    session.connected(AUDIO, at);
    hear(&mut session, AUDIO, FINE, at);
    let sound = r#"{"msg_type":14,"content":{"user_id":7,"data":"eA==","timestamp":65000}}"#;
    let acts = hear(&mut session, AUDIO, sound, at);
    assert!(acts.iter().any(|act| matches!(act, Act::Media { resumed: true, .. })), "{acts:?}");
}

#[test]
fn a_connection_is_tried_again_at_once_and_then_ever_later_at_each_server_in_turns() {
    let now = clock::now();
    let mut session = up(now);
    let (mut at, mut waits, mut servers) = (now, Vec::new(), Vec::new());
    for _ in 0..4 {
        session.down(Line::Signalling, "cut", at);
        let retry = session.lines[&Line::Signalling].wake().unwrap();
        waits.push((retry - at).as_secs());
        at = retry;
        let acts = session.poll(at);
        servers.extend(acts.into_iter().find_map(|act| match act {
            Act::Dial(Line::Signalling, url) => Some(url),
            _ => None,
        }));
    }
    assert_eq!(waits, [0, 3, 6, 12]);
    assert_eq!(
        servers,
        ["wss://b.zoom.us", "wss://a.zoom.us", "wss://b.zoom.us", "wss://a.zoom.us"]
    );
    session.down(Line::Signalling, "cut", at);
    session.down(Line::Signalling, "cut", at + Duration::from_secs(24));
    let acts = session.poll(at + Duration::from_secs(90));
    assert!(matches!(&acts[..], [Act::Tell(MeetingEvent::Lost(_))]), "{acts:?}");
}

#[test]
fn a_media_connection_that_zoom_calls_interrupted_is_made_anew_alone() {
    let now = clock::now();
    let mut session = up(now);
    let named = r#"{"msg_type":6,"event":{"event_type":7,"media_type":1}}"#;
    let acts = hear(&mut session, Line::Signalling, named, now);
    assert!(matches!(&acts[..], [Act::HangUp(line)] if *line == AUDIO), "{acts:?}");
    let acts = session.poll(now);
    assert!(matches!(&acts[..], [Act::Dial(line, _)] if *line == AUDIO), "{acts:?}");
    // Where Zoom does not say which, it is the one on which nothing comes.
    let mut session = up(now);
    let unnamed = r#"{"msg_type":6,"event":{"event_type":7}}"#;
    assert!(hear(&mut session, Line::Signalling, unnamed, now).is_empty());
    let acts = session.poll(now + SUSPICION);
    let dropped = acts.iter().any(|act| matches!(act, Act::HangUp(line) if *line == AUDIO));
    assert!(dropped, "{acts:?}");
}

#[test]
fn a_stream_that_starts_again_elsewhere_is_connected_anew_and_its_media_are_marked() {
    let now = clock::now();
    let mut session = up(now);
    let acts = session.moved(vec!["wss://c.zoom.us".to_owned()], now);
    let anew =
        |act: &Act| matches!(act, Act::Dial(Line::Signalling, url) if url == "wss://c.zoom.us");
    assert!(
        acts.iter().any(anew) && acts.iter().any(|act| matches!(act, Act::HangUp(_))),
        "{acts:?}"
    );
    session.connected(Line::Signalling, now);
    hear(&mut session, Line::Signalling, SERVERS, now);
    session.connected(AUDIO, now);
    hear(&mut session, AUDIO, FINE, now);
    let sound = r#"{"msg_type":14,"content":{"user_id":7,"data":"eA==","timestamp":5}}"#;
    let acts = hear(&mut session, AUDIO, sound, now);
    assert!(acts.iter().any(|act| matches!(act, Act::Media { resumed: true, .. })), "{acts:?}");
}

#[test]
fn what_is_not_given_of_other_media_does_not_end_it_and_sound_that_is_refused_twice_does() {
    let now = clock::now();
    let mut session = up(now);
    let chat = Line::Media(MediaType::Chat);
    session.connected(chat, now);
    let acts = hear(&mut session, chat, r#"{"msg_type":4,"status_code":13}"#, now);
    assert!(matches!(&acts[..], [Act::HangUp(line)] if *line == chat), "{acts:?}");
    session.connected(AUDIO, now);
    let refused = r#"{"msg_type":4,"status_code":20,"reason":"codec"}"#;
    let acts = hear(&mut session, AUDIO, refused, now);
    assert!(matches!(&acts[..], [Act::Dial(AUDIO, url)] if url == "wss://m.zoom.us"), "{acts:?}");
    let handshake = session.connected(AUDIO, now);
    let asks = |act: &Act| matches!(act, Act::Say(AUDIO, word) if word["media_params"]["audio"]["codec"] == 1);
    assert!(handshake.iter().any(asks), "samples are asked for: {handshake:?}");
    let acts = hear(&mut session, AUDIO, refused, now);
    assert!(matches!(&acts[..], [Act::Tell(MeetingEvent::Refused(_))]), "{acts:?}");
}

#[test]
fn media_that_come_up_while_signalling_is_away_are_said_to_be_ready_when_it_is_back() {
    let now = clock::now();
    let mut session = up(now);
    session.down(AUDIO, "cut", now);
    session.poll(now);
    session.connected(AUDIO, now);
    session.down(Line::Signalling, "cut", now);
    session.poll(now);
    assert!(hear(&mut session, AUDIO, FINE, now).is_empty(), "signalling has no handshake yet");
    session.connected(Line::Signalling, now);
    let acts = hear(&mut session, Line::Signalling, SERVERS, now);
    let ready =
        |act: &&Act| matches!(act, Act::Say(Line::Signalling, word) if word["msg_type"] == 7);
    assert_eq!(acts.iter().filter(ready).count(), 1, "{acts:?}");
}

#[test]
fn a_duplicate_is_waited_out_for_a_minute() {
    let now = clock::now();
    let mut session = begun(now);
    let mut at = now;
    let end = loop {
        session.connected(Line::Signalling, at);
        let duplicate = r#"{"msg_type":2,"status_code":8}"#;
        let acts = hear(&mut session, Line::Signalling, duplicate, at);
        assert!(matches!(&acts[..], [Act::HangUp(Line::Signalling)]), "{acts:?}");
        at = session.wake().unwrap();
        match &session.poll(at)[..] {
            [Act::Dial(..)] => {}
            [Act::Tell(MeetingEvent::Refused(failure))] => break failure.clone(),
            acts => panic!("{acts:?}"),
        }
    };
    assert_eq!(end.code, FailureCode::InternalError);
    assert!(at - now >= LONGEST_ABSENCE && at - now < LONGEST_ABSENCE * 2);
}

#[test]
fn a_session_that_stops_may_be_followed_by_another_and_media_on_their_way_still_come() {
    let now = clock::now();
    let mut session = up(now);
    let stopped = r#"{"msg_type":9,"state":5,"stop_reason":6}"#;
    assert!(hear(&mut session, Line::Signalling, stopped, now).is_empty());
    assert!(hear(&mut session, Line::Signalling, r#"{"msg_type":9,"state":2}"#, now).is_empty());
    assert!(session.stopped.is_none());
    hear(&mut session, Line::Signalling, stopped, now);
    let acts = hear(&mut session, Line::Signalling, r#"{"msg_type":8,"state":4}"#, now);
    assert!(matches!(&acts[..], [Act::Tell(MeetingEvent::Ended)]), "{acts:?}");
    let sound = r#"{"msg_type":14,"content":{"user_id":7,"data":"eA==","timestamp":5}}"#;
    assert!(!hear(&mut session, AUDIO, sound, now).is_empty());
    assert!(session.wake().is_none() && session.poll(now).is_empty());
}

/// When the bot of a stream that was lost at this time gives its meeting up, and with which code.
fn gives_up(lost: Duration) -> (Duration, FailureCode) {
    let mut brain = Brain::new(AutoLeave::default(), None, Duration::ZERO);
    brain.handle(Observed::Admitted, Duration::ZERO);
    let ada = Person { id: "7".to_owned(), name: "Ada".to_owned() };
    brain.handle(Observed::Joined(participant(&ada)), Duration::ZERO);
    brain.handle(Observed::Lost("stopped".to_owned()), lost);
    let Decision::WaitUntil(Some(at)) = brain.poll(lost) else { panic!("{brain:?}") };
    match brain.poll(at) {
        Decision::Leave(Cause::Failed(failure)) => (at, failure.code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stream_that_does_not_come_back_after_an_interruption_ends_its_job_within_90_seconds() {
    let now = clock::now();
    for reason in [7, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 24, 25, 26, 99] {
        for is_said in [true, false] {
            let mut session = up(now);
            let stopped = format!(r#"{{"msg_type":9,"state":5,"stop_reason":{reason}}}"#);
            assert!(hear(&mut session, Line::Signalling, &stopped, now).is_empty());
            let (mut at, mut acts) = (now, Vec::new());
            if is_said {
                let terminated = format!(r#"{{"msg_type":8,"state":4,"reason":{reason}}}"#);
                acts = hear(&mut session, Line::Signalling, &terminated, now);
            }
            // Else nothing more comes on any connection, and each new one is refused.
            while !acts.iter().any(|act| matches!(act, Act::Tell(MeetingEvent::Lost(_)))) {
                at = session.wake().unwrap();
                acts = session.poll(at);
                for line in [Line::Signalling, AUDIO] {
                    if acts.iter().any(|act| matches!(act, Act::Dial(it, _) if *it == line)) {
                        session.down(line, "refused", at);
                    }
                }
            }
            let (end, code) = gives_up(at - now);
            assert_eq!(code, FailureCode::NetworkLoss, "{reason}");
            assert!(end <= Duration::from_secs(90), "{reason}, {is_said}: {end:?}");
        }
    }
}
