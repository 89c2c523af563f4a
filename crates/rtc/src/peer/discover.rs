//! Under which address the internet sees a peer.

use std::{net::SocketAddr, time::Duration};

use str0m::Candidate;

use super::Peer;
use crate::{Error, stun};

/// A STUN server answers within this time or not at all; a meeting does not wait longer for an address that it may not need.
const STUN_PATIENCE: Duration = Duration::from_millis(800);
/// A request that is lost is sent again after this time.
const STUN_AGAIN: Duration = Duration::from_millis(200);

impl Peer {
    /// Asks STUN servers (`stun.example.com:3478`) under which address the internet sees this peer, and offers that one
    /// too. Answers it; `None` when no server does. To be called before descriptions are exchanged.
    pub async fn discover(&mut self, stun_servers: &[String]) -> Result<Option<SocketAddr>, Error> {
        let mut servers = Vec::new();
        for server in stun_servers {
            match tokio::net::lookup_host(server).await {
                Ok(found) => servers.extend(
                    found.filter(|found| found.is_ipv4() == self.address.is_ipv4()).take(1),
                ),
                Err(error) => tracing::warn!(server, %error, "a STUN server's name leads nowhere"),
            }
        }
        if servers.is_empty() {
            return Ok(None);
        }
        let mut transaction = stun::Transaction::default();
        getrandom::fill(&mut transaction).map_err(std::io::Error::from)?;
        let found = tokio::time::timeout(STUN_PATIENCE, self.ask(&servers, &transaction)).await;
        let Ok(found) = found else { return Ok(None) };
        let found = found?;
        let candidate = Candidate::server_reflexive(found, self.address, "udp")
            .map_err(|error| Error::Description(error.to_string()))?;
        self.rtc.add_local_candidate(candidate);
        Ok(Some(found))
    }

    async fn ask(
        &mut self,
        servers: &[SocketAddr],
        transaction: &stun::Transaction,
    ) -> Result<SocketAddr, Error> {
        let request = stun::request(transaction);
        loop {
            for server in servers {
                // One that cannot be reached is like one that does not answer.
                let _ = self.socket.send_to(&request, server).await;
            }
            let heard = self.socket.recv_from(self.datagram.as_mut_slice());
            if let Ok(heard) = tokio::time::timeout(STUN_AGAIN, heard).await {
                let (length, _) = heard?;
                if let Some(found) = stun::answer(&self.datagram[..length], transaction) {
                    return Ok(found);
                }
            }
        }
    }
}
