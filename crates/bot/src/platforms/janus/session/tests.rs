//! Conversations with a Janus server, as real ones were seen.

use meetbot_types::{FailureCode, MeetingLink};

use super::*;
use crate::{
    media::TrackId,
    platforms::janus::subscription::{ASK_AGAIN, MOST_TRIES},
};

/// A session whose handles are 1, 2 and 3, at the moment when it asks to join.
fn session(now: Instant) -> Session {
    session_after(Vec::new(), now)
}

/// The same, of a bot that was in the room before under these ids.
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
    assert_eq!(hear(&mut session, created("create", 50), now).len(), 3);
    let join = hear(&mut session, created("attach-roster", 1), now);
    let [Act::Send(join)] = join.as_slice() else { panic!("{join:?}") };
    let body = &join["body"];
    assert_eq!((&body["room"], &body["id"], &body["pin"]), (&json!(7), &json!(100), &json!("p")));
    hear(&mut session, created("attach-media", 2), now);
    hear(&mut session, created("attach-chat", 3), now);
    session
}

fn hear(session: &mut Session, message: Value, now: Instant) -> Vec<Act> {
    session.hear(serde_json::from_value(message).unwrap(), now).unwrap()
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
fn the_bot_is_in_when_the_roster_holds_it_and_what_is_sent_comes() {
    let now = start();
    let mut session = session(now);
    let acts = hear(&mut session, joined(&ann()), now);
    let [Act::Send(subscribe)] = acts.as_slice() else { panic!("{acts:?}") };
    assert_eq!(subscribe["body"]["streams"], json!([{"feed": 5, "mid": "0"}]));
    let mut offer = event(
        2,
        "subscribe",
        &json!({"videoroom": "attached", "streams": [{"mid": "a", "feed_id": 5, "feed_mid": "0"}]}),
    );
    offer["jsep"] = json!({"type": "offer", "sdp": "v=0"});
    let acts = hear(&mut session, offer, now);
    assert!(matches!(acts.as_slice(), [Act::Answer { handle: Handle::Media, .. }]), "{acts:?}");
    assert!(
        matches!(session.media_is_up(now), Some(Act::Tell(MeetingEvent::Admitted { people, .. })) if people.len() == 1)
    );
    assert_eq!(session.owner("a"), Some(("5".to_owned(), Source::Microphone)));
    assert_eq!(session.talks("a"), None);
    hear(&mut session, event(1, "", &json!({"videoroom": "talking", "id": 5})), now);
    assert_eq!(session.talks("a"), Some(true));
    let acts = hear(&mut session, event(1, "", &json!({"videoroom": "event", "leaving": 5})), now);
    assert!(
        matches!(acts.as_slice(), [Act::Tell(MeetingEvent::Left(id))] if id == "5"),
        "{acts:?}"
    );
}

#[test]
fn of_a_video_in_several_layers_the_best_is_asked_for_and_awaited() {
    let now = start();
    let mut session = session(now);
    let camera = json!([{"id": 5, "display": "Ann", "streams": [
        {"type": "video", "mid": "0", "codec": "vp8", "simulcast": true},
    ]}]);
    let acts = hear(&mut session, joined(&camera), now);
    let [Act::Send(subscribe)] = acts.as_slice() else { panic!("{acts:?}") };
    let best = json!([{"feed": 5, "mid": "0", "substream": 2, "temporal": 2}]);
    assert_eq!(subscribe["body"]["streams"], best);
    let streams = json!([{"mid": "a", "feed_id": 5, "feed_mid": "0"}]);
    let attached = json!({"videoroom": "attached", "streams": streams});
    hear(&mut session, event(2, "subscribe", &attached), now);
    let switched =
        |layer: u32| event(2, "", &json!({"videoroom": "event", "mid": "a", "substream": layer}));
    hear(&mut session, switched(0), now);
    assert!(!session.streams.picture(TrackId::named("a"), now));
    hear(&mut session, switched(2), now);
    assert!(session.streams.picture(TrackId::named("a"), now));
    let updated = json!({"videoroom": "updated", "streams": streams});
    hear(&mut session, event(2, "", &updated), now);
    assert!(session.streams.picture(TrackId::named("a"), now), "it is the same video still");
}

#[test]
fn an_empty_room_needs_no_media_path() {
    let now = start();
    let acts = hear(&mut session(now), joined(&json!([])), now);
    assert!(matches!(acts.as_slice(), [Act::Tell(MeetingEvent::Admitted { .. })]), "{acts:?}");
}

#[test]
fn what_is_encrypted_end_to_end_keeps_nothing_else_away() {
    let now = start();
    let mut session = session(now);
    let eve = json!([{"id": 6, "display": "Eve", "streams": [{"type": "audio", "mid": "0", "codec": "opus"}]}]);
    hear(&mut session, joined(&eve), now);
    let mut offer = event(2, "subscribe", &json!({"videoroom": "attached", "streams": []}));
    offer["jsep"] = json!({"type": "offer", "sdp": "v=0", "e2ee": true});
    let acts = hear(&mut session, offer, now);
    let [Act::Send(detach), Act::Send(attach), Act::Tell(MeetingEvent::Admitted { .. })] =
        acts.as_slice()
    else {
        panic!("{acts:?}")
    };
    assert_eq!((&detach["janus"], &detach["handle_id"]), (&json!("detach"), &json!(2)));
    assert_eq!(attach["plugin"], "janus.plugin.videoroom");
    let acts = hear(&mut session, json!({"janus": "detached", "sender": 2}), now);
    assert!(acts.is_empty(), "{acts:?}");
    let came = json!({"videoroom": "event", "publishers": ann()});
    let acts = hear(&mut session, event(1, "", &came), now);
    assert!(matches!(acts.as_slice(), [Act::Tell(MeetingEvent::Joined(_))]), "{acts:?}");
    let attached = json!({"janus": "success", "transaction": "attach-media", "data": {"id": 4}});
    let acts = hear(&mut session, attached, now);
    let [Act::Send(subscribe)] = acts.as_slice() else { panic!("{acts:?}") };
    assert_eq!(subscribe["handle_id"], 4);
    assert_eq!(subscribe["body"]["request"], "join");
    assert_eq!(subscribe["body"]["streams"], json!([{"feed": 5, "mid": "0"}]));
}

#[test]
fn a_ghost_of_the_bot_itself_is_nobody() {
    let now = start();
    let mut second = session_after(vec!["100".to_owned()], now);
    let ghost = json!([{"id": 100, "display": "meetbot"}]);
    let back = json!({"videoroom": "joined", "id": 101, "publishers": [], "attendees": ghost});
    let acts = hear(&mut second, event(1, "join", &back), now);
    let nobody = |acts: &[Act]| matches!(acts, [Act::Tell(MeetingEvent::Admitted { people, .. })] if people.is_empty());
    assert!(nobody(&acts), "{acts:?}");
    for word in [json!({"joining": ghost[0]}), json!({"leaving": 100})] {
        let mut word = word;
        word["videoroom"] = "event".into();
        let acts = hear(&mut second, event(1, "", &word), now);
        assert!(acts.is_empty(), "{acts:?}");
    }
}

#[test]
fn streams_that_are_refused_are_asked_for_again_but_not_for_ever() {
    let now = start();
    let mut session = session(now);
    hear(&mut session, joined(&ann()), now);
    let refused = || event(2, "subscribe", &json!({"error_code": 428, "error": "no such feed"}));
    let mut at = now;
    for _ in 1..MOST_TRIES {
        assert!(hear(&mut session, refused(), at).is_empty(), "nothing yet, and not in yet");
        assert!(session.poll(at).unwrap().is_empty(), "not at once");
        at = session.wake();
        assert_eq!(at - session.heard, ASK_AGAIN);
        assert_eq!(session.poll(at).unwrap().len(), 1);
        assert!(session.wake() > at, "an answer is awaited");
        session.heard = at;
    }
    let acts = hear(&mut session, refused(), at);
    assert!(matches!(acts.as_slice(), [Act::Tell(MeetingEvent::Admitted { .. })]), "{acts:?}");
    assert!(session.poll(at + ASK_AGAIN).unwrap().is_empty());
    assert!(session.wake() > at + ASK_AGAIN, "nothing is due any more");
    assert!(!session.misses_media(at + MEDIA_PATIENCE), "no media path is missed");
}

#[test]
fn streams_that_were_refused_are_forgotten_when_their_sender_is_gone() {
    let now = start();
    let mut session = session(now);
    hear(&mut session, joined(&ann()), now);
    let refused = json!({"error_code": 428, "error": "no such feed"});
    hear(&mut session, event(2, "subscribe", &refused), now);
    hear(&mut session, event(1, "", &json!({"videoroom": "event", "leaving": 5})), now);
    assert_eq!(session.wake(), now + KEEPALIVE, "nothing is due any more");
    assert!(!session.misses_media(now + MEDIA_PATIENCE), "no media path is missed");
}

#[test]
fn a_media_path_is_missed_when_it_is_late() {
    let now = start();
    let mut session = session(now);
    hear(&mut session, joined(&ann()), now);
    assert!(!session.misses_media(session.wake().checked_sub(Duration::from_millis(1)).unwrap()));
    assert!(session.misses_media(now + MEDIA_PATIENCE));
    assert_eq!(session.wake(), now + MEDIA_PATIENCE, "it is looked at in time");
    session.media_is_up(now);
    assert!(!session.misses_media(now + MEDIA_PATIENCE));
}

#[test]
fn a_candidate_that_janus_does_not_take_ends_nothing() {
    let now = start();
    let mut session = session(now);
    hear(&mut session, joined(&ann()), now);
    let told = session.candidate(Handle::Media, "candidate:1 1 udp 1 192.0.2.1 9 typ host");
    assert_eq!((&told["janus"], &told["handle_id"]), (&json!("trickle"), &json!(2)));
    let refused = json!({
        "janus": "error", "transaction": told["transaction"],
        "error": {"code": 466, "reason": "no"},
    });
    assert!(hear(&mut session, refused, now).is_empty());
}

#[test]
fn the_session_is_kept_alive_and_a_silent_server_is_given_up() {
    let now = start();
    let mut session = session(now);
    assert_eq!(session.wake(), now + KEEPALIVE);
    let acts = session.poll(now + KEEPALIVE).unwrap();
    assert!(matches!(acts.as_slice(), [Act::Send(word)] if word["janus"] == "keepalive"));
    assert!(session.poll(now + PATIENCE).unwrap_err().contains("silent"));
}

#[test]
fn a_room_that_closes_says_so_before_its_media_path_is_missed() {
    let now = start();
    let mut session = session(now);
    hear(&mut session, joined(&json!([])), now);
    hear(&mut session, json!({"janus": "hangup", "sender": 2, "reason": "Close PC"}), now);
    let acts = hear(&mut session, event(1, "", &json!({"videoroom": "destroyed"})), now);
    assert!(matches!(acts.as_slice(), [Act::Tell(MeetingEvent::Ended)]), "{acts:?}");
    assert!(session.poll(now + LAST_WORDS).unwrap_err().contains("Close PC"));
}

#[test]
fn every_refusal_has_its_code() {
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
        let acts = hear(&mut session(now), refused, now);
        let [Act::Tell(MeetingEvent::Refused(failure))] = acts.as_slice() else {
            panic!("{acts:?}")
        };
        assert_eq!(failure.code, expected, "{code}");
    }
}
