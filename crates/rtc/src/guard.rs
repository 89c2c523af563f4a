//! [`Guard`]: which addresses a peer may send to, and how many.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The most remote addresses that never answered, of all peers with one guard: the addresses at which a hostile server can aim a bot. A normal server leaves
/// at most a few of them for each join.
const MOST_UNANSWERED: usize = 256;

/// Decides to which addresses a peer may send, and counts those that never answer. Clones share the count, so that joining again does not reset it.
///
/// A peer asks it for every remote candidate: those in a description, trickled ones, and peer-reflexive ones.
/// Names (mDNS) are never resolved.
#[derive(Clone)]
pub struct Guard {
    allows: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
    why_not: &'static str,
    unanswered: Arc<AtomicUsize>,
}

/// A remote address is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The guard does not allow it.
    #[error("{0}")]
    Address(&'static str),
    /// There are too many.
    #[error("the other side named too many addresses")]
    TooMany,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("unanswered", &self.unanswered).finish_non_exhaustive()
    }
}

impl Guard {
    /// Allows the addresses for which `allows` is true. For others, a peer's [`path`](crate::Peer::path) names `why_not` as the reason.
    pub fn new(
        allows: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
        why_not: &'static str,
    ) -> Self {
        Self { allows: Arc::new(allows), why_not, unanswered: Arc::default() }
    }

    /// Allows every address: for a peer that trusts its other side.
    pub fn everywhere() -> Self {
        Self::new(|_| true, "")
    }

    /// The same guard, with the same count, which allows this address too.
    #[must_use]
    pub fn and(&self, address: IpAddr) -> Self {
        let (allows, address) = (Arc::clone(&self.allows), address.to_canonical());
        let allows =
            Arc::new(move |asked: IpAddr| asked.to_canonical() == address || allows(asked));
        Self { allows, ..self.clone() }
    }

    /// Whether an address may be sent to.
    pub(crate) fn allow(&self, address: IpAddr) -> Result<(), Refused> {
        if (self.allows)(address) { Ok(()) } else { Err(Refused::Address(self.why_not)) }
    }

    /// Counts one more address, which has not answered yet.
    pub(crate) fn count(&self) -> Result<(), Refused> {
        let one_more = |count| (count < MOST_UNANSWERED).then_some(count + 1);
        self.unanswered
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .map(drop)
            .map_err(|_| Refused::TooMany)
    }

    /// A counted address has answered.
    pub(crate) fn answered(&self) {
        self.unanswered.fetch_sub(1, Ordering::Relaxed);
    }
}
