//! Tests of a session of realtime media streams, from its first message to its end.

use meetbot_types::{AutoLeave, Cause};

use super::*;
use crate::{
    clock,
    leave_policy::{Decision, LeavePolicy, Observed},
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
    let (session, actions) = Session::begin(id, urls, wanted, now);
    assert!(
        matches!(&actions[..], [Action::Dial(Line::Signalling, url)] if url == "wss://a.zoom.us")
    );
    session
}

const AUDIO: Line = Line::Media(MediaType::Audio);
const FINE: &str = r#"{"msg_type":4,"status_code":0}"#;
const SERVERS: &str =
    r#"{"msg_type":2,"status_code":0,"media_server":{"server_urls":{"all":"wss://m.zoom.us"}}}"#;

fn on_message(session: &mut Session, line: Line, text: &str, now: Instant) -> Vec<Action> {
    session.on_message(line, Message::read(text).unwrap(), now)
}

/// A session whose audio connection is up.
fn up(now: Instant) -> Session {
    let mut session = begun(now);
    let handshake = session.connected(Line::Signalling, now);
    assert!(
        matches!(&handshake[..], [Action::Send(Line::Signalling, word)] if word["msg_type"] == 1)
    );
    let actions = on_message(&mut session, Line::Signalling, SERVERS, now);
    let dialled = actions.iter().filter(|act| matches!(act, Action::Dial(Line::Media(_), _)));
    assert_eq!(dialled.count(), 2, "{actions:?}");
    session.connected(AUDIO, now);
    let ready = on_message(&mut session, AUDIO, FINE, now);
    assert!(matches!(&ready[..], [Action::Send(Line::Signalling, word)] if word["msg_type"] == 7));
    session
}

#[test]
fn the_bot_is_admitted_by_the_first_media_or_after_a_second_without_any() {
    let now = clock::now();
    let mut session = up(now);
    let sound =
        r#"{"msg_type":14,"content":{"user_id":7,"user_name":"Ada","data":"eA==","timestamp":5}}"#;
    let actions = on_message(&mut session, AUDIO, sound, now);
    let [Action::Admit { people, first_ms: Some(5) }, Action::Media { resumed: false, .. }] =
        &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(people[0].name, "Ada");
    let mut quiet = up(now);
    assert!(quiet.poll(now).is_empty());
    let actions = quiet.poll(quiet.wake().unwrap());
    assert!(matches!(&actions[..], [Action::Admit { first_ms: None, .. }]), "{actions:?}");
    assert!(quiet.poll(now + Duration::from_secs(2)).is_empty(), "once");
}

