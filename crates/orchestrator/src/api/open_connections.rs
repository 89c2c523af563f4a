//! The open connections, and which one is evicted when a new one exceeds a limit.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// How a new connection is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Within the limits.
    Admitted,
    /// `limits.connections` is reached, and all open connections are busy: only requests of bots are served.
    OverConnectionLimit,
    /// `limits.connections_per_address` is reached, and all connections of the address are busy: only requests of bots are served.
    OverAddressLimit,
}

/// Counts connections, and orders those that may be evicted. A connection is free (may be evicted) while no request with a valid key runs on it: otherwise
/// callers without a key could occupy all connections.
#[derive(Debug, Default)]
struct Open {
    all: usize,
    of: HashMap<IpAddr, OfAddress>,
    /// The number of the next free connection.
    next: u64,
}

#[derive(Debug, Default)]
struct OfAddress {
    all: usize,
    /// Those that may be evicted; the one that has been free for longest comes first.
    free: BTreeMap<u64, CancellationToken>,
}

impl Open {
    fn add(&mut self, address: IpAddr, ends: CancellationToken) -> u64 {
        self.all += 1;
        self.of.entry(address).or_default().all += 1;
        self.set_free(address, ends)
    }

    fn set_free(&mut self, address: IpAddr, ends: CancellationToken) -> u64 {
        let number = self.next;
        self.next += 1;
        self.of.entry(address).or_default().free.insert(number, ends);
        number
    }

    fn remove(&mut self, address: IpAddr) {
        self.all -= 1;
        if let Some(of) = self.of.get_mut(&address) {
            of.all -= 1;
            if of.all == 0 {
                self.of.remove(&address);
            }
        }
    }

    /// Ends the connection of this address that has been free for longest; `false` where none is free.
    fn evict(&mut self, address: IpAddr) -> bool {
        let Some((_, ends)) = self.of.get_mut(&address).and_then(|of| of.free.pop_first()) else {
            return false;
        };
        ends.cancel();
        self.remove(address);
        true
    }

    /// The address with the most connections, of those that have a free one.
    fn largest(&self) -> Option<IpAddr> {
        let with_free = self.of.iter().filter(|(_, of)| !of.free.is_empty());
        with_free.max_by_key(|(_, of)| of.all).map(|(address, _)| *address)
    }
}

/// All open connections.
#[derive(Debug)]
pub(crate) struct Connections {
    most: usize,
    per_address: Option<NonZeroU32>,
    open: Mutex<Open>,
}

impl Connections {
    /// Starts empty, with these limits: `most` connections in all, `per_address` of each address.
    pub(crate) fn new(most: usize, per_address: Option<NonZeroU32>) -> Arc<Self> {
        Arc::new(Self { most, per_address, open: Mutex::default() })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection. At a limit, a free connection is evicted: of the same address if that is at its own limit, else of the address with the most
    /// connections. `None` closes the new connection, when even the reserve for bots is used up. The `bool` is whether another connection was evicted.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: IpAddr,
    ) -> Option<(Arc<Connection>, Admission, bool)> {
        let mut open = self.open();
        let own = open.of.get(&address).map_or(0, |of| of.all);
        let is_full = self.per_address.is_some_and(|most| own >= most.get() as usize);
        let (mut admission, mut evicted_other) = (Admission::Admitted, false);
        if is_full {
            evicted_other = open.evict(address);
            if !evicted_other {
                admission = Admission::OverAddressLimit;
            }
        }
        if admission == Admission::Admitted && open.all >= self.most {
            evicted_other = match open.largest() {
                Some(largest) => open.evict(largest),
                None => false,
            };
            if !evicted_other {
                admission = Admission::OverConnectionLimit;
            }
        }
        if open.all >= self.most + (self.most / 4).max(1) {
            return None;
        }
        let ends = CancellationToken::new();
        let number = open.add(address, ends.clone());
        drop(open);
        let state = Mutex::new(State { free: Some(number), held: 0 });
        let connection = Connection { connections: Arc::clone(self), address, ends, state };
        Some((Arc::new(connection), admission, evicted_other))
    }
}

#[derive(Debug)]
struct State {
    /// Its number among the free connections.
    free: Option<u64>,
    /// How many requests hold it.
    held: usize,
}

