//! Candidates: which addresses of this side lead to those of the other.

use std::{io, net::IpAddr};

use str0m::{Candidate, net::Protocol};

use super::{
    Peer,
    description::{Credentials, unusable},
    sockets::source_towards,
};
use crate::Error;

impl Peer {
    /// Takes a candidate of the other side that was not in its description. Answers the candidate of this side that
    /// it brings about, if any, for the other side to be told.
    pub fn add_remote_candidate(&mut self, candidate: &str) -> Result<Option<String>, Error> {
        let candidate = Candidate::from_sdp_string(candidate).map_err(unusable)?;
        let added = self.find_way(&candidate);
        self.take(candidate);
        Ok(added)
    }

    /// Takes the candidates of a description, which the session has not seen.
    pub(super) fn take_candidates(
        &mut self,
        credentials: Option<Credentials>,
        candidates: &[&str],
    ) {
        // Others than before begin ICE anew.
        if self.credentials != credentials {
            self.credentials = credentials;
            self.remotes.restart();
        }
        let candidates = candidates.iter().map(|text| Candidate::from_sdp_string(text));
        candidates.flatten().for_each(|candidate| self.take(candidate));
    }

    /// Lets the session check a candidate, if that is allowed and it does not do so already.
    fn take(&mut self, candidate: Candidate) {
        if candidate.proto() != Protocol::Udp {
            return;
        }
        match self.remotes.name(candidate.addr()) {
            Ok(true) => {
                self.stirred = true;
                self.rtc.add_remote_candidate(candidate);
            }
            Ok(false) => {}
            Err(why) => {
                tracing::debug!(address = %candidate.addr(), %why, "a candidate is left out");
            }
        }
    }

    /// Binds what reaches the candidates in an offer.
    pub(super) fn bind_towards(&mut self, candidates: &[&str]) {
        for candidate in candidates {
            // One of a kind that is not known here leads nowhere.
            if let Ok(candidate) = Candidate::from_sdp_string(candidate) {
                self.find_way(&candidate);
            }
        }
        if let Some(fallback) = self.fallback.filter(|_| self.sockets.is_empty())
            && let Err(error) = self.add_socket(fallback)
        {
            tracing::debug!(%fallback, %error, "nothing is bound");
        }
    }

    /// Binds a port of `ip`, if none is. Answers the candidate that it adds.
    pub(super) fn add_socket(&mut self, ip: IpAddr) -> io::Result<Option<String>> {
        let Some(address) = self.sockets.bind(ip)? else { return Ok(None) };
        let candidate = Candidate::host(address, "udp").map_err(io::Error::other)?;
        self.stirred = true;
        Ok(self.rtc.add_local_candidate(candidate).map(Candidate::to_sdp_string))
    }

    /// Looks for the way to a candidate of the other side. Answers the candidate of this side that it takes, if that is new.
    fn find_way(&mut self, candidate: &Candidate) -> Option<String> {
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
