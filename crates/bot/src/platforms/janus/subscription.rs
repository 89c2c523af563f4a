//! The bot's subscription: the requested streams, and the tracks on which they arrive. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    layers::{BEST, Layers},
    message::{Id, RoomEvent},
    roster::{Roster, StreamId},
};
use crate::{bounds, media::TrackId, meeting::Source, platforms::keyframes::Keyframes};

/// How long to wait before refused streams are requested again: their sender may just have left.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How often a stream is requested at most.
pub(super) const MOST_TRIES: u32 = 5;
/// After this many refusals, a stream is requested without those of other people, and then alone. Janus refuses the whole request if it does not grant one of
/// its streams; mostly a sender has just left, and the next request for the others succeeds.
const SEPARATE_AFTER: u32 = 2;

/// The bot's subscription.
#[derive(Debug, Default)]
pub(crate) struct Subscription {
    /// Cameras are not requested.
    without_cameras: bool,
    /// Active streams that may be recorded, by sender and `mid`.
    known: HashMap<Id, BTreeMap<String, Known>>,
    /// Streams that must be requested, by the number of their refusals.
    due: BTreeSet<(u32, StreamId)>,
    /// Refused streams, and when they are due again.
    refused: BTreeSet<(Instant, StreamId)>,
    /// How many streams are requested or arrive.
    asked: usize,
    /// How many streams are known.
    count: usize,
    /// The stream of each track of the bot's session.
    tracks: HashMap<String, StreamId>,
    /// The subscriber has joined the room: later streams are added.
    subscribed: bool,
    /// The streams of the pending request.
    asking: Option<Vec<StreamId>>,
    /// Videos that have begun recently.
    pub(crate) keyframes: Keyframes,
    layers: Layers,
}

/// An active stream.
#[derive(Debug)]
struct Known {
    /// Its source, which does not change while it is requested or arrives.
    source: Option<Source>,
    video: bool,
    /// How often Janus refused it.
    tries: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In [`Subscription::due`].
    Due,
    /// It is requested, or arrives.
    Requested,
    /// In [`Subscription::refused`] until then; `None`: it is not requested any more.
    Refused(Option<Instant>),
}

impl Subscription {
    /// Requests no cameras.
    pub(crate) const fn exclude_cameras(&mut self) {
        self.without_cameras = true;
    }

    /// Whether no stream arrives, and none will be requested.
    pub(crate) fn is_empty(&self) -> bool {
        self.asked == 0 && self.asking.is_none() && self.due.is_empty() && self.refused.is_empty()
    }

    /// How many streams are known.
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// Whether Janus has opened the media session.
    pub(crate) const fn is_open(&self) -> bool {
        self.subscribed
    }

    /// The next request for streams. The first one contains `join`.
    pub(crate) fn ask(&mut self, roster: &mut Roster, join: Value, now: Instant) -> Option<Value> {
        for feed in roster.take_changed() {
            self.update_feed(&feed, roster);
        }
        while let Some((again, _)) = self.refused.first()
            && *again <= now
            && let Some((_, stream)) = self.refused.pop_first()
        {
            let source = self.free_source(&stream, roster);
            let Some(known) = self.get_mut(&stream) else { continue };
            known.source = source;
            if source.is_some() {
                known.state = State::Due;
                let tries = known.tries;
                self.due.insert((tries, stream));
            } else {
                known.state = State::Refused(None);
            }
        }
        if self.asking.is_some() {
            return None;
        }
        let (fewest, first) = self.due.first()?.clone();
        let together: Vec<StreamId> = if fewest > SEPARATE_AFTER {
            vec![first]
        } else {
            let of_fewest = self.due.iter().take_while(|(tries, _)| *tries == fewest);
            let apart = fewest == SEPARATE_AFTER;
            let of_feed = of_fewest.take_while(|(_, stream)| !apart || stream.feed == first.feed);
            of_feed.map(|(_, stream)| stream.clone()).collect()
        };
        let mut streams = Vec::with_capacity(together.len());
        for stream in &together {
            let mut asked = json!({"feed": stream.feed, "mid": stream.mid});
            if roster.is_layered(stream) {
                asked["substream"] = BEST.into();
                asked["temporal"] = BEST.into();
            }
            streams.push(asked);
            self.due.remove(&(fewest, stream.clone()));
            if let Some(known) = self.get_mut(stream) {
                known.state = State::Requested;
                self.asked += 1;
            }
        }
        let mut body = if self.subscribed { json!({"request": "subscribe"}) } else { join };
        body["streams"] = streams.into();
        self.asking = Some(together);
        Some(body)
    }

