//! State that the joins of one attempt share.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use meetbot_rtc::Guard;
use meetbot_types::{AddressPolicy, bot::ZoomStream};
use tokio::sync::watch;

use crate::meeting::Source;

/// The results of earlier joins with a browser.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BrowserHistory {
    /// A fresh browser was refused.
    pub(crate) blocked: bool,
    /// How often the page crashed.
    pub(crate) dead: u32,
}

/// How many earlier ids of the bot are kept, since they may still be in the room. Janus drops a session after a minute, in which a bot joins a few times.
const FORMER_IDS: usize = 32;

/// State that the joins of one attempt share: for example, a server may keep a disconnected participant in the room for a while.
#[derive(Debug, Clone)]
pub(crate) struct Joins {
    former: Arc<Mutex<Former>>,
    /// Decides where media may be sent. Its count covers all joins.
    pub(super) guard: Guard,
    /// The last Zoom stream of the meeting that the orchestrator sent; `None` before the first.
    pub(crate) zoom_stream: watch::Sender<Option<ZoomStream>>,
    /// The media that earlier joins have received from it.
    pub(super) zoom_media: watch::Sender<ZoomMedia>,
}

/// How much of a Zoom stream was received: Zoom replays part of it to the next join.
#[derive(Debug, Clone, Default)]
pub(super) struct ZoomMedia {
    /// A timestamp, in ms, and the local time of the same moment, so that replayed media get the same place as before.
    pub(super) clock: Option<(u64, Instant)>,
    /// The timestamp of each participant's last packet from each source, in ms.
    pub(super) last_ms: HashMap<(String, Source), u64>,
}

#[derive(Debug, Clone, Default)]
struct Former {
    joins: u32,
    own_ids: VecDeque<String>,
    browsers: BrowserHistory,
    failed: u32,
}

impl Joins {
    /// The state of an attempt without joins, with the rule for addresses.
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

    /// Registers a join under this id. Returns its number, and the ids of earlier joins.
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

    /// The results of earlier joins with a browser.
    pub(super) fn browser_history(&self) -> BrowserHistory {
        self.former.lock().unwrap_or_else(PoisonError::into_inner).browsers
    }

    /// Records that a fresh browser was refused.
    pub(super) fn record_block(&self) {
        self.former.lock().unwrap_or_else(PoisonError::into_inner).browsers.blocked = true;
    }

    /// Counts a failed join whose evidence is kept. Returns its number, from 1.
    pub(super) fn count_failure(&self) -> u32 {
        let mut former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        former.failed += 1;
        former.failed
    }

    /// Counts a crash of a browser's page.
    pub(super) fn count_crash(&self) {
        self.former.lock().unwrap_or_else(PoisonError::into_inner).browsers.dead += 1;
    }
}