#[test]
fn keep_alives_are_answered_on_the_same_connection_and_silence_reconnects() {
    let now = clock::now();
    let mut session = up(now);
    for line in [Line::Signalling, AUDIO] {
        let actions = on_message(&mut session, line, r#"{"msg_type":12,"timestamp":77}"#, now);
        let [Action::Send(on, word)] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!((*on, &word["msg_type"], &word["timestamp"]), (line, &13.into(), &77.into()));
    }
    let actions = session.poll(now + SILENCE);
    let down =
        |line: Line| actions.iter().any(|act| matches!(act, Action::HangUp(it) if *it == line));
    assert!(down(Line::Signalling) && down(AUDIO), "{actions:?}");
}

#[test]
fn a_meeting_that_is_silent_for_65_seconds_stays_connected_while_keep_alives_come() {
    let now = clock::now();
    let mut session = up(now);
    let mut at = now;
    let admitted = session.poll(now + FIRST_AUDIO_TIMEOUT);
    assert!(matches!(&admitted[..], [Action::Admit { .. }]), "{admitted:?}");
    for second in 1..=65 {
        at = now + Duration::from_secs(second);
        assert!(session.poll(at).is_empty(), "{second} s");
        if second % 10 == 0 {
            for line in [Line::Signalling, AUDIO] {
                let actions =
                    on_message(&mut session, line, r#"{"msg_type":12,"timestamp":1}"#, at);
                assert!(matches!(&actions[..], [Action::Send(..)]), "{actions:?}");
            }
        }
    }
    let sound = r#"{"msg_type":14,"content":{"user_id":7,"data":"eA==","timestamp":65000}}"#;
    let actions = on_message(&mut session, AUDIO, sound, at);
    let went_on = |act: &Action| matches!(act, Action::Media { resumed: false, .. });
    assert!(actions.iter().any(went_on), "{actions:?}");
}

#[test]
fn three_missing_keep_alives_reconnect_all_connections_in_order() {
    let now = clock::now();
    let mut session = up(now);
    session.poll(now + FIRST_AUDIO_TIMEOUT);
    let mut at = now;
    let mut dialled = Vec::new();
    // Zoom sends nothing on any connection: nothing happens for three keep-alives, then all reconnect.
    while at < now + SILENCE {
        at = session.wake().unwrap();
        dialled.extend(session.poll(at));
    }
    assert_eq!(at, now + SILENCE);
    for _ in 0..2 {
        dialled.extend(session.poll(at));
    }
    let dials = |line: Line| {
        let to = |act: &&Action| matches!(act, Action::Dial(it, _) if *it == line);
        dialled.iter().filter(to).count()
    };
    assert_eq!((dials(Line::Signalling), dials(AUDIO)), (1, 1), "{dialled:?}");
    // It is up again within its minute, and the next media are marked.
    session.connected(Line::Signalling, at);
    on_message(&mut session, Line::Signalling, SERVERS, at);
    session.connected(AUDIO, at);
    on_message(&mut session, AUDIO, FINE, at);
    let sound = r#"{"msg_type":14,"content":{"user_id":7,"data":"eA==","timestamp":65000}}"#;
    let actions = on_message(&mut session, AUDIO, sound, at);
    assert!(
        actions.iter().any(|act| matches!(act, Action::Media { resumed: true, .. })),
        "{actions:?}"
    );
}

#[test]
fn a_connection_is_retried_at_once_then_with_growing_waits_at_alternating_servers() {
    let now = clock::now();
    let mut session = up(now);
    let (mut at, mut waits, mut servers) = (now, Vec::new(), Vec::new());
    for _ in 0..4 {
        session.down(Line::Signalling, "cut", at);
        let retry = session.lines[&Line::Signalling].wake().unwrap();
        waits.push((retry - at).as_secs());
        at = retry;
        let actions = session.poll(at);
        servers.extend(actions.into_iter().find_map(|act| match act {
            Action::Dial(Line::Signalling, url) => Some(url),
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
    let actions = session.poll(at + Duration::from_secs(90));
    assert!(matches!(&actions[..], [.., Action::Emit(MeetingEvent::Lost(_))]), "{actions:?}");
}

#[test]
fn only_the_media_connection_that_zoom_reports_as_interrupted_reconnects() {
    let now = clock::now();
    let mut session = up(now);
    let named = r#"{"msg_type":6,"event":{"event_type":7,"media_type":1}}"#;
    let actions = on_message(&mut session, Line::Signalling, named, now);
    assert!(matches!(&actions[..], [Action::HangUp(line)] if *line == AUDIO), "{actions:?}");
    let actions = session.poll(now);
    assert!(matches!(&actions[..], [Action::Dial(line, _)] if *line == AUDIO), "{actions:?}");
    // If Zoom does not name it, it is the one without messages.
    let mut session = up(now);
    let unnamed = r#"{"msg_type":6,"event":{"event_type":7}}"#;
    assert!(on_message(&mut session, Line::Signalling, unnamed, now).is_empty());
    let actions = session.poll(now + INTERRUPTION_GRACE);
    let dropped = actions.iter().any(|act| matches!(act, Action::HangUp(line) if *line == AUDIO));
    assert!(dropped, "{actions:?}");
}

#[test]
fn a_stream_that_restarts_on_another_server_reconnects_and_its_media_are_marked() {
    let now = clock::now();
    let mut session = up(now);
    let actions = session.moved(vec!["wss://c.zoom.us".to_owned()], now);
    let anew = |act: &Action| matches!(act, Action::Dial(Line::Signalling, url) if url == "wss://c.zoom.us");
    assert!(
        actions.iter().any(anew) && actions.iter().any(|act| matches!(act, Action::HangUp(_))),
        "{actions:?}"
    );
    session.connected(Line::Signalling, now);
    on_message(&mut session, Line::Signalling, SERVERS, now);
    session.connected(AUDIO, now);
    on_message(&mut session, AUDIO, FINE, now);
    let sound = r#"{"msg_type":14,"content":{"user_id":7,"data":"eA==","timestamp":5}}"#;
    let actions = on_message(&mut session, AUDIO, sound, now);
    assert!(
        actions.iter().any(|act| matches!(act, Action::Media { resumed: true, .. })),
        "{actions:?}"
    );
}

#[test]
fn refused_video_does_not_end_the_session_but_audio_refused_twice_does() {
    let now = clock::now();
    let mut session = up(now);
    let chat = Line::Media(MediaType::Chat);
    session.connected(chat, now);
    let actions = on_message(&mut session, chat, r#"{"msg_type":4,"status_code":13}"#, now);
    assert!(matches!(&actions[..], [Action::HangUp(line)] if *line == chat), "{actions:?}");
    session.connected(AUDIO, now);
    let refused = r#"{"msg_type":4,"status_code":20,"reason":"codec"}"#;
    let actions = on_message(&mut session, AUDIO, refused, now);
    assert!(
        matches!(&actions[..], [Action::Dial(AUDIO, url)] if url == "wss://m.zoom.us"),
        "{actions:?}"
    );
    let handshake = session.connected(AUDIO, now);
    let asks = |act: &Action| matches!(act, Action::Send(AUDIO, word) if word["media_params"]["audio"]["codec"] == 1);
    assert!(handshake.iter().any(asks), "samples are requested: {handshake:?}");
    let actions = on_message(&mut session, AUDIO, refused, now);
    assert!(matches!(&actions[..], [Action::Emit(MeetingEvent::Refused(_))]), "{actions:?}");
}

#[test]
fn media_that_connect_while_signalling_is_down_are_announced_when_it_is_back() {
    let now = clock::now();
    let mut session = up(now);
    session.down(AUDIO, "cut", now);
    session.poll(now);
    session.connected(AUDIO, now);
    session.down(Line::Signalling, "cut", now);
    session.poll(now);
    assert!(
        on_message(&mut session, AUDIO, FINE, now).is_empty(),
        "signalling has no handshake yet"
    );
    session.connected(Line::Signalling, now);
    let actions = on_message(&mut session, Line::Signalling, SERVERS, now);
    let ready = |act: &&Action| matches!(act, Action::Send(Line::Signalling, word) if word["msg_type"] == 7);
    assert_eq!(actions.iter().filter(ready).count(), 1, "{actions:?}");
}

#[test]
fn a_duplicate_connection_is_retried_for_a_minute() {
    let now = clock::now();
    let mut session = begun(now);
    let mut at = now;
    let end = loop {
        session.connected(Line::Signalling, at);
        let duplicate = r#"{"msg_type":2,"status_code":8}"#;
        let actions = on_message(&mut session, Line::Signalling, duplicate, at);
        assert!(matches!(&actions[..], [Action::HangUp(Line::Signalling)]), "{actions:?}");
        at = session.wake().unwrap();
        match &session.poll(at)[..] {
            [Action::Dial(..)] => {}
            [Action::Emit(MeetingEvent::Refused(failure))] => break failure.clone(),
            actions => panic!("{actions:?}"),
        }
    };
    assert_eq!(end.code, FailureCode::InternalError);
    assert!(at - now >= LONGEST_ABSENCE && at - now < LONGEST_ABSENCE * 2);
}

#[test]
fn a_stopped_session_may_be_followed_by_another_and_late_media_are_kept() {
    let now = clock::now();
    let mut session = up(now);
    let stopped = r#"{"msg_type":9,"state":5,"stop_reason":6}"#;
    assert!(on_message(&mut session, Line::Signalling, stopped, now).is_empty());
    assert!(
        on_message(&mut session, Line::Signalling, r#"{"msg_type":9,"state":2}"#, now).is_empty()
    );
    assert!(session.stopped.is_none());
    on_message(&mut session, Line::Signalling, stopped, now);
    let actions = on_message(&mut session, Line::Signalling, r#"{"msg_type":8,"state":4}"#, now);
    assert!(matches!(&actions[..], [Action::Emit(MeetingEvent::Ended)]), "{actions:?}");
    let sound = r#"{"msg_type":14,"content":{"user_id":7,"data":"eA==","timestamp":5}}"#;
    assert!(!on_message(&mut session, AUDIO, sound, now).is_empty());
    assert!(session.wake().is_none() && session.poll(now).is_empty());
}

/// When a bot whose stream is lost at this time gives up, and the failure's code.
fn gives_up(lost: Duration) -> (Duration, FailureCode) {
    let mut leave_policy = LeavePolicy::new(AutoLeave::default(), None, Duration::ZERO);
    leave_policy.handle(Observed::Admitted, Duration::ZERO);
    let ada = Person { id: "7".to_owned(), name: "Ada".to_owned() };
    leave_policy.handle(Observed::Joined(participant(&ada)), Duration::ZERO);
    leave_policy.handle(Observed::Lost("stopped".to_owned()), lost);
    let Decision::WaitUntil(Some(at)) = leave_policy.poll(lost) else { panic!("{leave_policy:?}") };
    match leave_policy.poll(at) {
        Decision::Leave(Cause::Failed(failure)) => (at, failure.code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stream_that_stays_interrupted_ends_its_job_within_90_seconds() {
    let now = clock::now();
    for reason in [7, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 24, 25, 26, 99] {
        for is_said in [true, false] {
            let mut session = up(now);
            let stopped = format!(r#"{{"msg_type":9,"state":5,"stop_reason":{reason}}}"#);
            assert!(on_message(&mut session, Line::Signalling, &stopped, now).is_empty());
            let (mut at, mut actions) = (now, Vec::new());
            if is_said {
                let terminated = format!(r#"{{"msg_type":8,"state":4,"reason":{reason}}}"#);
                actions = on_message(&mut session, Line::Signalling, &terminated, now);
            }
            // Otherwise no connection gets messages, and each new one is refused.
            while !actions.iter().any(|act| matches!(act, Action::Emit(MeetingEvent::Lost(_)))) {
                at = session.wake().unwrap();
                actions = session.poll(at);
                for line in [Line::Signalling, AUDIO] {
                    if actions.iter().any(|act| matches!(act, Action::Dial(it, _) if *it == line)) {
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
