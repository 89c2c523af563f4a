//! ICE candidates: the local addresses from which the other side's addresses are reached.

use std::{io, net::IpAddr};

use str0m::{Candidate, net::Protocol};

use super::{
    Peer,
    description::{Credentials, unusable},
    sockets::source_towards,
};
use crate::Error;

impl Peer {
    /// Adds a trickled candidate of the other side. Returns the new candidate of this side that
    /// it leads to, if any, to be sent to the other side.
    pub fn add_remote_candidate(&mut self, candidate: &str) -> Result<Option<String>, Error> {
        let candidate = Candidate::from_sdp_string(candidate).map_err(unusable)?;
        let added = self.bind_source_towards(&candidate);
        self.take(candidate);
        Ok(added)
    }

    /// Adds the candidates of a description; they were removed from the text that the session read.
    pub(super) fn take_candidates(
        &mut self,
        credentials: Option<Credentials>,
        candidates: &[&str],
    ) {
        // New credentials restart ICE.
        if self.credentials != credentials {
            self.credentials = credentials;
            self.remotes.restart();
        }
        let candidates = candidates.iter().map(|text| Candidate::from_sdp_string(text));
        candidates.flatten().for_each(|candidate| self.take(candidate));
    }

    /// Passes a candidate to the session's connectivity checks, if the guard allows it and the session does not have it.
    fn take(&mut self, candidate: Candidate) {
        if candidate.proto() != Protocol::Udp {
            return;
        }
        match self.remotes.add_named(candidate.addr()) {
            Ok(true) => {
                self.needs_poll = true;
                self.rtc.add_remote_candidate(candidate);
            }
            Ok(false) => {}
            Err(why) => {
                tracing::debug!(address = %candidate.addr(), %why, "a candidate is ignored");
            }
        }
    }

    /// Binds the local addresses from which the candidates of an offer are reached.
    pub(super) fn bind_towards(&mut self, candidates: &[&str]) {
        for candidate in candidates {
            // A candidate that cannot be parsed is ignored.
            if let Ok(candidate) = Candidate::from_sdp_string(candidate) {
                self.bind_source_towards(&candidate);
            }
        }
        if let Some(fallback) = self.fallback.filter(|_| self.sockets.is_empty())
            && let Err(error) = self.add_socket(fallback)
        {
            tracing::debug!(%fallback, %error, "the fallback address cannot be bound");
        }
    }

    /// Binds a port of `ip`, if none is bound. Returns the candidate that it adds.
    pub(super) fn add_socket(&mut self, ip: IpAddr) -> io::Result<Option<String>> {
        let Some(address) = self.sockets.bind(ip)? else { return Ok(None) };
        let candidate = Candidate::host(address, "udp").map_err(io::Error::other)?;
        self.needs_poll = true;
        Ok(self.rtc.add_local_candidate(candidate).map(Candidate::to_sdp_string))
    }

    /// Binds the local address from which a candidate of the other side is reached. Returns the candidate of this side, if it is new.
    fn bind_source_towards(&mut self, candidate: &Candidate) -> Option<String> {
        let address = candidate.addr().ip();
        if candidate.proto() != Protocol::Udp || !self.path.is_new(address) {
            return None;
        }
        if let Err(why) = self.remotes.allow(address) {
            self.path.refused(address, why);
            return None;
        }
        let added = source_towards(address).and_then(|source| self.add_socket(source));
        self.path.offered(address, added.as_ref().map(drop));
        added.ok().flatten()
    }
}
