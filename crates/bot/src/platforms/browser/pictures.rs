//! Whose camera or shared screen each picture is. A receiver (lane) shows one source after the other: the meeting says on which stream each device is, and some
//! servers name the source in each picture (CSRC). The two need not change at the same moment. Pure.
//!
//! Browsers tell no sequence numbers of pictures, so that a picture that was lost is not missed; what follows is shown wrongly until the next key frame.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    capture::{Format, Picture},
    lanes::LOUDEST,
};
use crate::{
    bounds,
    media::{Codec, Frame, TrackId},
    recording::clock::ticks_between,
};

const RATE: u32 = 90_000;
/// For so long pictures wait until the meeting says whose they are.
const PATIENCE: Duration = Duration::from_secs(2);
/// Of one lane, so many bytes wait at most.
const MOST_WAITING_BYTES: usize = 4 << 20;
/// A step of the RTP time that differs more from the time that has passed is of a sender that began anew, in ticks.
const ANEW: f64 = 10.0 * RATE as f64;
/// No clock begins before this, so that none gets below 0.
const FIRST_TICK: u64 = 3_600 * RATE as u64;

/// Whose picture it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// A device of the roster, or what one shares.
    Device(String),
    /// The meeting does not say whose the pictures of this lane are.
    Nobody { lane: u16 },
}

/// What a picture leads to.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    Frame(Frame),
    /// Nothing of this codec can be recorded. Said once of each owner and codec.
    Unavailable {
        codec: &'static str,
        reason: &'static str,
    },
}

/// All lanes that show pictures.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    lanes: HashMap<u16, Lane>,
    /// The streams of the lanes, and the devices by the names of what they send: a stream or a source.
    streams: HashMap<u16, String>,
    devices: HashMap<String, String>,
    cameras: HashMap<Owner, Camera>,
    unavailable: Vec<(Owner, &'static str)>,
}

#[derive(Debug, Default)]
struct Lane {
    /// Whose the last picture was, with the source that it named.
    owner: Option<(Option<u32>, String)>,
    /// Since when stream and source say different things.
    unsure_since: Option<Instant>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// The first picture of VP9, until the next shows whether it is one of several layers.
    held: Option<(Owner, Picture, Instant)>,
    /// The RTP time of the last picture of VP9, and a hash of its bytes.
    last_vp9: Option<(u32, u64)>,
    plain: bool,
    layered: bool,
    /// RTP time and arrival of the last picture.
    last: Option<(u32, Instant)>,
}

#[derive(Debug)]
struct Waiting {
    picture: Picture,
    arrived: Instant,
}

/// The clock of one owner's pictures.
#[derive(Debug)]
struct Camera {
    lane: u16,
    rtp_time: u32,
    at: Instant,
    ticks: u64,
    number: u64,
}

impl Pictures {
    /// A lane is part of this stream.
    pub(crate) fn stream(&mut self, lane: u16, stream: String) {
        if self.streams.len() < bounds::STREAMS || self.streams.contains_key(&lane) {
            self.streams.insert(lane, stream);
        }
    }

    /// A device sends its pictures under this name from now on: that of a stream, or of a source. Answers the pictures that have waited for it.
    pub(crate) fn bind(
        &mut self,
        name: String,
        device: String,
        now: Instant,
    ) -> Vec<(Owner, Seen)> {
        if self.devices.len() < bounds::STREAMS || self.devices.contains_key(&name) {
            self.devices.insert(name, device);
        }
        self.overdue(now)
    }

    /// A device has left, or stopped to share.
    pub(crate) fn unbind(&mut self, device: &str) {
        self.devices.retain(|_, of| of != device);
    }

    /// A picture came. Answers what is to be written.
    pub(crate) fn take(&mut self, picture: Picture, now: Instant) -> Vec<(Owner, Seen)> {
        let arrived =
            now.checked_sub(Duration::from_secs_f64(picture.age_ms / 1_000.0)).unwrap_or(now);
        if self.lanes.len() >= bounds::STREAMS && !self.lanes.contains_key(&picture.lane) {
            return Vec::new();
        }
        let lane = self.lanes.entry(picture.lane).or_default();
        let number = picture.lane;
        lane.waiting_bytes += picture.data.len();
        lane.waiting.push_back(Waiting { picture, arrived });
        while lane.waiting_bytes > MOST_WAITING_BYTES
            && let Some(oldest) = lane.waiting.pop_front()
        {
            lane.waiting_bytes -= oldest.picture.data.len();
        }
        self.release(number, now)
    }

