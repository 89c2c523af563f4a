//! What the joins of one attempt have in common.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use meetbot_rtc::Guard;
use meetbot_types::{AddressPolicy, bot::ZoomStream};
use tokio::sync::watch;

use crate::meeting::Source;

/// What the joins with a browser before this one have come to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Earlier {
    /// A fresh browser was refused already.
    pub(crate) blocked: bool,
    /// So often the page died.
    pub(crate) dead: u32,
}

/// So many of the ids before a join may still be in the room. Janus forgets a session after a minute, in which a bot joins a few times.
const FORMER_IDS: usize = 32;

/// What the joins of one attempt have to know of each other: a server may keep who has lost their way to it in the room for a while.
#[derive(Debug, Clone)]
pub(crate) struct Joins {
    former: Arc<Mutex<Former>>,
    /// Where media may be sent. It counts over all joins.
    pub(super) guard: Guard,
    /// The stream of the job's meeting, as the orchestrator last knows it; `None` until it says something of one.
    pub(crate) zoom_stream: watch::Sender<Option<ZoomStream>>,
    /// What the joins before have received of its media.
    pub(super) zoom_media: watch::Sender<ZoomMedia>,
}

/// What was received of a stream of Zoom's: the next join is sent part of it again.
#[derive(Debug, Clone, Default)]
pub(super) struct ZoomMedia {
    /// A timestamp, in ms, and when that was here: what is sent again belongs where it belonged before.
    pub(super) clock: Option<(u64, Instant)>,
    /// The timestamp of each participant's last packet from each source, in ms.
    pub(super) last_ms: HashMap<(String, Source), u64>,
}

#[derive(Debug, Clone, Default)]
struct Former {
    joins: u32,
    own_ids: VecDeque<String>,
    browsers: Earlier,
    failed: u32,
}

impl Joins {
    /// None yet, of an attempt that may reach these addresses.
    pub(crate) fn new(address_policy: AddressPolicy) -> Self {
        let why_not = "it is no public address; an operator can allow it in `bots.allow_networks`";
        let guard = Guard::new(move |address| address_policy.allows(address), why_not);
        Self {
            former: Arc::default(),
            guard,
            zoom_stream: watch::Sender::default(),
            zoom_media: watch::Sender::default(),
        }
    }

    /// One more, under this id. Answers which one it is, and the ids of those before.
    pub(super) fn begin(&self, own_id: String) -> (u32, Vec<String>) {
        let mut former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        let former_ids = former.own_ids.iter().cloned().collect();
        former.joins += 1;
        former.own_ids.push_back(own_id);
        if former.own_ids.len() > FORMER_IDS {
            former.own_ids.pop_front();
        }
        (former.joins, former_ids)
    }

    /// What has become of the browsers before.
    pub(super) fn earlier(&self) -> Earlier {
        self.former.lock().unwrap_or_else(PoisonError::into_inner).browsers
    }

    /// A fresh browser was refused.
    pub(super) fn was_blocked(&self) {
        self.former.lock().unwrap_or_else(PoisonError::into_inner).browsers.blocked = true;
    }

    /// A join failed whose evidence is kept. Answers which one it is, from 1.
    pub(super) fn failed(&self) -> u32 {
        let mut former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        former.failed += 1;
        former.failed
    }

    /// A browser's page died.
    pub(super) fn died(&self) {
        self.former.lock().unwrap_or_else(PoisonError::into_inner).browsers.dead += 1;
    }
}
