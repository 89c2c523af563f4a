//! What the bot gets of what the others send: the streams that it asked for, and the tracks on which they come. Pure.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    layers::{BEST, Layers},
    message::{Id, RoomEvent},
    opening::Openings,
    roster::{Roster, StreamId},
};
use crate::meeting::Source;

/// How long to wait before streams that were refused are asked for again: their owner may just have left.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How often at most, for the same stream.
pub(super) const MOST_TRIES: u32 = 5;
/// Refused so often, a stream is asked for without those of other people, and then alone. One that Janus will not give makes it refuse all that
/// are asked for beside it; but mostly somebody has just left, and then all others come at the next try.
const APART_AFTER: u32 = 2;

/// The bot's subscription.
#[derive(Debug, Default)]
pub(crate) struct Subscription {
    /// Of what each stream is: while it is sent, it stays what it was when it was first seen.
    sources: HashMap<StreamId, Source>,
    /// Streams that were asked for, or that the bot gets.
    asked: HashSet<StreamId>,
    /// Whose stream comes on which track of the bot's session.
    tracks: HashMap<String, StreamId>,
    /// The bot is in the subscriber's room already: later streams are added.
    subscribed: bool,
    /// An answer is awaited; these were asked for.
    asking: Option<Vec<StreamId>>,
    /// Streams that are there, and that Janus did not give.
    refused: HashMap<StreamId, Refused>,
    /// Videos that begin.
    pub(crate) openings: Openings,
    layers: Layers,
}

#[derive(Debug)]
struct Refused {
    tries: u32,
    /// When it is asked for again; `None` when it is given up.
    again: Option<Instant>,
}

impl Subscription {
    /// Nothing comes, and nothing is asked for any more.
    pub(crate) fn is_empty(&self) -> bool {
        self.asked.is_empty()
            && self.asking.is_none()
            && self.refused.values().all(|refused| refused.again.is_none())
    }

    /// Whether Janus has opened a media session for what is to come.
    pub(crate) const fn is_open(&self) -> bool {
        self.subscribed
    }

    /// The request for streams that are there and were not asked for yet. With `join` in it where it is the first.
    pub(crate) fn ask(&mut self, roster: &Roster, join: Value, now: Instant) -> Option<Value> {
        // Of what is sent no more, nothing is due. When it is sent again it may be something else.
        self.asked.retain(|stream| roster.is_sent(stream));
        self.refused.retain(|stream, _| roster.is_sent(stream));
        self.sources.retain(|stream, _| roster.is_sent(stream));
        if self.asking.is_some() {
            return None;
        }
        let mut wanted = Vec::new();
        for (stream, layered) in roster.streams() {
            let refused = self.refused.get(&stream);
            let due = refused.is_none_or(|refused| refused.again.is_some_and(|again| again <= now));
            if due && !self.asked.contains(&stream) && self.place(&stream, roster) {
                wanted.push((stream, layered));
            }
        }
        let tries = |stream: &StreamId| self.refused.get(stream).map_or(0, |refused| refused.tries);
        let fewest = wanted.iter().map(|(stream, _)| tries(stream)).min()?;
        wanted.retain(|(stream, _)| tries(stream) == fewest);
        if fewest == APART_AFTER {
            let feed = wanted[0].0.feed.clone();
            wanted.retain(|(stream, _)| stream.feed == feed);
        } else if fewest > APART_AFTER {
            wanted.truncate(1);
        }
        let mut streams = Vec::with_capacity(wanted.len());
        for (stream, layered) in &wanted {
            let mut asked = json!({"feed": stream.feed, "mid": stream.mid});
            if *layered {
                asked["substream"] = BEST.into();
                asked["temporal"] = BEST.into();
            }
            streams.push(asked);
        }
        let mut body = if self.subscribed { json!({"request": "subscribe"}) } else { join };
        body["streams"] = streams.into();
        let wanted: Vec<StreamId> = wanted.into_iter().map(|(stream, _)| stream).collect();
        self.asked.extend(wanted.iter().cloned());
        self.asking = Some(wanted);
        Some(body)
    }