    /// When to ask [`Pictures::overdue`].
    pub(crate) fn wake(&self) -> Option<Instant> {
        let oldest = |lane: &Lane| lane.waiting.front().map(|it| it.arrived + PATIENCE);
        self.lanes.values().filter_map(oldest).min()
    }

    /// What can be written now, since it is known whose it is, or has waited for too long.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<(Owner, Seen)> {
        let lanes: Vec<u16> = self.lanes.keys().copied().collect();
        lanes.into_iter().flat_map(|lane| self.release(lane, now)).collect()
    }

    fn release(&mut self, number: u16, now: Instant) -> Vec<(Owner, Seen)> {
        let mut shown = Vec::new();
        while let Some(lane) = self.lanes.get_mut(&number)
            && let Some(first) = lane.waiting.front()
        {
            let is_overdue = now >= first.arrived + PATIENCE;
            let source = first.picture.sources.iter().copied().find(|it| *it != LOUDEST);
            let by_source = source.and_then(|source| self.devices.get(&source.to_string()));
            let stream = self.streams.get(&number);
            let said = by_source.or_else(|| stream.and_then(|stream| self.devices.get(stream)));
            let device = lane.device(said, source, first.picture.key, first.arrived, is_overdue);
            let owner = match device {
                Some(device) => Owner::Device(device),
                None if is_overdue => Owner::Nobody { lane: number },
                None => break,
            };
            let Some(Waiting { picture, arrived }) = lane.waiting.pop_front() else { break };
            lane.waiting_bytes -= picture.data.len();
            shown.extend(self.show(owner, picture, arrived));
        }
        shown
    }

    /// Writes a picture, or says why it cannot be written.
    fn show(&mut self, owner: Owner, picture: Picture, arrived: Instant) -> Vec<(Owner, Seen)> {
        let Some(lane) = self.lanes.get_mut(&picture.lane) else { return Vec::new() };
        lane.look_for_layers(&picture);
        let unavailable = match picture.format {
            Format::Other(codec) => Some((codec, "pictures in this format are not recorded")),
            Format::Known(Codec::Vp9) if lane.layered => {
                Some(("vp9", "pictures in several layers (SVC) are not recorded"))
            }
            Format::Known(_) => None,
        };
        if let Some((codec, reason)) = unavailable {
            lane.held = None;
            let key = (owner.clone(), codec);
            if self.unavailable.len() >= bounds::STREAMS || self.unavailable.contains(&key) {
                return Vec::new();
            }
            self.unavailable.push(key);
            return vec![(owner, Seen::Unavailable { codec, reason })];
        }
        let mut ready = Vec::new();
        // One that came twice shows nothing.
        if let Some(held) = lane.held.take_if(|(_, held, _)| held.rtp_time != picture.rtp_time) {
            lane.plain = true;
            ready.push(held);
        }
        if picture.format == Format::Known(Codec::Vp9) && !lane.plain {
            lane.held.get_or_insert((owner, picture, arrived));
        } else {
            ready.push((owner, picture, arrived));
        }
        ready
            .into_iter()
            .filter_map(|(owner, picture, at)| self.place(owner, picture, at))
            .collect()
    }

    /// Puts a picture on its owner's clock. `None`: it is doubled, or was overtaken.
    fn place(&mut self, owner: Owner, picture: Picture, arrived: Instant) -> Option<(Owner, Seen)> {
        let Format::Known(codec) = picture.format else { return None };
        let lane = self.lanes.get_mut(&picture.lane)?;
        let step_since = |rtp_time: u32, at: Instant| {
            let step = ticks_between(rtp_time.into(), picture.rtp_time.into());
            let passed = arrived.saturating_duration_since(at).as_secs_f64() * f64::from(RATE);
            let is_anew = (step as f64 - passed).abs() > ANEW;
            (step, passed, is_anew)
        };
        if let Some((rtp_time, at)) = lane.last {
            let (step, _, is_anew) = step_since(rtp_time, at);
            if step <= 0 && !is_anew {
                return None;
            }
        }
        lane.last = Some((picture.rtp_time, arrived));
        if self.cameras.len() >= bounds::STREAMS && !self.cameras.contains_key(&owner) {
            return None;
        }
        let camera = self.cameras.entry(owner.clone()).or_insert(Camera {
            lane: picture.lane,
            rtp_time: picture.rtp_time,
            at: arrived,
            ticks: FIRST_TICK,
            number: 0,
        });
        if camera.number > 0 {
            let (step, passed, is_anew) = step_since(camera.rtp_time, camera.at);
            // On another lane, or by a sender that began anew, only the arrival tells how much time has passed.
            let goes_on = camera.lane == picture.lane && !is_anew;
            #[expect(clippy::cast_possible_truncation, reason = "it is the time of one meeting")]
            let step = if goes_on { step } else { passed.round() as i64 };
            camera.ticks += step.max(1).unsigned_abs();
        }
        camera.number += 1;
        (camera.lane, camera.rtp_time, camera.at) = (picture.lane, picture.rtp_time, arrived);
        let frame = Frame {
            track: TrackId::named(&format!("lane-{}", picture.lane)),
            codec,
            rtp_time: camera.ticks,
            clock_rate: RATE,
            sequence: camera.number..=camera.number,
            arrived,
            level_dbov: None,
            voice: None,
            contributing_sources: Vec::new(),
            rotation: None,
            keyframe: picture.key,
            contiguous: true,
            sender_report: None,
            data: Arc::from(picture.data),
        };
        Some((owner, Seen::Frame(frame)))
    }
}