/// An open connection; dropped when it is closed.
#[derive(Debug)]
pub(crate) struct Connection {
    connections: Arc<Connections>,
    address: IpAddr,
    ends: CancellationToken,
    state: Mutex<State>,
}

impl Connection {
    /// Waits until the connection is evicted.
    pub(crate) async fn evicted(&self) {
        self.ends.cancelled().await;
    }

    /// Protects the connection from eviction until the answer is dropped: a request with a valid key runs on it.
    pub(crate) fn hold(self: &Arc<Self>) -> Hold {
        let mut open = self.connections.open();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.held += 1;
        if let Some(number) = state.free.take()
            && let Some(of) = open.of.get_mut(&self.address)
        {
            of.free.remove(&number);
        }
        Hold(Arc::clone(self))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        // An evicted connection is removed already.
        if self.ends.is_cancelled() {
            return;
        }
        let free = self.state.get_mut().unwrap_or_else(PoisonError::into_inner).free;
        if let Some(of) = open.of.get_mut(&self.address)
            && let Some(number) = free
        {
            of.free.remove(&number);
        }
        open.remove(self.address);
    }
}

/// Protects a connection from eviction.
#[derive(Debug)]
pub(crate) struct Hold(Arc<Connection>);

impl Drop for Hold {
    fn drop(&mut self) {
        let mut open = self.0.connections.open();
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.held -= 1;
        if state.held == 0 && !self.0.ends.is_cancelled() {
            state.free = Some(open.set_free(self.0.address, self.0.ends.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    /// Opens a connection within the limits.
    fn served(all: &Arc<Connections>, last: u8) -> Arc<Connection> {
        let (connection, admission, _) = all.admit(address(last)).unwrap();
        assert_eq!(admission, Admission::Admitted);
        connection
    }

    fn ended(connections: &[Arc<Connection>]) -> Vec<bool> {
        connections.iter().map(|connection| connection.ends.is_cancelled()).collect()
    }

    #[test]
    fn the_connection_free_for_longest_of_the_largest_address_is_evicted() {
        let all = Connections::new(4, None);
        let many = [served(&all, 1), served(&all, 1), served(&all, 1)];
        let other = served(&all, 2);
        // The first was held and is free again: it has been free for the shortest time.
        drop(many[0].hold());
        let late = served(&all, 3);
        assert_eq!(ended(&many), [false, true, false]);
        assert!(!other.ends.is_cancelled());
        let held = [&many[0], &many[2], &other].map(Connection::hold);
        // Now `late` is the only free one.
        let latest = served(&all, 2);
        assert!(late.ends.is_cancelled() && !latest.ends.is_cancelled());
        drop(held);
        drop((many, other, late, latest));
        let open = all.open();
        assert_eq!((open.all, open.of.len()), (0, 0));
    }

    #[test]
    fn while_all_connections_are_busy_a_reserve_serves_only_bots() {
        let all = Connections::new(4, None);
        let open: Vec<_> = (0..4).map(|_| served(&all, 1)).collect();
        let held: Vec<_> = open.iter().map(Connection::hold).collect();
        let (bot, admission, evicted_other) = all.admit(address(2)).unwrap();
        assert_eq!((admission, evicted_other), (Admission::OverConnectionLimit, false));
        let bot = (bot.hold(), bot);
        assert!(all.admit(address(3)).is_none());
        drop(held);
        served(&all, 3);
        assert_eq!(ended(&open).iter().filter(|ended| **ended).count(), 1);
        assert!(!bot.1.ends.is_cancelled());
    }

    #[test]
    fn an_address_at_its_limit_evicts_only_its_own_connections() {
        let all = Connections::new(100, NonZeroU32::new(2));
        let own = [served(&all, 1), served(&all, 1)];
        let other = served(&all, 2);
        let third = served(&all, 1);
        assert_eq!(ended(&own), [true, false]);
        let _held = [own[1].hold(), third.hold()];
        let (_, admission, _) = all.admit(address(1)).unwrap();
        assert_eq!(admission, Admission::OverAddressLimit);
        assert!(!other.ends.is_cancelled());
    }
}
