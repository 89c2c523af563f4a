//! Tests: conversations with a Janus server, as observed with real ones.

use meetbot_types::{FailureCode, MeetingLink};

use super::*;
use crate::{
    media::TrackId,
    platforms::janus::subscription::{MOST_TRIES, RETRY_AFTER},
};

/// A session whose handles are 1, 2 and 3, when it asks to join.
fn session(now: Instant) -> Session {
    session_after(Vec::new(), now)
}

/// The same, for a bot that was in the room before under these ids.
fn session_after(former: Vec<String>, now: Instant) -> Session {
    let link = MeetingLink::parse("janus+ws://h/?room=7&pin=p&textroom=9", None).unwrap();
    let (mut session, first) = Session::begin(
        &Address::of(&link).unwrap(),
        "Notes".to_owned(),
        Id::Number(100),
        former,
        now,
    );
    assert_eq!(first["janus"], "create");
    let created = |transaction: &str, id: u64| json!({"janus": "success", "transaction": transaction, "data": {"id": id}});
    assert_eq!(on_message(&mut session, created("create", 50), now).len(), 3);
    let join = on_message(&mut session, created("attach-roster", 1), now);
    let [Action::Send(join)] = join.as_slice() else { panic!("{join:?}") };
    let body = &join["body"];
    assert_eq!((&body["room"], &body["id"], &body["pin"]), (&json!(7), &json!(100), &json!("p")));
    on_message(&mut session, created("attach-media", 2), now);
    on_message(&mut session, created("attach-chat", 3), now);
    session
}

fn on_message(session: &mut Session, message: Value, now: Instant) -> Vec<Action> {
    session.on_message(serde_json::from_value(message).unwrap(), now).unwrap()
}

fn event(handle: u64, transaction: &str, data: &Value) -> Value {
    json!({"janus": "event", "sender": handle, "transaction": transaction, "plugindata": {"data": data}})
}

fn joined(publishers: &Value) -> Value {
    event(
        1,
        "join",
        &json!({"videoroom": "joined", "id": 100, "publishers": publishers, "attendees": []}),
    )
}

fn ann() -> Value {
    json!([{"id": 5, "display": "Ann", "streams": [{"type": "audio", "mid": "0", "codec": "opus"}]}])
}

#[expect(clippy::disallowed_methods, reason = "a test needs some moment to begin with")]
fn start() -> Instant {
    Instant::now()
}

#[test]
fn the_bot_is_admitted_once_the_roster_lists_it_and_its_streams_arrive() {
    let now = start();
    let mut session = session(now);
    let actions = on_message(&mut session, joined(&ann()), now);
    let [Action::Send(subscribe)] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(subscribe["body"]["streams"], json!([{"feed": 5, "mid": "0"}]));
    let mut offer = event(
        2,
        "subscribe",
        &json!({"videoroom": "attached", "streams": [{"mid": "a", "feed_id": 5, "feed_mid": "0"}]}),
    );
    offer["jsep"] = json!({"type": "offer", "sdp": "v=0"});
    let actions = on_message(&mut session, offer, now);
    assert!(
        matches!(actions.as_slice(), [Action::Answer { handle: Handle::Media, .. }]),
        "{actions:?}"
    );
    assert!(
        matches!(session.media_is_up(now), Some(Action::Emit(MeetingEvent::Admitted { people, .. })) if people.len() == 1)
    );
    assert_eq!(session.owner("a"), Some(("5".to_owned(), Source::Microphone)));
    assert_eq!(session.talks("a"), None);
    on_message(&mut session, event(1, "", &json!({"videoroom": "talking", "id": 5})), now);
    assert_eq!(session.talks("a"), Some(true));
    let actions =
        on_message(&mut session, event(1, "", &json!({"videoroom": "event", "leaving": 5})), now);
    assert!(
        matches!(actions.as_slice(), [Action::Emit(MeetingEvent::Left(id))] if id == "5"),
        "{actions:?}"
    );
}

