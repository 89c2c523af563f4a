//! Checks the URLs of webhooks, and the addresses to which they resolve at each connection.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use meetbot_types::{
    AddressPolicy,
    address_policy::{self, is_public},
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use url::Url;

/// The longest webhook URL, in characters.
const MAX_URL_CHARACTERS: usize = 2_048;
/// The setting that allows more than public addresses.
const SETTING: &str = "webhooks.allow_networks";

/// What is wrong with a webhook's URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlProblem {
    /// It is no http or https URL.
    #[error("is not an http or https URL, as in https://example.com/hooks/meetbot")]
    NotHttp,
    /// It is longer than 2,048 characters.
    #[error("is longer than {MAX_URL_CHARACTERS} characters")]
    TooLong,
    /// It contains a user name or a password.
    #[error("must not hold a name or password before the host")]
    Userinfo,
    /// Its host is a forbidden address.
    #[error("names an address that is not allowed: {}", address_policy::refusal(*.0, SETTING))]
    Address(IpAddr),
}

impl UrlProblem {
    /// The `code` in the API's `issues`.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::NotHttp | Self::Userinfo => "invalid_url",
            Self::TooLong => "too_long",
            Self::Address(_) => "address_not_allowed",
        }
    }
}

/// The rule for the URLs of webhooks.
#[derive(Debug, Clone)]
pub(crate) struct Guard(AddressPolicy);

impl Guard {
    /// The rule over the addresses of `address_policy`.
    pub(crate) const fn new(address_policy: AddressPolicy) -> Self {
        Self(address_policy)
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
        let host = url.host().ok_or(UrlProblem::NotHttp)?;
        self.0.refused(&host).map_or(Ok(()), |address| Err(UrlProblem::Address(address)))
    }

    /// Whether the consumer may read the response of an endpoint at this address. Addresses that a setting allows are of the operator's private
    /// network: webhooks may be sent there, but responses of other programs there must not leak.
    pub(crate) fn shows_answers_of(address: SocketAddr) -> bool {
        is_public(address.ip())
    }
}

/// A name that does not resolve, or whose addresses are all forbidden.
#[derive(Debug, thiserror::Error)]
#[error("{}", address_policy::unreachable(SETTING))]
struct Unreachable;

/// How many names are resolved concurrently: each lookup may occupy a thread until the name server answers.
const LOOKUPS: usize = 64;

/// Resolves a name to its addresses.
pub(crate) type Lookup =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Resolves with the operating system.
pub(crate) fn system_lookup() -> Lookup {
    Arc::new(|host| {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) })
    })
}

/// Resolves names to the addresses that the guard allows. Connections go to exactly these addresses, so that a name whose address changes after
/// the check (DNS rebinding) does not get around the guard.
pub(crate) struct GuardedResolver {
    guard: Arc<Guard>,
    lookup: Lookup,
    turns: Arc<Semaphore>,
}

impl GuardedResolver {
    pub(crate) fn new(guard: Arc<Guard>, lookup: Lookup) -> Self {
        Self { guard, lookup, turns: Arc::new(Semaphore::new(LOOKUPS)) }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, turns) = (Arc::clone(&self.guard), Arc::clone(&self.turns));
        let lookup = Arc::clone(&self.lookup);
        Box::pin(async move {
            let _turn = turns.acquire().await?;
            let host = name.as_str();
            // Only the log distinguishes the two errors.
            let found = lookup(host.to_owned()).await.map_err(|error| {
                tracing::info!(host, %error, "a webhook's host does not resolve");
                Unreachable
            })?;
            let (allowed, refused): (Vec<SocketAddr>, Vec<SocketAddr>) =
                found.into_iter().partition(|address| guard.0.allows(address.ip()));
            if allowed.is_empty() {
                tracing::info!(host, ?refused, "a webhook's host has no address that is allowed");
                return Err(Unreachable.into());
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
        Guard::new(AddressPolicy { loopback, networks })
    }

    #[test]
    fn public_addresses_and_names_pass() {
        let guard = guard(false, &[]);
        for url in [
            "https://example.com/x",
            "http://93.184.216.34",
            "https://[2606:4700::1111]/",
            "http://localhost.example.com/",
        ] {
            assert_eq!(guard.check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn invalid_webhook_urls_are_refused() {
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
    fn loopback_and_listed_networks_are_allowed_by_settings() {
        let local = guard(true, &[]);
        assert_eq!(local.check("http://127.0.0.1:9000"), Ok(()));
        assert_eq!(local.check("http://localhost:9000"), Ok(()));
        assert!(local.check("http://10.0.0.1").is_err());
        let listed = guard(false, &["10.1.0.0/16", "fd00::/8"]);
        assert_eq!(listed.check("http://10.1.2.3"), Ok(()));
        assert_eq!(listed.check("http://[fd00::5]"), Ok(()));
        assert!(listed.check("http://10.2.0.1").is_err());
    }

    #[test]
    fn a_refused_loopback_url_names_the_flag_and_the_setting() {
        for url in ["http://127.0.0.1:8000/", "http://[::ffff:127.0.0.1]/", "http://localhost/"] {
            let problem = guard(false, &[]).check(url).unwrap_err();
            assert_eq!(problem.code(), "address_not_allowed");
            let said = problem.to_string();
            assert!(said.contains("meetbot serve --dev") && said.contains(SETTING), "{said}");
        }
        let said = guard(false, &[]).check("http://10.0.0.1/").unwrap_err().to_string();
        assert!(!said.contains("--dev") && said.contains(SETTING), "{said}");
    }
}