    /// Updates the streams of a person. A stream that ends is removed; if it begins again, its source may differ.
    fn update_feed(&mut self, feed: &Id, roster: &Roster) {
        let sent: HashMap<&str, bool> = roster.streams_of(feed).collect();
        let known = self.known.remove(feed).unwrap_or_default();
        let (stays, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            known.into_iter().partition(|(mid, _)| sent.contains_key(mid.as_str()));
        self.count -= gone.len();
        for (mid, known) in gone {
            let stream = StreamId { feed: feed.clone(), mid };
            match known.state {
                State::Due => drop(self.due.remove(&(known.tries, stream))),
                State::Requested => self.asked -= 1,
                State::Refused(Some(again)) => drop(self.refused.remove(&(again, stream))),
                State::Refused(None) => {}
            }
        }
        if !stays.is_empty() {
            self.known.insert(feed.clone(), stays);
        }
        for (mid, video) in roster.streams_of(feed) {
            let stream = StreamId { feed: feed.clone(), mid: mid.to_owned() };
            if self.get(&stream).is_some() {
                continue;
            }
            // No source is free for it; one may become free when another stream of the person ends.
            let Some(source) = self.free_source(&stream, roster) else { continue };
            let known = Known { source: Some(source), video, tries: 0, state: State::Due };
            self.known.entry(feed.clone()).or_default().insert(mid.to_owned(), known);
            self.count += 1;
            self.due.insert((0, stream));
        }
    }

    fn get(&self, stream: &StreamId) -> Option<&Known> {
        self.known.get(&stream.feed)?.get(&stream.mid)
    }

    fn get_mut(&mut self, stream: &StreamId) -> Option<&mut Known> {
        self.known.get_mut(&stream.feed)?.get_mut(&stream.mid)
    }

    /// The source of a stream; two simultaneous streams of a person never share one. `None` if no source is free.
    fn free_source(&self, stream: &StreamId, roster: &Roster) -> Option<Source> {
        let is_wanted = |source: &Source| !self.without_cameras || *source != Source::Camera;
        let likely = roster.source(stream).filter(is_wanted)?;
        let video = roster.is_video(stream);
        let other = match likely {
            Source::Screen if video => Source::Camera,
            Source::Screen => Source::Microphone,
            _ => Source::Screen,
        };
        let is_free = |source: &Source| {
            let mut beside = self.known.get(&stream.feed).into_iter().flatten();
            beside.all(|(_, known)| known.video != video || known.source != Some(*source))
        };
        [likely, other].into_iter().filter(is_wanted).find(is_free)
    }

    /// The pending request was refused.
    pub(crate) fn refuse(&mut self, now: Instant) {
        for stream in self.asking.take().into_iter().flatten() {
            let Some(known) = self.get_mut(&stream) else { continue };
            known.tries += 1;
            let again = (known.tries < MOST_TRIES).then_some(now + RETRY_AFTER);
            (known.source, known.state) = (None, State::Refused(again));
            self.asked -= 1;
            self.refused.extend(again.map(|again| (again, stream)));
        }
    }

    /// The streams of the pending request cannot be used.
    pub(crate) fn give_up(&mut self) {
        for stream in self.asking.take().into_iter().flatten() {
            let Some(known) = self.get_mut(&stream) else { continue };
            known.tries = MOST_TRIES;
            (known.source, known.state) = (None, State::Refused(None));
            self.asked -= 1;
        }
    }

    /// Handles an answer or event of the subscription that is not a refusal; `offer` is true if it has a session description. Returns whether the pending
    /// request is finished.
    pub(crate) fn on_event(
        &mut self,
        event: RoomEvent,
        offer: bool,
        roster: &Roster,
        now: Instant,
    ) -> bool {
        for stream in event.streams {
            if let (Some(mid), Some(feed), Some(feed_mid)) =
                (stream.mid, stream.feed_id, stream.feed_mid)
            {
                self.assign_track(mid, StreamId { feed, mid: feed_mid }, roster);
            }
        }
        if let (Some(mid), Some(layer)) = (event.mid, event.substream) {
            self.layers.switched(&mid, layer, now);
        }
        self.subscribed |= offer;
        let settled =
            event.started.is_some() || event.videoroom.as_deref() == Some("updated") && !offer;
        if settled {
            for stream in self.asking.take().into_iter().flatten() {
                if let Some(known) = self.get_mut(&stream) {
                    known.tries = 0;
                }
            }
        }
        settled
    }

    /// Assigns a stream to a track.
    fn assign_track(&mut self, mid: String, stream: StreamId, roster: &Roster) {
        let before = self.tracks.get(&mid);
        // A session description has a bounded number of tracks.
        if before == Some(&stream) || before.is_none() && self.tracks.len() >= bounds::STREAMS {
            return;
        }
        if roster.is_layered(&stream) {
            self.layers.begin(&mid);
        } else {
            self.layers.remove(&mid);
        }
        self.tracks.insert(mid, stream);
    }

    /// A picture arrived on a track. Returns whether its layer is recorded.
    pub(crate) fn picture(&mut self, track: TrackId, now: Instant) -> bool {
        self.keyframes.picture(track, now);
        self.layers.settled(track.name(), now)
    }

    /// The sender of a track.
    pub(crate) fn feed(&self, mid: &str) -> Option<&Id> {
        self.tracks.get(mid).map(|stream| &stream.feed)
    }

    /// The source of a track.
    pub(crate) fn source(&self, mid: &str) -> Option<Source> {
        self.get(self.tracks.get(mid)?)?.source
    }

    /// When refused streams are requested again, unless a request is pending.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.refused.first().map(|(again, _)| *again).filter(|_| self.asking.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(people: &[(u64, &[&str])]) -> Roster {
        let mut roster = Roster::default();
        for (id, mids) in people {
            let stream = |mid| json!({"type": "audio", "mid": mid, "codec": "opus"});
            let streams: Vec<_> = mids.iter().map(stream).collect();
            roster.update(serde_json::from_value(json!({"id": id, "streams": streams})).unwrap());
        }
        roster
    }

