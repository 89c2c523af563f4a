//! Discovers a peer's public address with STUN.

use std::{net::SocketAddr, time::Duration};

use str0m::Candidate;

use super::{
    Peer,
    sockets::{Received, source_towards},
};
use crate::{Error, stun};

/// How long to wait for STUN servers. The meeting waits meanwhile, for an address that it may not need.
const STUN_TIMEOUT: Duration = Duration::from_millis(800);
/// A lost request is sent again after this time.
const STUN_RETRY: Duration = Duration::from_millis(200);

impl Peer {
    /// Asks STUN servers (`stun.example.com:3478`) for this peer's public address, and adds it to the peer's candidates.
    /// Returns `None` when no server answers. To be called before descriptions are exchanged.
    ///
    /// It sends from the local address that reaches the first of the servers, and over IPv4 only: IPv6 addresses are not translated, and a local
    /// address that reaches no STUN server is not behind the NAT.
    pub async fn discover(&mut self, stun_servers: &[String]) -> Result<Option<SocketAddr>, Error> {
        let mut servers = Vec::new();
        for server in stun_servers {
            match tokio::net::lookup_host(server).await {
                Ok(mut found) => servers.extend(found.find(SocketAddr::is_ipv4)),
                Err(error) => {
                    tracing::warn!(server, %error, "a STUN server's name does not resolve");
                }
            }
        }
        let source = servers.iter().find_map(|server| source_towards(server.ip()).ok());
        let Some(source) = source else { return Ok(None) };
        self.add_socket(source)?;
        let Some(base) = self.sockets.addresses().find(|bound| bound.ip() == source) else {
            return Ok(None);
        };
        let mut transaction = stun::Transaction::default();
        getrandom::fill(&mut transaction).map_err(std::io::Error::from)?;
        let found =
            tokio::time::timeout(STUN_TIMEOUT, self.ask(base, &servers, &transaction)).await;
        let Ok(found) = found else { return Ok(None) };
        let found = found?;
        let candidate = Candidate::server_reflexive(found, base, "udp")
            .map_err(|error| Error::Description(error.to_string()))?;
        self.rtc.add_local_candidate(candidate);
        Ok(Some(found))
    }

    async fn ask(
        &mut self,
        base: SocketAddr,
        servers: &[SocketAddr],
        transaction: &stun::Transaction,
    ) -> Result<SocketAddr, Error> {
        let request = stun::request(transaction);
        loop {
            for server in servers {
                // A server that cannot be reached is treated like one that does not answer.
                let _ = self.sockets.send(&request, base, *server);
            }
            let again = tokio::time::sleep(STUN_RETRY);
            tokio::pin!(again);
            loop {
                tokio::select! {
                    readable = self.sockets.readable() => readable?,
                    () = &mut again => break,
                }
                // Other datagrams may arrive without a pause.
                while let Some(Received { length, .. }) =
                    self.sockets.receive(self.datagram.as_mut_slice())?
                {
                    if let Some(found) = stun::answer(&self.datagram[..length], transaction) {
                        return Ok(found);
                    }
                    tokio::task::consume_budget().await;
                }
            }
        }
    }
}