    /// Says of what a stream is, so that no two that are sent at once go into one file. Answers whether there is a file for it.
    fn place(&mut self, stream: &StreamId, roster: &Roster) -> bool {
        if self.sources.contains_key(stream) {
            return true;
        }
        let Some(told) = roster.source(stream) else { return false };
        let video = roster.is_video(stream);
        let other = match told {
            Source::Screen if video => Source::Camera,
            Source::Screen => Source::Microphone,
            _ => Source::Screen,
        };
        let is_free = |source: &Source| {
            self.sources.iter().all(|(beside, taken)| {
                beside.feed != stream.feed || roster.is_video(beside) != video || taken != source
            })
        };
        let free = [told, other].into_iter().find(is_free);
        self.sources.extend(free.map(|source| (stream.clone(), source)));
        free.is_some()
    }

    /// What was asked for is refused.
    pub(crate) fn refuse(&mut self, now: Instant) {
        for stream in self.asking.take().into_iter().flatten() {
            self.asked.remove(&stream);
            let tries = self.refused.get(&stream).map_or(0, |refused| refused.tries) + 1;
            let again = (tries < MOST_TRIES).then_some(now + ASK_AGAIN);
            self.sources.remove(&stream);
            self.refused.insert(stream, Refused { tries, again });
        }
    }

    /// What was asked for is of no use.
    pub(crate) fn give_up(&mut self) {
        for stream in self.asking.take().into_iter().flatten() {
            self.asked.remove(&stream);
            self.sources.remove(&stream);
            self.refused.insert(stream, Refused { tries: MOST_TRIES, again: None });
        }
    }