    #[expect(clippy::disallowed_methods, reason = "a test needs some moment to begin with")]
    fn start() -> Instant {
        Instant::now()
    }

    /// A Janus that refuses every request with a stream of feed 6. Returns the granted streams, and when the last request was made.
    fn without_six(
        streams: &mut Subscription,
        roster: &mut Roster,
        start: Instant,
    ) -> (Vec<Value>, Duration) {
        let (mut given, mut now) = (Vec::new(), start);
        loop {
            while let Some(body) = streams.ask(roster, json!({"request": "join"}), now) {
                assert!(streams.ask(roster, json!({}), now).is_none(), "a request is pending");
                let asked = body["streams"].as_array().unwrap();
                if asked.iter().any(|stream| stream["feed"] == 6) {
                    streams.refuse(now);
                } else {
                    given.extend(asked.iter().cloned());
                    let started = serde_json::from_value(json!({"started": "ok"})).unwrap();
                    assert!(streams.on_event(started, true, roster, now));
                }
            }
            let Some(again) = streams.retry_at() else { return (given, now - start) };
            assert!(again > now, "not immediately");
            now = again;
        }
    }

    #[test]
    fn a_stream_that_janus_refuses_does_not_block_those_of_others() {
        let start = start();
        let mut streams = Subscription::default();
        let mut everyone = roster(&[(5, &["0", "1"]), (6, &["0", "1"]), (7, &["0"])]);
        let (mut given, took) = without_six(&mut streams, &mut everyone, start);
        given.sort_by_key(ToString::to_string);
        let stream = |feed: u64, mid: &str| json!({"feed": feed, "mid": mid});
        assert_eq!(given, [stream(5, "0"), stream(5, "1"), stream(7, "0")]);
        assert_eq!(took, RETRY_AFTER * (MOST_TRIES - 1));
        assert!(!streams.is_empty());

        let end = start + took;
        let mut later = roster(&[(5, &["0", "1"]), (6, &["0", "1"]), (7, &["0"]), (8, &["0"])]);
        let (given, took) = without_six(&mut streams, &mut later, end);
        assert_eq!(
            (given, took),
            (vec![stream(8, "0")], Duration::ZERO),
            "the newcomer's streams are requested at once"
        );
    }