impl Lane {
    /// Browsers name the layer of a picture of VP9 only where the sender describes its frames (Dependency Descriptor); else several that differ are of one moment.
    /// One may also come twice.
    fn look_for_layers(&mut self, picture: &Picture) {
        if picture.format != Format::Known(Codec::Vp9) {
            return;
        }
        let mut hash = DefaultHasher::new();
        picture.data.hash(&mut hash);
        let now = (picture.rtp_time, hash.finish());
        let differs = self.last_vp9.is_some_and(|before| before.0 == now.0 && before.1 != now.1);
        self.layered |= picture.layer > 0 || differs;
        self.last_vp9 = Some(now);
    }

    /// Whose a picture is that names `source`, of a stream that is `said` to be this device's; `None` while that is not known.
    fn device(
        &mut self,
        said: Option<&String>,
        source: Option<u32>,
        key: bool,
        arrived: Instant,
        is_overdue: bool,
    ) -> Option<String> {
        let adopted = match &self.owner {
            None => said,
            Some((before, device)) if *before == source && said == Some(device) => Some(device),
            // Both have changed.
            Some((before, device)) if *before != source && said != Some(device) => said,
            // The meeting says that the stream is another's, and the pictures of the one before still come; those of another begin with a key frame.
            Some((before, device)) if *before == source => {
                let since = *self.unsure_since.get_or_insert(arrived);
                let is_new = source.is_none() && key || arrived >= since + PATIENCE;
                if !is_new {
                    return Some(device.clone());
                }
                said
            }
            // The pictures are of another source, and the meeting has not said whose it is.
            Some(_) => said.filter(|_| is_overdue),
        };
        let device = adopted.cloned()?;
        if self.owner.as_ref().is_none_or(|(before, of)| *before != source || *of != device) {
            // Another sender may encode in another way.
            (self.plain, self.layered, self.last_vp9) = (false, false, None);
            self.owner = Some((source, device.clone()));
        }
        self.unsure_since = None;
        Some(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    struct Stage {
        start: Instant,
        pictures: Pictures,
    }

    impl Stage {
        fn set() -> Self {
            let mut pictures = Pictures::default();
            pictures.stream(7, "stream".to_owned());
            Self { start: clock::now(), pictures }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn bind(&mut self, name: &str, device: &str, ms: u64) -> Vec<String> {
            let now = self.at(ms);
            let shown = self.pictures.bind(name.to_owned(), device.to_owned(), now);
            shown.iter().map(in_short).collect()
        }

        fn sees(&mut self, ms: u64, change: impl Fn(&mut Picture)) -> Vec<String> {
            let mut picture = Picture {
                lane: 7,
                format: Format::Known(Codec::Vp8),
                key: false,
                layer: 0,
                rtp_time: u32::MAX.wrapping_add(u32::try_from(ms * 90).unwrap()),
                age_ms: 0.0,
                sources: vec![5],
                data: vec![1],
            };
            change(&mut picture);
            let now = self.at(ms);
            self.pictures.take(picture, now).iter().map(in_short).collect()
        }
    }

    fn in_short((owner, shown): &(Owner, Seen)) -> String {
        let owner = match owner {
            Owner::Device(device) => device.clone(),
            Owner::Nobody { lane } => format!("nobody {lane}"),
        };
        match shown {
            Seen::Frame(frame) => format!("{owner} {}", (frame.rtp_time - FIRST_TICK) / 90),
            Seen::Unavailable { codec, .. } => format!("{owner} no {codec}"),
        }
    }

    #[test]
    fn pictures_wait_for_their_owner_and_go_on_over_the_turn_of_the_clock() {
        let mut stage = Stage::set();
        assert!(stage.sees(0, |_| {}).is_empty() && stage.sees(40, |_| {}).is_empty());
        assert_eq!(stage.bind("stream", "ann", 60), ["ann 0", "ann 40"]);
        assert_eq!(stage.sees(80, |_| {}), ["ann 80"]);
        assert!(stage.sees(80, |_| {}).is_empty(), "it came twice");
        assert!(stage.sees(60, |_| {}).is_empty(), "it was overtaken");
        assert_eq!(stage.sees(120, |_| {}), ["ann 120"]);
    }

    #[test]
    fn pictures_that_nobody_owns_are_kept_as_nobodys() {
        let mut stage = Stage::set();
        assert!(stage.sees(0, |_| {}).is_empty());
        assert_eq!(stage.pictures.wake(), Some(stage.at(2_000)));
        assert_eq!(stage.sees(2_100, |_| {}), ["nobody 7 0"]);
        assert_eq!(stage.bind("5", "ann", 2_200), ["ann 0"]);
    }

    #[test]
    fn a_stream_that_goes_over_to_somebody_else_is_cut_where_the_pictures_change() {
        let mut stage = Stage::set();
        stage.bind("stream", "ann", 0);
        assert_eq!(stage.sees(0, |it| it.key = true), ["ann 0"]);
        // The word comes first.
        stage.bind("stream", "ben", 20);
        assert_eq!(stage.sees(40, |_| {}), ["ann 40"]);
        assert_eq!(stage.sees(80, |it| (it.key, it.sources) = (true, vec![6])), ["ben 0"]);
        // The pictures come first.
        assert!(stage.sees(120, |it| (it.key, it.sources) = (true, vec![5])).is_empty());
        assert_eq!(stage.bind("stream", "ann", 140), ["ann 120"]);
        // Without sources, a key frame says it.
        let mut stage = Stage::set();
        stage.bind("stream", "ann", 0);
        let none = |it: &mut Picture| it.sources.clear();
        assert_eq!(stage.sees(0, none), ["ann 0"]);
        stage.bind("stream", "ben", 20);
        assert_eq!(stage.sees(40, none), ["ann 40"]);
        assert_eq!(stage.sees(80, |it| (it.key, it.sources) = (true, vec![])), ["ben 0"]);
    }

    #[test]
    fn layers_and_formats_that_no_file_holds_are_unavailable_and_said_so_once() {
        let mut stage = Stage::set();
        stage.bind("stream", "ann", 0);
        let vp9 = |it: &mut Picture| it.format = Format::Known(Codec::Vp9);
        assert!(stage.sees(0, vp9).is_empty(), "the next shows what it is");
        let layer = |it: &mut Picture| {
            vp9(it);
            (it.layer, it.data) = (1, Vec::new());
        };
        assert_eq!(stage.sees(0, layer), ["ann no vp9"]);
        assert!(stage.sees(40, vp9).is_empty() && stage.sees(40, layer).is_empty());
        assert_eq!(stage.sees(80, |it| it.format = Format::Other("av1")), ["ann no av1"]);
        // Nothing names the layers, and two pictures are of one moment.
        let mut stage = Stage::set();
        stage.bind("stream", "ann", 0);
        assert!(stage.sees(0, vp9).is_empty() && stage.sees(0, vp9).is_empty(), "it came twice");
        let other = |it: &mut Picture| {
            vp9(it);
            it.data = vec![2];
        };
        assert_eq!(stage.sees(0, other), ["ann no vp9"]);
        // In one layer.
        let mut stage = Stage::set();
        stage.bind("stream", "ann", 0);
        assert!(stage.sees(0, vp9).is_empty());
        assert_eq!(stage.sees(40, vp9), ["ann 0", "ann 40"]);
        assert_eq!(stage.sees(80, vp9), ["ann 80"]);
    }

    #[test]
    fn somebody_who_moves_to_another_lane_goes_on_in_time() {
        let mut stage = Stage::set();
        stage.bind("stream", "ann", 0);
        assert_eq!(stage.sees(0, |_| {}), ["ann 0"]);
        stage.pictures.stream(8, "other".to_owned());
        stage.bind("other", "ann", 90);
        assert_eq!(stage.sees(100, |it| (it.lane, it.rtp_time) = (8, 12_345)), ["ann 100"]);
        assert_eq!(stage.sees(140, |it| (it.lane, it.rtp_time) = (8, 12_345 + 3_600)), ["ann 140"]);
    }
}
