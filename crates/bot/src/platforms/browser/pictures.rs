//! Assigns pictures to cameras and shared screens. A receiver (lane) delivers one source after another: the meeting sends the stream of each device, and some
//! servers name the source in each picture (CSRC). The two may change at different moments. Pure.
//!
//! Browsers expose no sequence numbers of pictures, so a lost picture is not detected; the following ones are damaged until the next keyframe.

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
/// How long pictures wait until the meeting sends their owner.
const OWNER_TIMEOUT: Duration = Duration::from_secs(2);
/// How many bytes of one lane wait at most.
const MOST_WAITING_BYTES: usize = 4 << 20;
/// If a step of the RTP time differs by more ticks from the elapsed time, the sender has restarted.
const RESTART_TICKS: f64 = 10.0 * RATE as f64;
/// The start of all clocks, so that none gets below 0.
const FIRST_TICK: u64 = 3_600 * RATE as u64;

/// The owner of a picture.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// A device of the roster, or a shared screen.
    Device(String),
    /// The owner of this lane's pictures is unknown.
    Nobody { lane: u16 },
}

/// The result of a picture.
#[derive(Debug, Clone)]
pub(crate) enum PictureResult {
    Frame(Frame),
    /// The codec cannot be recorded. Returned once for each owner and codec.
    Unavailable {
        codec: &'static str,
        reason: &'static str,
    },
}

/// All video lanes.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    lanes: HashMap<u16, Lane>,
    /// The streams of the lanes, and the devices by the name of their media: a stream or a source.
    streams: HashMap<u16, String>,
    devices: HashMap<String, String>,
    cameras: HashMap<Owner, Camera>,
    unavailable: Vec<(Owner, &'static str)>,
}

#[derive(Debug, Default)]
struct Lane {
    /// The owner of the last picture, with the source that it named.
    owner: Option<(Option<u32>, String)>,
    /// Since when stream and source contradict each other.
    unsure_since: Option<Instant>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// The first VP9 picture, until the next one shows whether there are several layers.
    held: Option<(Owner, Picture, Instant)>,
    /// The RTP time of the last VP9 picture, and a hash of its bytes.
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
    /// A lane belongs to this stream.
    pub(crate) fn stream(&mut self, lane: u16, stream: String) {
        if self.streams.len() < bounds::STREAMS || self.streams.contains_key(&lane) {
            self.streams.insert(lane, stream);
        }
    }

    /// A device sends its pictures under this name from now on: that of a stream, or of a source. Returns the pictures that waited for it.
    pub(crate) fn bind(
        &mut self,
        name: String,
        device: String,
        now: Instant,
    ) -> Vec<(Owner, PictureResult)> {
        if self.devices.len() < bounds::STREAMS || self.devices.contains_key(&name) {
            self.devices.insert(name, device);
        }
        self.overdue(now)
    }

    /// A device has left, or stopped sharing.
    pub(crate) fn unbind(&mut self, device: &str) {
        self.devices.retain(|_, of| of != device);
    }

    /// Handles a picture. Returns the results.
    pub(crate) fn take(&mut self, picture: Picture, now: Instant) -> Vec<(Owner, PictureResult)> {
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

    /// When to call [`Pictures::overdue`].
    pub(crate) fn wake(&self) -> Option<Instant> {
        let oldest = |lane: &Lane| lane.waiting.front().map(|it| it.arrived + OWNER_TIMEOUT);
        self.lanes.values().filter_map(oldest).min()
    }

    /// The results of pictures whose owner is known now, or that have waited for too long.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<(Owner, PictureResult)> {
        let lanes: Vec<u16> = self.lanes.keys().copied().collect();
        lanes.into_iter().flat_map(|lane| self.release(lane, now)).collect()
    }