#[test]
fn the_best_layer_of_a_simulcast_video_is_requested_and_awaited() {
    let now = start();
    let mut session = session(now);
    let camera = json!([{"id": 5, "display": "Ann", "streams": [
        {"type": "video", "mid": "0", "codec": "vp8", "simulcast": true},
    ]}]);
    let actions = on_message(&mut session, joined(&camera), now);
    let [Action::Send(subscribe)] = actions.as_slice() else { panic!("{actions:?}") };
    let best = json!([{"feed": 5, "mid": "0", "substream": 2, "temporal": 2}]);
    assert_eq!(subscribe["body"]["streams"], best);
    let streams = json!([{"mid": "a", "feed_id": 5, "feed_mid": "0"}]);
    let attached = json!({"videoroom": "attached", "streams": streams});
    on_message(&mut session, event(2, "subscribe", &attached), now);
    let switched =
        |layer: u32| event(2, "", &json!({"videoroom": "event", "mid": "a", "substream": layer}));
    on_message(&mut session, switched(0), now);
    assert!(!session.streams.picture(TrackId::named("a"), now));
    on_message(&mut session, switched(2), now);
    assert!(session.streams.picture(TrackId::named("a"), now));
    let updated = json!({"videoroom": "updated", "streams": streams});
    on_message(&mut session, event(2, "", &updated), now);
    assert!(session.streams.picture(TrackId::named("a"), now), "it is still the same video");
}

#[test]
fn an_empty_room_needs_no_media_path() {
    let now = start();
    let actions = on_message(&mut session(now), joined(&json!([])), now);
    assert!(
        matches!(actions.as_slice(), [Action::Emit(MeetingEvent::Admitted { .. })]),
        "{actions:?}"
    );
}

#[test]
fn end_to_end_encrypted_streams_do_not_block_others() {
    let now = start();
    let mut session = session(now);
    let eve = json!([{"id": 6, "display": "Eve", "streams": [{"type": "audio", "mid": "0", "codec": "opus"}]}]);
    on_message(&mut session, joined(&eve), now);
    let mut offer = event(2, "subscribe", &json!({"videoroom": "attached", "streams": []}));
    offer["jsep"] = json!({"type": "offer", "sdp": "v=0", "e2ee": true});
    let actions = on_message(&mut session, offer, now);
    let [Action::Send(detach), Action::Send(attach), Action::Emit(MeetingEvent::Admitted { .. })] =
        actions.as_slice()
    else {
        panic!("{actions:?}")
    };
    assert_eq!((&detach["janus"], &detach["handle_id"]), (&json!("detach"), &json!(2)));
    assert_eq!(attach["plugin"], "janus.plugin.videoroom");
    let actions = on_message(&mut session, json!({"janus": "detached", "sender": 2}), now);
    assert!(actions.is_empty(), "{actions:?}");
    let came = json!({"videoroom": "event", "publishers": ann()});
    let actions = on_message(&mut session, event(1, "", &came), now);
    assert!(matches!(actions.as_slice(), [Action::Emit(MeetingEvent::Joined(_))]), "{actions:?}");
    let attached = json!({"janus": "success", "transaction": "attach-media", "data": {"id": 4}});
    let actions = on_message(&mut session, attached, now);
    let [Action::Send(subscribe)] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(subscribe["handle_id"], 4);
    assert_eq!(subscribe["body"]["request"], "join");
    assert_eq!(subscribe["body"]["streams"], json!([{"feed": 5, "mid": "0"}]));
}

#[test]
fn an_earlier_session_of_the_bot_is_not_a_participant() {
    let now = start();
    let mut second = session_after(vec!["100".to_owned()], now);
    let earlier = json!([{"id": 100, "display": "meetbot"}]);
    let back = json!({"videoroom": "joined", "id": 101, "publishers": [], "attendees": earlier});
    let actions = on_message(&mut second, event(1, "join", &back), now);
    let nobody = |actions: &[Action]| matches!(actions, [Action::Emit(MeetingEvent::Admitted { people, .. })] if people.is_empty());
    assert!(nobody(&actions), "{actions:?}");
    for word in [json!({"joining": earlier[0]}), json!({"leaving": 100})] {
        let mut word = word;
        word["videoroom"] = "event".into();
        let actions = on_message(&mut second, event(1, "", &word), now);
        assert!(actions.is_empty(), "{actions:?}");
    }
}

