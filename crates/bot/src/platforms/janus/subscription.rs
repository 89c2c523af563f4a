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
/// How often at most, for the same streams.
pub(super) const MOST_TRIES: u32 = 5;

/// The bot's subscription.
#[derive(Debug, Default)]
pub(crate) struct Subscription {
    /// Of what each stream is: it stays what it was when it was first seen.
    sources: HashMap<StreamId, Source>,
    /// Streams that were asked for, or that the bot gets.
    asked: HashSet<StreamId>,
    /// Whose stream comes on which track of the bot's session.
    tracks: HashMap<String, StreamId>,
    /// The bot is in the subscriber's room already: later streams are added.
    subscribed: bool,
    /// An answer is awaited; these were asked for.
    asking: Option<Vec<StreamId>>,
    refused: Option<Refused>,
    /// Videos that begin.
    pub(crate) openings: Openings,
    layers: Layers,
}

/// Streams that Janus did not give.
#[derive(Debug)]
struct Refused {
    tries: u32,
    again: Instant,
}

impl Subscription {
    /// Nothing was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.asking.is_none()
    }

    /// The request for streams that are there and were not asked for yet. With `join` in it where it is the first.
    pub(crate) fn ask(&mut self, roster: &Roster, join: Value, now: Instant) -> Option<Value> {
        let held = self.refused.as_ref().is_some_and(|refused| now < refused.again);
        if held || self.asking.is_some() {
            return None;
        }
        let wanted: Vec<_> =
            roster.streams().filter(|(stream, _)| !self.asked.contains(stream)).collect();
        if wanted.is_empty() {
            // Their owner is gone, or they were asked for often enough: nothing is due any more.
            self.refused = None;
            return None;
        }
        let mut streams = Vec::with_capacity(wanted.len());
        for (stream, layered) in &wanted {
            let mut asked = json!({"feed": stream.feed, "mid": stream.mid});
            if *layered {
                asked["substream"] = BEST.into();
                asked["temporal"] = BEST.into();
            }
            streams.push(asked);
            if let Some(source) = roster.source(stream) {
                self.sources.entry(stream.clone()).or_insert(source);
            }
        }
        let mut body = if self.subscribed { json!({"request": "subscribe"}) } else { join };
        body["streams"] = streams.into();
        let wanted: Vec<StreamId> = wanted.into_iter().map(|(stream, _)| stream).collect();
        self.asked.extend(wanted.iter().cloned());
        self.asking = Some(wanted);
        Some(body)
    }

    /// What was asked for is refused.
    pub(crate) fn refuse(&mut self, now: Instant) {
        let tries = self.refused.as_ref().map_or(0, |refused| refused.tries) + 1;
        if let Some(asked) = self.asking.take()
            && tries < MOST_TRIES
        {
            self.asked.retain(|stream| !asked.contains(stream));
        }
        self.refused = Some(Refused { tries, again: now + ASK_AGAIN });
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
            self.asking = None;
            self.refused = None;
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

    /// Someone sends nothing any more.
    pub(crate) fn forget(&mut self, id: &Id) {
        self.asked.retain(|stream| stream.feed != *id);
        self.sources.retain(|stream, _| stream.feed != *id);
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
        self.refused.as_ref().filter(|_| self.asking.is_none()).map(|refused| refused.again)
    }
}
