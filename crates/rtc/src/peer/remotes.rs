//! The addresses of the other side: those that the guard has allowed. Nothing is sent to any other.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use crate::guard::{Guard, Refused};

/// Addresses of the other side in the life of one peer, and with it the candidate pairs: each address makes at most one with each of our sockets.
/// RFC 8445, 6.1.2.5, has 100 pairs as the default.
const MOST: usize = 32;

pub(super) struct Remotes {
    guard: Guard,
    known: HashMap<SocketAddr, Remote>,
}

#[derive(Debug, Default)]
struct Remote {
    /// A check that was sent there came back.
    answered: bool,
    /// The session has it as a candidate that the other side named, since ICE last began.
    named: bool,
}

impl Remotes {
    pub(super) fn new(guard: Guard) -> Self {
        Self { guard, known: HashMap::new() }
    }

    /// Whether an address may be sent to, as far as it alone decides that.
    pub(super) fn allow(&self, address: IpAddr) -> Result<(), Refused> {
        self.guard.allow(address)
    }

    /// The other side is at this address, as it says or as a check of its own shows.
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

    /// The other side names this address. Answers whether the session is to be told: it gets each candidate once.
    pub(super) fn name(&mut self, address: SocketAddr) -> Result<bool, Refused> {
        self.add(address)?;
        let remote = self.known.entry(address).or_default();
        Ok(!std::mem::replace(&mut remote.named, true))
    }

    /// ICE begins anew, and has forgotten its candidates.
    pub(super) fn restart(&mut self) {
        self.known.values_mut().for_each(|remote| remote.named = false);
    }

    /// Whether datagrams may be sent there.
    pub(super) fn knows(&self, address: SocketAddr) -> bool {
        self.known.contains_key(&address)
    }

    /// A check of ours has come back from there.
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
        assert_eq!((remotes.name(loopback), remotes.name(loopback)), (Ok(true), Ok(false)));
        remotes.restart();
        assert_eq!(remotes.name(loopback), Ok(true));
        assert!(remotes.knows(loopback) && !remotes.knows(at(1)));
    }

    #[test]
    fn a_peer_has_few_addresses_and_all_peers_of_a_guard_few_that_never_answer() {
        let guard = Guard::everywhere();
        let mut named = 0;
        for _ in 0..100 {
            let mut remotes = Remotes::new(guard.clone());
            named += (0..1000).filter(|port| remotes.add(at(*port)).is_ok()).count();
        }
        assert_eq!(named, 256, "however often the bot joins again");

        let guard = Guard::everywhere();
        for _ in 0..100 {
            let mut remotes = Remotes::new(guard.clone());
            for port in 0..20 {
                assert_eq!(remotes.add(at(port)), Ok(()), "those that answer are not counted");
                remotes.answered(at(port));
                remotes.answered(at(port));
            }
        }
    }

    #[test]
    fn a_guard_that_allows_one_more_address_counts_with_the_first() {
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