    fn release(&mut self, number: u16, now: Instant) -> Vec<(Owner, PictureResult)> {
        let mut shown = Vec::new();
        while let Some(lane) = self.lanes.get_mut(&number)
            && let Some(first) = lane.waiting.front()
        {
            let is_overdue = now >= first.arrived + OWNER_TIMEOUT;
            let source = first.picture.sources.iter().copied().find(|it| *it != LOUDEST);
            let by_source = source.and_then(|source| self.devices.get(&source.to_string()));
            let stream = self.streams.get(&number);
            let announced =
                by_source.or_else(|| stream.and_then(|stream| self.devices.get(stream)));
            let device =
                lane.device(announced, source, first.picture.key, first.arrived, is_overdue);
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

    /// Returns the frame of a picture, or why it cannot be recorded.
    fn show(
        &mut self,
        owner: Owner,
        picture: Picture,
        arrived: Instant,
    ) -> Vec<(Owner, PictureResult)> {
        let Some(lane) = self.lanes.get_mut(&picture.lane) else { return Vec::new() };
        lane.detect_layers(&picture);
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
            return vec![(owner, PictureResult::Unavailable { codec, reason })];
        }
        let mut ready = Vec::new();
        // A duplicate shows nothing.
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

    /// Puts a picture on its owner's clock. `None`: it is a duplicate, or was reordered.
    fn place(
        &mut self,
        owner: Owner,
        picture: Picture,
        arrived: Instant,
    ) -> Option<(Owner, PictureResult)> {
        let Format::Known(codec) = picture.format else { return None };
        let lane = self.lanes.get_mut(&picture.lane)?;
        let step_since = |rtp_time: u32, at: Instant| {
            let step = ticks_between(rtp_time.into(), picture.rtp_time.into());
            let passed = arrived.saturating_duration_since(at).as_secs_f64() * f64::from(RATE);
            let is_anew = (step as f64 - passed).abs() > RESTART_TICKS;
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
            // On another lane, or after a restart of the sender, only the arrival gives the elapsed time.
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
        Some((owner, PictureResult::Frame(frame)))
    }
}

impl Lane {
    /// Detects layers of VP9. Browsers name the layer only if the sender describes its frames (Dependency Descriptor); else several different pictures with one RTP
    /// time are layers. Equal ones are duplicates.
    fn detect_layers(&mut self, picture: &Picture) {
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

    /// The owner of a picture that names `source`, on a stream whose device is `announced` by the meeting; `None` while it is unknown.
    fn device(
        &mut self,
        announced: Option<&String>,
        source: Option<u32>,
        key: bool,
        arrived: Instant,
        is_overdue: bool,
    ) -> Option<String> {
        let adopted = match &self.owner {
            None => announced,
            Some((before, device)) if *before == source && announced == Some(device) => {
                Some(device)
            }
            // Stream and source have changed.
            Some((before, device)) if *before != source && announced != Some(device) => announced,
            // The meeting has announced a new device, and pictures of the previous one still arrive; those of the new one begin with a keyframe.
            Some((before, device)) if *before == source => {
                let since = *self.unsure_since.get_or_insert(arrived);
                let is_new = source.is_none() && key || arrived >= since + OWNER_TIMEOUT;
                if !is_new {
                    return Some(device.clone());
                }
                announced
            }
            // The source has changed, and the meeting has not announced its device yet.
            Some(_) => announced.filter(|_| is_overdue),
        };
        let device = adopted.cloned()?;
        if self.owner.as_ref().is_none_or(|(before, of)| *before != source || *of != device) {
            // Another sender may use other layers.
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

    struct Fixture {
        start: Instant,
        pictures: Pictures,
    }

    impl Fixture {
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
            shown.iter().map(summary).collect()
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
            self.pictures.take(picture, now).iter().map(summary).collect()
        }
    }

    fn summary((owner, shown): &(Owner, PictureResult)) -> String {
        let owner = match owner {
            Owner::Device(device) => device.clone(),
            Owner::Nobody { lane } => format!("nobody {lane}"),
        };
        match shown {
            PictureResult::Frame(frame) => {
                format!("{owner} {}", (frame.rtp_time - FIRST_TICK) / 90)
            }
            PictureResult::Unavailable { codec, .. } => format!("{owner} no {codec}"),
        }
    }

    #[test]
    fn pictures_wait_for_their_owner_and_continue_over_a_wrap_of_the_clock() {
        let mut fixture = Fixture::set();
        assert!(fixture.sees(0, |_| {}).is_empty() && fixture.sees(40, |_| {}).is_empty());
        assert_eq!(fixture.bind("stream", "ann", 60), ["ann 0", "ann 40"]);
        assert_eq!(fixture.sees(80, |_| {}), ["ann 80"]);
        assert!(fixture.sees(80, |_| {}).is_empty(), "it is a duplicate");
        assert!(fixture.sees(60, |_| {}).is_empty(), "it was reordered");
        assert_eq!(fixture.sees(120, |_| {}), ["ann 120"]);
    }

    #[test]
    fn pictures_without_a_known_owner_are_recorded_as_unknown() {
        let mut fixture = Fixture::set();
        assert!(fixture.sees(0, |_| {}).is_empty());
        assert_eq!(fixture.pictures.wake(), Some(fixture.at(2_000)));
        assert_eq!(fixture.sees(2_100, |_| {}), ["nobody 7 0"]);
        assert_eq!(fixture.bind("5", "ann", 2_200), ["ann 0"]);
    }

    #[test]
    fn a_stream_that_changes_its_owner_is_split_where_the_pictures_change() {
        let mut fixture = Fixture::set();
        fixture.bind("stream", "ann", 0);
        assert_eq!(fixture.sees(0, |it| it.key = true), ["ann 0"]);
        // The announcement comes first.
        fixture.bind("stream", "ben", 20);
        assert_eq!(fixture.sees(40, |_| {}), ["ann 40"]);
        assert_eq!(fixture.sees(80, |it| (it.key, it.sources) = (true, vec![6])), ["ben 0"]);
        // The pictures come first.
        assert!(fixture.sees(120, |it| (it.key, it.sources) = (true, vec![5])).is_empty());
        assert_eq!(fixture.bind("stream", "ann", 140), ["ann 120"]);
        // Without sources, a keyframe marks the change.
        let mut fixture = Fixture::set();
        fixture.bind("stream", "ann", 0);
        let none = |it: &mut Picture| it.sources.clear();
        assert_eq!(fixture.sees(0, none), ["ann 0"]);
        fixture.bind("stream", "ben", 20);
        assert_eq!(fixture.sees(40, none), ["ann 40"]);
        assert_eq!(fixture.sees(80, |it| (it.key, it.sources) = (true, vec![])), ["ben 0"]);
    }

    #[test]
    fn layers_and_unsupported_formats_are_reported_as_unavailable_once() {
        let mut fixture = Fixture::set();
        fixture.bind("stream", "ann", 0);
        let vp9 = |it: &mut Picture| it.format = Format::Known(Codec::Vp9);
        assert!(fixture.sees(0, vp9).is_empty(), "the next picture decides");
        let layer = |it: &mut Picture| {
            vp9(it);
            (it.layer, it.data) = (1, Vec::new());
        };
        assert_eq!(fixture.sees(0, layer), ["ann no vp9"]);
        assert!(fixture.sees(40, vp9).is_empty() && fixture.sees(40, layer).is_empty());
        assert_eq!(fixture.sees(80, |it| it.format = Format::Other("av1")), ["ann no av1"]);
        // The layers are not named, and two pictures have one RTP time.
        let mut fixture = Fixture::set();
        fixture.bind("stream", "ann", 0);
        assert!(
            fixture.sees(0, vp9).is_empty() && fixture.sees(0, vp9).is_empty(),
            "it is a duplicate"
        );
        let other = |it: &mut Picture| {
            vp9(it);
            it.data = vec![2];
        };
        assert_eq!(fixture.sees(0, other), ["ann no vp9"]);
        // One layer.
        let mut fixture = Fixture::set();
        fixture.bind("stream", "ann", 0);
        assert!(fixture.sees(0, vp9).is_empty());
        assert_eq!(fixture.sees(40, vp9), ["ann 0", "ann 40"]);
        assert_eq!(fixture.sees(80, vp9), ["ann 80"]);
    }

    #[test]
    fn a_person_who_moves_to_another_lane_continues_on_one_clock() {
        let mut fixture = Fixture::set();
        fixture.bind("stream", "ann", 0);
        assert_eq!(fixture.sees(0, |_| {}), ["ann 0"]);
        fixture.pictures.stream(8, "other".to_owned());
        fixture.bind("other", "ann", 90);
        assert_eq!(fixture.sees(100, |it| (it.lane, it.rtp_time) = (8, 12_345)), ["ann 100"]);
        assert_eq!(
            fixture.sees(140, |it| (it.lane, it.rtp_time) = (8, 12_345 + 3_600)),
            ["ann 140"]
        );
    }
}
