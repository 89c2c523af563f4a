//! How a client reaches the network: TLS and its roots, a proxy, and what the client calls itself.

use std::{fmt, sync::Arc, time::Duration};

use http::HeaderValue;
use rustls::{
    ClientConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use rustls_platform_verifier::Verifier;

use crate::{
    Error,
    connections::{Connections, Spawn},
    proxy::{Proxies, Proxy},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("meetbot-rust/", env!("CARGO_PKG_VERSION"));

/// The settings of the builder; `None` is the default.
#[derive(Clone, Default)]
pub(crate) struct Network {
    pub(crate) user_agent: Option<String>,
    pub(crate) proxy: Option<String>,
    /// The proxies of the environment, once they were looked for.
    pub(crate) proxies: Option<Arc<Proxies>>,
    /// Certificates in PEM.
    pub(crate) ca_bundle: Option<Vec<u8>>,
    /// A certificate, its chain and its private key in PEM.
    pub(crate) client_cert: Option<Vec<u8>>,
    pub(crate) spawn: Spawn,
}

impl Network {
    /// A pool of connections of its own.
    pub(crate) fn connections(
        &self,
        connect_timeout: Option<Duration>,
    ) -> Result<Connections, Error> {
        let user_agent = HeaderValue::from_str(self.user_agent()).map_err(|_| {
            Error::configuration("the user agent holds a character that no header can")
        })?;
        let (tls, proxies) = (self.tls()?, self.proxies()?);
        let limit = connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        Ok(Connections::new(tls, proxies, user_agent, limit, self.spawn.clone()))
    }

    fn proxies(&self) -> Result<Arc<Proxies>, Error> {
        let Some(proxy) = &self.proxy else {
            return Ok(self.proxies.clone().unwrap_or_else(|| Arc::new(Proxies::of_environment())));
        };
        let proxy =
            Proxy::parse(proxy).map_err(|why| Error::configuration(format!("the proxy {why}")))?;
        Ok(Arc::new(Proxies::of(proxy)))
    }

    pub(crate) fn user_agent(&self) -> &str {
        self.user_agent.as_deref().unwrap_or(USER_AGENT)
    }

    /// rustls with the platform's roots. The provider is named here, since a process-wide default may be missing or another's.
    fn tls(&self) -> Result<ClientConfig, Error> {
        #[cfg(feature = "aws-lc-rs")]
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
        let provider = rustls::crypto::ring::default_provider();
        let provider = Arc::new(provider);
        let verifier = verifier(&provider, self.own_roots()?)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(no_tls)?
            .dangerous() // The platform's own verifier is what the name warns of.
            .with_custom_certificate_verifier(Arc::new(verifier));
        let Some(pem) = &self.client_cert else { return Ok(config.with_no_client_auth()) };
        let (chain, key) = identity(pem)?;
        config.with_client_auth_cert(chain, key).map_err(|error| {
            let message = "the client certificate and its private key cannot be used together";
            Error::configuration(message).with_source(error)
        })
    }

    /// The certificates of the bundle.
    fn own_roots(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        self.ca_bundle.as_ref().map_or(Ok(Vec::new()), |pem| certificates(pem, "the CA bundle"))
    }
}

/// At least one certificate.
fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = read
        .map_err(|error| Error::configuration(format!("{what} is not PEM")).with_source(error))?;
    if found.is_empty() {
        return Err(Error::configuration(format!("{what} holds no certificate")));
    }
    Ok(found)
}

/// The chain of a client certificate, and its private key, which no error shows.
fn identity(pem: &[u8]) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    let chain = certificates(pem, "the client certificate")?;
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let text = String::from_utf8_lossy(pem);
        Error::configuration(if text.contains("ENCRYPTED") {
            "the private key of the client certificate is encrypted: it is needed as `openssl pkey` decrypts it"
        } else {
            "the client certificate comes without its private key: both are needed in PEM"
        })
    })?;
    Ok((chain, key))
}

/// Verifies by the platform's roots and these; by Mozilla's where there are none at all (a container of few files).
fn verifier(
    provider: &Arc<CryptoProvider>,
    own: Vec<CertificateDer<'static>>,
) -> Result<Verifier, Error> {
    let with = |roots| Verifier::new_with_extra_roots(roots, Arc::clone(provider));
    if own.is_empty() {
        let mozillas = || webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec();
        return with(own).or_else(|_| with(mozillas())).map_err(no_tls);
    }
    with(own).map_err(|error| {
        Error::configuration("the CA bundle holds what is no certificate").with_source(error)
    })
}

fn no_tls(error: rustls::Error) -> Error {
    Error::configuration("TLS cannot be set up on this machine").with_source(error)
}

impl fmt::Debug for Network {
    /// A proxy's URL may hold its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("user_agent", &self.user_agent)
            .field("proxy", &self.proxy.as_ref().map(|_| "…"))
            .field("ca_bundle", &self.ca_bundle.as_ref().map(Vec::len))
            .field("client_cert", &self.client_cert.as_ref().map(|_| "…"))
            .finish_non_exhaustive()
    }
}
