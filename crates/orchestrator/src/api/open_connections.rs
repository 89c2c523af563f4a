//! The connections that are open, and which one gives way where there is no room for another.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// What a new connection finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Welcome {
    /// Room.
    Served,
    /// None, and all that are open are at work: bots alone are served.
    Crowded,
    /// As many of its address as one may have, all of them at work: bots alone are served.
    AddressIsFull,
}

/// Which connections give way to a new one: those on which nobody who is known has something under way. Waiting for a request is free, and so is asking
/// without a key; a connection that could be held like this would be held by strangers.
#[derive(Debug, Default)]
struct Open {
    all: usize,
    of: HashMap<IpAddr, OfAddress>,
    /// The number of the next one that is free.
    next: u64,
}

#[derive(Debug, Default)]
struct OfAddress {
    all: usize,
    /// Those that may give way, the one that has been free for longest first.
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

    /// Of the addresses with a connection that is free, the one with the most connections.
    fn largest(&self) -> Option<IpAddr> {
        let with_free = self.of.iter().filter(|(_, of)| !of.free.is_empty());
        with_free.max_by_key(|(_, of)| of.all).map(|(address, _)| *address)
    }
}

/// All that are open.
#[derive(Debug)]
pub(crate) struct Connections {
    most: usize,
    per_address: Option<NonZeroU32>,
    open: Mutex<Open>,
}

impl Connections {
    /// None yet; there may be `most`, and so many of each address.
    pub(crate) fn new(most: usize, per_address: Option<NonZeroU32>) -> Arc<Self> {
        Arc::new(Self { most, per_address, open: Mutex::default() })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection. Where there is no room, one that is free ends for it: of this address, where it has as many as one may have, else of the address with
    /// the most. `None` where not even bots have room any more. Also says whether one gave way.
    pub(crate) fn welcome(
        self: &Arc<Self>,
        address: IpAddr,
    ) -> Option<(Arc<Connection>, Welcome, bool)> {
        let mut open = self.open();
        let own = open.of.get(&address).map_or(0, |of| of.all);
        let is_full = self.per_address.is_some_and(|most| own >= most.get() as usize);
        let (mut welcome, mut gave_way) = (Welcome::Served, false);
        if is_full {
            gave_way = open.evict(address);
            if !gave_way {
                welcome = Welcome::AddressIsFull;
            }
        }
        if welcome == Welcome::Served && open.all >= self.most {
            gave_way = match open.largest() {
                Some(largest) => open.evict(largest),
                None => false,
            };
            if !gave_way {
                welcome = Welcome::Crowded;
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
        Some((Arc::new(connection), welcome, gave_way))
    }
}

#[derive(Debug)]
struct State {
    /// Its number among those that are free.
    free: Option<u64>,
    /// How much is under way on it.
    held: usize,
}

/// A connection that is open, until it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    connections: Arc<Connections>,
    address: IpAddr,
    ends: CancellationToken,
    state: Mutex<State>,
}

impl Connection {
    /// It has to give way.
    pub(crate) async fn gives_way(&self) {
        self.ends.cancelled().await;
    }

    /// Somebody who is known has something under way on it: it does not give way before this is dropped.
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
        // One that gave way has left already.
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

/// Keeps a connection open while something is under way on it.
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

    /// Opens one that is served at once.
    fn served(all: &Arc<Connections>, last: u8) -> Arc<Connection> {
        let (connection, welcome, _) = all.welcome(address(last)).unwrap();
        assert_eq!(welcome, Welcome::Served);
        connection
    }

    fn ended(connections: &[Arc<Connection>]) -> Vec<bool> {
        connections.iter().map(|connection| connection.ends.is_cancelled()).collect()
    }

    #[test]
    fn the_longest_free_of_the_address_with_the_most_gives_way() {
        let all = Connections::new(4, None);
        let many = [served(&all, 1), served(&all, 1), served(&all, 1)];
        let other = served(&all, 2);
        // The first has something under way, and then waits again: it is the youngest.
        drop(many[0].hold());
        let late = served(&all, 3);
        assert_eq!(ended(&many), [false, true, false]);
        assert!(!other.ends.is_cancelled());
        let held = [&many[0], &many[2], &other].map(Connection::hold);
        // Now it is the only one that is free.
        let latest = served(&all, 2);
        assert!(late.ends.is_cancelled() && !latest.ends.is_cancelled());
        drop(held);
        drop((many, other, late, latest));
        let open = all.open();
        assert_eq!((open.all, open.of.len()), (0, 0));
    }

    #[test]
    fn while_all_are_at_work_bots_alone_are_served_and_then_nobody() {
        let all = Connections::new(4, None);
        let open: Vec<_> = (0..4).map(|_| served(&all, 1)).collect();
        let held: Vec<_> = open.iter().map(Connection::hold).collect();
        let (bot, welcome, gave_way) = all.welcome(address(2)).unwrap();
        assert_eq!((welcome, gave_way), (Welcome::Crowded, false));
        let bot = (bot.hold(), bot);
        assert!(all.welcome(address(3)).is_none());
        drop(held);
        served(&all, 3);
        assert_eq!(ended(&open).iter().filter(|ended| **ended).count(), 1);
        assert!(!bot.1.ends.is_cancelled());
    }

    #[test]
    fn an_address_has_so_many_and_its_own_give_way() {
        let all = Connections::new(100, NonZeroU32::new(2));
        let own = [served(&all, 1), served(&all, 1)];
        let other = served(&all, 2);
        let third = served(&all, 1);
        assert_eq!(ended(&own), [true, false]);
        let _held = [own[1].hold(), third.hold()];
        let (_, welcome, _) = all.welcome(address(1)).unwrap();
        assert_eq!(welcome, Welcome::AddressIsFull);
        assert!(!other.ends.is_cancelled());
    }
}
