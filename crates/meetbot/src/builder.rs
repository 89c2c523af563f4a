//! [`Builder`]: a client with settings of its own.

use std::{env, fmt, pin::Pin, sync::Arc, time::Duration};

use meetbot_types::pasted::trimmed;
use url::Url;

use crate::{
    DEFAULT_BASE_URL, Error, MeetBot, connections::Spawn, key::Key, network::Network,
    options::CallOptions, proxy::Proxies, settings::Settings, transport::Transport,
};

/// Builds a client; what is not set comes from the environment or has the documented default.
///
/// ```
/// use std::time::Duration;
///
/// # fn main() -> Result<(), meetbot::Error> {
/// let mb = meetbot::MeetBot::builder()
///     .api_key("mb_test_0123456789")
///     .base_url("http://127.0.0.1:3010")
///     .timeout(Duration::from_secs(10))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Builder {
    api_key: Option<String>,
    base_url: Option<String>,
    network: Network,
    options: CallOptions,
}

impl Builder {
    /// The API key; by default `MEETBOT_API_KEY`.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// Where the server is; by default `MEETBOT_API_BASE_URL`, or else [`DEFAULT_BASE_URL`]. A trailing `/api/v1` is taken off. Plain `http://` to another
    /// machine shows the key to everyone on the way: it is a warning in the log.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// How long one try of a call may take; 30 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options = self.options.timeout(timeout);
        self
    }

    /// How long a whole call may take, its tries and the pauses between them included; see [`CallOptions::deadline`].
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.options = self.options.deadline(deadline);
        self
    }

    /// Sends every request through this proxy: `http://user:password@host:port`, or `https://…`; `http://` where there is no scheme.
    ///
    /// By default `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy` of the environment say which one, if any; those in capitals where
    /// these say nothing. They are not for servers on loopback (`localhost`, `127.0.0.0/8`, `::1`). `no_proxy` is `*`, or names, addresses, networks (`10.0.0.0/8`) and `host:port`, with commas or white space between.
    ///
    /// A proxy that cannot be used (a SOCKS proxy, for example) fails [`build`](Self::build): no request goes past a proxy that was asked for.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.network.proxy = Some(url.into());
        self
    }

    /// Trusts these certificates (PEM, one or more) beside the platform's: those of a company's own authority, or of a server of yours.
    pub fn ca_bundle(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.network.ca_bundle = Some(pem.into());
        self
    }

    /// Shows this certificate to a server or a proxy of yours that demands one: PEM with the certificate, the chain to its authority where
    /// there is one, and the private key (PKCS #8, PKCS #1 or SEC 1, not encrypted).
    pub fn client_cert(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.network.client_cert = Some(pem.into());
        self
    }

    /// What the client calls itself in `User-Agent`; `meetbot-rust/` and the version by default.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.network.user_agent = Some(name.into());
        self
    }

    /// Runs by this what a client does beside its calls, which is to see to its connections; by default [`tokio::spawn`] does.
    ///
    /// A task has to be polled within a tokio runtime that has files and timers.
    pub fn spawn_with(
        mut self,
        spawn: impl Fn(Pin<Box<dyn Future<Output = ()> + Send>>) + Send + Sync + 'static,
    ) -> Self {
        self.network.spawn = Spawn(Arc::new(spawn));
        self
    }

    /// How long connecting may take; 10 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.options = self.options.connect_timeout(timeout);
        self
    }

    /// How often a call is tried again after its first try; 3 by default.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.options = self.options.max_retries(retries);
        self
    }

    /// Takes from the environment now what is not set, and not when a client is built: all clients of this builder have one key, one
    /// server and one way to it, whatever becomes of the environment meanwhile.
    pub fn with_environment(mut self) -> Self {
        self.api_key = self.api_key.or_else(|| variable("MEETBOT_API_KEY"));
        self.base_url = self
            .base_url
            .or_else(|| variable("MEETBOT_API_BASE_URL"))
            .or_else(|| Some(DEFAULT_BASE_URL.to_owned()));
        self.network.proxies =
            self.network.proxies.or_else(|| Some(Arc::new(Proxies::of_environment())));
        self
    }

    /// The asynchronous client.
    ///
    /// Fails with [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) for a key or a URL that is missing or cannot be used.
    pub fn build(self) -> Result<MeetBot, Error> {
        let known = self.with_environment();
        let key = known.api_key.ok_or_else(|| {
            Error::configuration("there is no API key: set MEETBOT_API_KEY or pass an api_key")
        })?;
        let base = base_url(&known.base_url.unwrap_or_default())?;
        let settings = Settings {
            key: Arc::new(Key::new(&key)?),
            base: Arc::new(base),
            network: Arc::new(known.network),
            options: known.options,
        };
        Ok(MeetBot::new(Transport::new(settings)?))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("api_key", &self.api_key.as_ref().map(|_| "…"))
            .field("base_url", &self.base_url)
            .field("network", &self.network)
            .field("options", &self.options)
            .finish()
    }
}