    #[test]
    fn if_every_request_is_refused_the_subscription_stays_empty() {
        let start = start();
        let mut streams = Subscription::default();
        let mut eve = roster(&[(6, &["0"])]);
        assert!(streams.ask(&mut eve, json!({}), start).is_some());
        streams.refuse(start);
        assert!(!streams.is_empty(), "it is requested again");
        assert!(without_six(&mut streams, &mut eve, start).0.is_empty());
        assert!(streams.is_empty());
        eve.remove(&Id::Number(6));
        assert!(streams.ask(&mut eve, json!({}), start).is_none());
        let mut eve = roster(&[(6, &["0"])]);
        assert!(streams.ask(&mut eve, json!({}), start).is_some(), "a new stream is requested");
    }

    #[test]
    fn unwanted_cameras_are_not_requested() {
        let stream = |kind: &str, mid: &str, description: &str| json!({"type": kind, "mid": mid, "codec": if kind == "audio" { "opus" } else { "vp8" }, "description": description});
        let ann = json!({"id": 5, "streams": [
            stream("audio", "0", ""), stream("video", "1", ""), stream("video", "2", "My screen"),
            stream("video", "3", "another screen"),
        ]});
        let (mut roster, mut streams) = (Roster::default(), Subscription::default());
        roster.update(serde_json::from_value(ann).unwrap());
        streams.exclude_cameras();
        let asked = streams.ask(&mut roster, json!({}), start()).unwrap();
        let asked = asked["streams"].as_array().unwrap().iter();
        assert_eq!(asked.map(|stream| &stream["mid"]).collect::<Vec<_>>(), ["0", "2"]);
    }

    #[test]
    fn simultaneous_streams_never_share_a_source() {
        let now = start();
        let camera = json!({"type": "video", "mid": "1", "codec": "vp8"});
        let camera_off = json!({"type": "video", "mid": "1", "disabled": true});
        let screen = json!({"type": "video", "mid": "2", "codec": "vp8"});
        let (mut roster, mut streams) = (Roster::default(), Subscription::default());
        for (sent, expected) in [
            (vec![camera.clone()], [Some(Source::Camera), None]),
            (vec![camera_off.clone()], [None, None]),
            // The only stream.
            (vec![camera_off.clone(), screen.clone()], [None, Some(Source::Camera)]),
            (vec![camera.clone(), screen], [Some(Source::Screen), Some(Source::Camera)]),
            (vec![camera], [Some(Source::Screen), None]),
        ] {
            let ann = json!({"id": 5, "streams": sent});
            roster.update(serde_json::from_value(ann).unwrap());
            if streams.ask(&mut roster, json!({}), now).is_some() {
                let attached =
                    ["1", "2"].map(|mid| json!({"mid": mid, "feed_id": 5, "feed_mid": mid}));
                let updated = json!({"videoroom": "updated", "streams": attached});
                streams.on_event(serde_json::from_value(updated).unwrap(), false, &roster, now);
            }
            assert_eq!(["1", "2"].map(|mid| streams.source(mid)), expected, "{sent:?}");
        }
    }

    #[test]
    fn a_refusal_without_a_request_is_ignored() {
        let mut streams = Subscription::default();
        streams.refuse(start());
        assert_eq!(streams.retry_at(), None);
    }
}
