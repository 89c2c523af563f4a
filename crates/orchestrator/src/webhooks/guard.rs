//! Which addresses the server may be made to reach. Names are checked when they are resolved, at each connection.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use meetbot_types::Reach;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use url::{Host, Url};

/// The longest webhook URL, in characters.
const MAX_URL_CHARACTERS: usize = 2_048;

/// What is wrong with a webhook's URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlProblem {
    /// It is none.
    #[error("is not an http or https URL, as in https://example.com/hooks/meetbot")]
    NotHttp,
    /// It is too long.
    #[error("is longer than {MAX_URL_CHARACTERS} characters")]
    TooLong,
    /// It holds a name or a password.
    #[error("must not hold a name or password before the host")]
    Userinfo,
    /// It names an address that is not reached from here.
    #[error(
        "names {0}, which is not a public address; an operator can allow it in `webhooks.allow_networks`"
    )]
    Address(IpAddr),
}

impl UrlProblem {
    /// The word in the API's `issues`.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::NotHttp | Self::Userinfo => "invalid_url",
            Self::TooLong => "too_long",
            Self::Address(_) => "address_not_allowed",
        }
    }
}

/// The rule for webhooks.
#[derive(Debug, Clone)]
pub(crate) struct Guard(Reach);

impl Guard {
    /// The rule over the addresses of `reach`.
    pub(crate) const fn new(reach: Reach) -> Self {
        Self(reach)
    }

    /// Checks a webhook's URL without asking DNS.
    pub(crate) fn check(&self, url: &str) -> Result<(), UrlProblem> {
        if url.chars().count() > MAX_URL_CHARACTERS {
            return Err(UrlProblem::TooLong);
        }
        let url = Url::parse(url).map_err(|_| UrlProblem::NotHttp)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlProblem::NotHttp);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlProblem::Userinfo);
        }
        // `Url` has read the octal, decimal and hexadecimal spellings of an address by now.
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(UrlProblem::NotHttp),
        };
        if self.0.allows(literal) { Ok(()) } else { Err(UrlProblem::Address(literal)) }
    }
}

/// How many names are looked up at once: each lookup may hold a thread for as long as a name server keeps silent.
const LOOKUPS: usize = 64;

/// Asks for the addresses of a name.
pub(super) type Lookup =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Asks the operating system.
pub(super) fn system_lookup() -> Lookup {
    Arc::new(|host| {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) })
    })
}

/// Resolves names to addresses that the guard allows, so that no name leads around it. What it answers is what is connected to: a name
/// that says something else a moment later has been asked in vain.
pub(super) struct GuardedResolver {
    guard: Arc<Guard>,
    lookup: Lookup,
    turns: Arc<Semaphore>,
}

impl GuardedResolver {
    pub(super) fn new(guard: Arc<Guard>, lookup: Lookup) -> Self {
        Self { guard, lookup, turns: Arc::new(Semaphore::new(LOOKUPS)) }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, turns) = (Arc::clone(&self.guard), Arc::clone(&self.turns));
        let lookup = Arc::clone(&self.lookup);
        Box::pin(async move {
            let _turn = turns.acquire().await?;
            let host = name.as_str().to_owned();
            let found = lookup(host.clone()).await?;
            let allowed: Vec<SocketAddr> =
                found.iter().copied().filter(|address| guard.0.allows(address.ip())).collect();
            if allowed.is_empty() {
                let error = format!("{host} has no public address ({} refused)", found.len());
                return Err(error.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(loopback: bool, networks: &[&str]) -> Guard {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        Guard::new(Reach { loopback, networks })
    }

    #[test]
    fn public_addresses_and_names_pass() {
        let guard = guard(false, &[]);
        for url in [
            "https://example.com/x",
            "http://93.184.216.34",
            "https://[2606:4700::1111]/",
            "http://localhost/",
        ] {
            assert_eq!(guard.check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn what_is_no_webhook_url_is_refused() {
        let guard = guard(true, &[]);
        for url in
            ["", "example.com", "ftp://example.com", "file:///etc/passwd", "javascript:alert(1)"]
        {
            assert_eq!(guard.check(url), Err(UrlProblem::NotHttp), "{url}");
        }
        assert_eq!(guard.check("https://user:secret@example.com"), Err(UrlProblem::Userinfo));
        assert_eq!(
            guard.check(&format!("https://example.com/{}", "x".repeat(2048))),
            Err(UrlProblem::TooLong)
        );
    }

    #[test]
    fn loopback_and_listed_networks_are_allowed_where_said() {
        let local = guard(true, &[]);
        assert_eq!(local.check("http://127.0.0.1:9000"), Ok(()));
        assert!(local.check("http://10.0.0.1").is_err());
        let listed = guard(false, &["10.1.0.0/16", "fd00::/8"]);
        assert_eq!(listed.check("http://10.1.2.3"), Ok(()));
        assert_eq!(listed.check("http://[fd00::5]"), Ok(()));
        assert!(listed.check("http://10.2.0.1").is_err());
    }
}