#[test]
fn refused_streams_are_requested_again_a_limited_number_of_times() {
    let now = start();
    let mut session = session(now);
    on_message(&mut session, joined(&ann()), now);
    let refused = || event(2, "subscribe", &json!({"error_code": 428, "error": "no such feed"}));
    let mut at = now;
    for _ in 1..MOST_TRIES {
        assert!(
            on_message(&mut session, refused(), at).is_empty(),
            "no request yet, and not admitted yet"
        );
        assert!(session.poll(at).unwrap().is_empty(), "not immediately");
        at = session.wake();
        assert_eq!(at - session.last_message, RETRY_AFTER);
        assert_eq!(session.poll(at).unwrap().len(), 1);
        assert!(session.wake() > at, "a request is pending");
        session.last_message = at;
    }
    let actions = on_message(&mut session, refused(), at);
    assert!(
        matches!(actions.as_slice(), [Action::Emit(MeetingEvent::Admitted { .. })]),
        "{actions:?}"
    );
    assert!(session.poll(at + RETRY_AFTER).unwrap().is_empty());
    assert!(session.wake() > at + RETRY_AFTER, "nothing is due any more");
    assert!(!session.is_media_overdue(at + MEDIA_TIMEOUT), "no media path is overdue");
}

#[test]
fn refused_streams_are_dropped_when_their_sender_leaves() {
    let now = start();
    let mut session = session(now);
    on_message(&mut session, joined(&ann()), now);
    let refused = json!({"error_code": 428, "error": "no such feed"});
    on_message(&mut session, event(2, "subscribe", &refused), now);
    on_message(&mut session, event(1, "", &json!({"videoroom": "event", "leaving": 5})), now);
    assert_eq!(session.wake(), now + KEEPALIVE, "nothing is due any more");
    assert!(!session.is_media_overdue(now + MEDIA_TIMEOUT), "no media path is overdue");
}

#[test]
fn a_late_media_path_is_overdue() {
    let now = start();
    let mut session = session(now);
    on_message(&mut session, joined(&ann()), now);
    assert!(
        !session.is_media_overdue(session.wake().checked_sub(Duration::from_millis(1)).unwrap())
    );
    assert!(session.is_media_overdue(now + MEDIA_TIMEOUT));
    assert_eq!(session.wake(), now + MEDIA_TIMEOUT, "the session wakes in time");
    session.media_is_up(now);
    assert!(!session.is_media_overdue(now + MEDIA_TIMEOUT));
}

#[test]
fn a_candidate_that_janus_refuses_does_not_end_the_session() {
    let now = start();
    let mut session = session(now);
    on_message(&mut session, joined(&ann()), now);
    let sent = session.candidate(Handle::Media, "candidate:1 1 udp 1 192.0.2.1 9 typ host");
    assert_eq!((&sent["janus"], &sent["handle_id"]), (&json!("trickle"), &json!(2)));
    let refused = json!({
        "janus": "error", "transaction": sent["transaction"],
        "error": {"code": 466, "reason": "no"},
    });
    assert!(on_message(&mut session, refused, now).is_empty());
}

#[test]
fn keepalives_are_sent_and_a_silent_server_is_given_up() {
    let now = start();
    let mut session = session(now);
    assert_eq!(session.wake(), now + KEEPALIVE);
    let actions = session.poll(now + KEEPALIVE).unwrap();
    assert!(matches!(actions.as_slice(), [Action::Send(word)] if word["janus"] == "keepalive"));
    assert!(session.poll(now + SERVER_TIMEOUT).unwrap_err().contains("does not answer"));
}

#[test]
fn the_end_of_a_room_counts_before_the_loss_of_its_media_path() {
    let now = start();
    let mut session = session(now);
    on_message(&mut session, joined(&json!([])), now);
    on_message(&mut session, json!({"janus": "hangup", "sender": 2, "reason": "Close PC"}), now);
    let actions = on_message(&mut session, event(1, "", &json!({"videoroom": "destroyed"})), now);
    assert!(matches!(actions.as_slice(), [Action::Emit(MeetingEvent::Ended)]), "{actions:?}");
    assert!(session.poll(now + CLOSE_REASON_TIMEOUT).unwrap_err().contains("Close PC"));
}

#[test]
fn every_refusal_has_its_failure_code() {
    for (code, expected) in [
        (426, FailureCode::MeetingNotFound),
        (429, FailureCode::AuthFailure),
        (430, FailureCode::MeetingNotFound),
        (432, FailureCode::MeetingFull),
        (433, FailureCode::AuthFailure),
        (499, FailureCode::InternalError),
    ] {
        let now = start();
        let refused =
            event(1, "join", &json!({"videoroom": "event", "error_code": code, "error": "why"}));
        let actions = on_message(&mut session(now), refused, now);
        let [Action::Emit(MeetingEvent::Refused(failure))] = actions.as_slice() else {
            panic!("{actions:?}")
        };
        assert_eq!(failure.code, expected, "{code}");
    }
}