/// A variable of the environment that is set and not empty.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !trimmed(value).is_empty())
}

/// The server that a base URL names, without a slash at its end. Many APIs count their version to it, so a trailing `/api/v1` is taken off.
fn base_url(text: &str) -> Result<Url, Error> {
    let wrong = |problem: &str| {
        // A password may stand before an `@`.
        let shown = if text.contains('@') { String::new() } else { format!(" {text:?}") };
        Error::configuration(format!(
            "the base URL{shown} {problem}: give one like {DEFAULT_BASE_URL}"
        ))
    };
    let trimmed = trimmed(text).trim_end_matches('/');
    // The parser of URLs would leave some of it out.
    if trimmed.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err(wrong("holds white space"));
    }
    let mut url = Url::parse(trimmed).map_err(|error| wrong("is not a URL").with_source(error))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("is not one of http or https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::configuration(
            "the base URL holds a user name or a password: the API key is all that is needed",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a query or a fragment"));
    }
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/api/v1").unwrap_or(path).trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const KEY: &str = "mb_test_abcdefgh0123456789";

    #[test]
    fn a_key_from_a_file_works_and_an_invalid_one_is_refused_without_showing_it() {
        assert!(Builder::default().api_key(format!("{KEY}\n")).build().is_ok());
        for key in [format!("{KEY} and more"), "\u{201c}mb_test\u{201d}".to_owned(), " ".to_owned()]
        {
            let error = Builder::default().api_key(key).build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(!format!("{error:?}").contains("mb_test"), "{error:?}");
        }
    }

    #[test]
    fn a_base_url_that_cannot_be_used_is_an_error() {
        let build = |url: &str| Builder::default().api_key(KEY).base_url(url).build();
        for url in [
            "",
            "api.meetbot.dev",
            "ftp://x",
            "http://",
            "https://user:pass@x",
            "https://x?y=1",
            "https://x/?",
            "https://x/api/v1?y=1",
            "https://x#y",
            "https://a b",
            "https://x/a b",
            "https://x:\n3010",
            "https://x/a\tb",
        ] {
            assert_eq!(build(url).unwrap_err().kind(), ErrorKind::Configuration, "{url}");
        }
        for (url, base) in [
            ("https://x", "https://x"),
            (" http://127.0.0.1:3010/\n", "http://127.0.0.1:3010"),
            ("https://x/behind/a/proxy/", "https://x/behind/a/proxy"),
            ("https://x/api/v1", "https://x"),
            ("https://x/api/v1/", "https://x"),
            ("https://x//api/v1//", "https://x"),
            ("https://x/behind/api/v1", "https://x/behind"),
            ("https://x/my-api/v1", "https://x/my-api/v1"),
            ("https://x/api/v1/jobs", "https://x/api/v1/jobs"),
            ("https://x/api", "https://x/api"),
        ] {
            assert_eq!(build(url).unwrap().base_url(), base, "{url}");
        }
    }

    #[test]
    fn explicit_settings_override_the_environment() {
        let known = Builder::default().api_key(KEY).base_url("http://127.0.0.1:3010");
        let known = known.with_environment();
        assert_eq!(known.api_key.as_deref(), Some(KEY));
        assert_eq!(known.base_url.as_deref(), Some("http://127.0.0.1:3010"));
        assert!(Builder::default().with_environment().base_url.is_some());
    }

    #[test]
    fn no_debug_shows_the_key() {
        let builder = Builder::default().api_key(KEY);
        assert!(!format!("{builder:?}").contains("mb_test"));
        assert!(!format!("{:#?}", builder.clone().build().unwrap()).contains("mb_test"));
        assert!(
            !format!("{:#?}", crate::blocking::MeetBot::new(builder.build().unwrap()).unwrap())
                .contains("mb_test")
        );
    }
}
