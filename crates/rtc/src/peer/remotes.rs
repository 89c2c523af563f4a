//! The addresses of the other side: those that the guard has allowed. Nothing is sent to any other.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use crate::guard::{Guard, Refused};

/// Addresses of the other side in the life of one peer. It also bounds the candidate pairs: each address makes at most one with each local socket.
/// RFC 8445, 6.1.2.5, has 100 pairs as the default.
const MOST: usize = 32;

pub(super) struct Remotes {
    guard: Guard,
    known: HashMap<SocketAddr, Remote>,
}

#[derive(Debug, Default)]
struct Remote {
    /// A connectivity check that was sent to it was answered.
    answered: bool,
    /// The session has it as a candidate that the other side named, since the last ICE restart.
    named: bool,
}

impl Remotes {
    pub(super) fn new(guard: Guard) -> Self {
        Self { guard, known: HashMap::new() }
    }

    /// Whether the guard allows an address, without regard to counts.
    pub(super) fn allow(&self, address: IpAddr) -> Result<(), Refused> {
        self.guard.allow(address)
    }

    /// Adds an address of the other side, from its candidates or from a connectivity check that it sent.
    pub(super) fn add(&mut self, address: SocketAddr) -> Result<(), Refused> {
        if self.knows(address) {
            return Ok(());
        }
        self.guard.allow(address.ip())?;
        if self.known.len() == MOST {
            return Err(Refused::TooMany);
        }
        self.guard.count()?;
        self.known.insert(address, Remote::default());
        Ok(())
    }

    /// Adds an address that the other side named. Returns whether the session must get it: it gets each candidate once.
    pub(super) fn add_named(&mut self, address: SocketAddr) -> Result<bool, Refused> {
        self.add(address)?;
        let remote = self.known.entry(address).or_default();
        Ok(!std::mem::replace(&mut remote.named, true))
    }

    /// ICE restarts, and the session has dropped its candidates.
    pub(super) fn restart(&mut self) {
        self.known.values_mut().for_each(|remote| remote.named = false);
    }

    /// Whether datagrams may be sent there.
    pub(super) fn knows(&self, address: SocketAddr) -> bool {
        self.known.contains_key(&address)
    }

    /// A connectivity check to this address was answered.
    pub(super) fn answered(&mut self, address: SocketAddr) {
        if let Some(remote) = self.known.get_mut(&address)
            && !std::mem::replace(&mut remote.answered, true)
        {
            self.guard.answered();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn an_address_that_the_guard_refuses_is_not_known_and_not_counted() {
        let guard = Guard::new(|address| address.is_loopback(), "not loopback");
        let mut remotes = Remotes::new(guard);
        for port in 0..1000 {
            assert_eq!(remotes.add(at(port)), Err(Refused::Address("not loopback")));
        }
        let loopback = SocketAddr::from(([127, 0, 0, 1], 9));
        assert_eq!(
            (remotes.add_named(loopback), remotes.add_named(loopback)),
            (Ok(true), Ok(false))
        );
        remotes.restart();
        assert_eq!(remotes.add_named(loopback), Ok(true));
        assert!(remotes.knows(loopback) && !remotes.knows(at(1)));
    }

    #[test]
    fn addresses_per_peer_and_unanswered_addresses_per_guard_are_bounded() {
        let guard = Guard::everywhere();
        let mut named = 0;
        for _ in 0..100 {
            let mut remotes = Remotes::new(guard.clone());
            named += (0..1000).filter(|port| remotes.add(at(*port)).is_ok()).count();
        }
        assert_eq!(named, 256, "it does not grow when the bot joins again");

        let guard = Guard::everywhere();
        for _ in 0..100 {
            let mut remotes = Remotes::new(guard.clone());
            for port in 0..20 {
                assert_eq!(remotes.add(at(port)), Ok(()), "addresses that answer are not counted");
                remotes.answered(at(port));
                remotes.answered(at(port));
            }
        }
    }

    #[test]
    fn a_guard_that_allows_one_more_address_shares_the_count_of_the_first() {
        let guard = Guard::new(|_| false, "");
        let here = IpAddr::from([127, 0, 0, 1]);
        let mut remotes = Remotes::new(guard.and(here));
        assert_eq!(remotes.add((here, 1).into()), Ok(()));
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        assert_eq!(remotes.allow(mapped), Ok(()));
        assert!(remotes.allow(at(1).ip()).is_err());
        assert!(format!("{guard:?}").contains('1'), "{guard:?}");
    }
}