    /// An answer or event of the subscription that is no refusal; `offer` when a session description came with it. Answers whether what was
    /// asked for is settled.
    pub(crate) fn hear(
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
                self.comes(mid, StreamId { feed, mid: feed_mid }, roster);
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
                self.refused.remove(&stream);
            }
        }
        settled
    }

    /// A stream comes on a track.
    fn comes(&mut self, mid: String, stream: StreamId, roster: &Roster) {
        if self.tracks.get(&mid) == Some(&stream) {
            return;
        }
        if roster.streams().any(|(known, layered)| layered && known == stream) {
            self.layers.begin(&mid);
        } else {
            self.layers.forget(&mid);
        }
        self.tracks.insert(mid, stream);
    }

    /// A picture has come on a track. Answers whether it is of the size that is recorded.
    pub(crate) fn picture(&mut self, mid: &str, now: Instant) -> bool {
        self.openings.picture(mid, now);
        self.layers.settled(mid, now)
    }

    /// Who sends what comes on a track.
    pub(crate) fn feed(&self, mid: &str) -> Option<&Id> {
        self.tracks.get(mid).map(|stream| &stream.feed)
    }

    /// Of what that is.
    pub(crate) fn source(&self, mid: &str) -> Option<Source> {
        self.sources.get(self.tracks.get(mid)?).copied()
    }

    /// When streams that were refused are asked for again, unless an answer is awaited.
    pub(crate) fn again(&self) -> Option<Instant> {
        let due = self.refused.values().filter_map(|refused| refused.again);
        due.min().filter(|_| self.asking.is_none())
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
            roster.see(serde_json::from_value(json!({"id": id, "streams": streams})).unwrap());
        }
        roster
    }

    #[expect(clippy::disallowed_methods, reason = "a test needs some moment to begin with")]
    fn start() -> Instant {
        Instant::now()
    }

    /// A Janus that gives nothing that is asked for beside a stream of feed 6. Answers what it gave, and when nothing was asked for any more.
    fn without_six(
        streams: &mut Subscription,
        roster: &Roster,
        start: Instant,
    ) -> (Vec<Value>, Duration) {
        let (mut given, mut now) = (Vec::new(), start);
        loop {
            while let Some(body) = streams.ask(roster, json!({"request": "join"}), now) {
                assert!(streams.ask(roster, json!({}), now).is_none(), "an answer is awaited");
                let asked = body["streams"].as_array().unwrap();
                if asked.iter().any(|stream| stream["feed"] == 6) {
                    streams.refuse(now);
                } else {
                    given.extend(asked.iter().cloned());
                    let started = serde_json::from_value(json!({"started": "ok"})).unwrap();
                    assert!(streams.hear(started, true, roster, now));
                }
            }
            let Some(again) = streams.again() else { return (given, now - start) };
            assert!(again > now, "not at once");
            now = again;
        }
    }

    #[test]
    fn a_stream_that_janus_does_not_give_costs_nobody_else_theirs() {
        let start = start();
        let mut streams = Subscription::default();
        let everyone = roster(&[(5, &["0", "1"]), (6, &["0", "1"]), (7, &["0"])]);
        let (mut given, took) = without_six(&mut streams, &everyone, start);
        given.sort_by_key(ToString::to_string);
        let stream = |feed: u64, mid: &str| json!({"feed": feed, "mid": mid});
        assert_eq!(given, [stream(5, "0"), stream(5, "1"), stream(7, "0")]);
        assert_eq!(took, ASK_AGAIN * (MOST_TRIES - 1));
        assert!(!streams.is_empty());

        let end = start + took;
        let later = roster(&[(5, &["0", "1"]), (6, &["0", "1"]), (7, &["0"]), (8, &["0"])]);
        let (given, took) = without_six(&mut streams, &later, end);
        assert_eq!(
            (given, took),
            (vec![stream(8, "0")], Duration::ZERO),
            "the newcomer waits for nobody"
        );
    }

    #[test]
    fn where_nothing_is_given_nothing_comes() {
        let start = start();
        let mut streams = Subscription::default();
        let eve = roster(&[(6, &["0"])]);
        assert!(streams.ask(&eve, json!({}), start).is_some());
        streams.refuse(start);
        assert!(!streams.is_empty(), "it is asked for again");
        assert!(without_six(&mut streams, &eve, start).0.is_empty());
        assert!(streams.is_empty());
        assert!(streams.ask(&roster(&[]), json!({}), start).is_none());
        assert!(streams.ask(&eve, json!({}), start).is_some(), "who sends anew is asked anew");
    }

    #[test]
    fn what_is_sent_at_once_is_never_one_source() {
        let now = start();
        let camera = json!({"type": "video", "mid": "1", "codec": "vp8"});
        let camera_off = json!({"type": "video", "mid": "1", "disabled": true});
        let screen = json!({"type": "video", "mid": "2", "codec": "vp8"});
        let (mut roster, mut streams) = (Roster::default(), Subscription::default());
        for (sent, expected) in [
            (vec![camera.clone()], [Some(Source::Camera), None]),
            (vec![camera_off.clone()], [None, None]),
            // The only one there is.
            (vec![camera_off.clone(), screen.clone()], [None, Some(Source::Camera)]),
            (vec![camera.clone(), screen], [Some(Source::Screen), Some(Source::Camera)]),
            (vec![camera], [Some(Source::Screen), None]),
        ] {
            let ann = json!({"id": 5, "streams": sent});
            roster.see(serde_json::from_value(ann).unwrap());
            if streams.ask(&roster, json!({}), now).is_some() {
                let attached =
                    ["1", "2"].map(|mid| json!({"mid": mid, "feed_id": 5, "feed_mid": mid}));
                let updated = json!({"videoroom": "updated", "streams": attached});
                streams.hear(serde_json::from_value(updated).unwrap(), false, &roster, now);
            }
            assert_eq!(["1", "2"].map(|mid| streams.source(mid)), expected, "{sent:?}");
        }
    }

    #[test]
    fn a_refusal_of_nothing_is_nothing() {
        let mut streams = Subscription::default();
        streams.refuse(start());
        assert_eq!(streams.again(), None);
    }
}
