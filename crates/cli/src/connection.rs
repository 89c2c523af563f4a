//! The server that a command talks to.

use std::{env, error::Error as StdError, io, path::PathBuf};

use anyhow::Context as _;
use meetbot::{Builder, ErrorKind, MeetBot};

use crate::output::Usage;

const KEY: &str = "MEETBOT_API_KEY";

/// Which server; the key comes from the environment only, where no process list shows it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection (the key: MEETBOT_API_KEY)")]
pub(crate) struct Connection {
    /// The server's URL; without it that of `MEETBOT_API_BASE_URL`.
    #[arg(long, visible_alias = "server", global = true, value_name = "URL")]
    base_url: Option<String>,
    /// Trust these certificates (PEM) beside the system's, as of your own authority. `SSL_CERT_FILE` names a file in place of the system's.
    #[arg(long, global = true, value_name = "FILE")]
    ca_bundle: Option<PathBuf>,
}

/// The same options before the command (`meetbot --base-url URL jobs list`), for commands that have them.
#[derive(Debug, clap::Args)]
pub(crate) struct BeforeCommand {
    #[arg(id = "base_url_before", long = "base-url", value_name = "URL", hide = true)]
    base_url: Option<String>,
    #[arg(id = "ca_bundle_before", long = "ca-bundle", value_name = "FILE", hide = true)]
    ca_bundle: Option<PathBuf>,
}

impl BeforeCommand {
    /// Which of them is given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let ca_bundle = self.ca_bundle.as_ref().map(|_| "--ca-bundle");
        self.base_url.as_ref().map(|_| "--base-url").or(ca_bundle)
    }
}

impl Connection {
    /// To the server at this URL.
    pub(crate) fn to(url: String, ca_bundle: Option<PathBuf>) -> Self {
        Self { base_url: Some(url), ca_bundle }
    }

    /// Takes what was given before the command, where it is not given after it too.
    pub(crate) fn take(&mut self, before: BeforeCommand) {
        self.base_url = self.base_url.take().or(before.base_url);
        self.ca_bundle = self.ca_bundle.take().or(before.ca_bundle);
    }

    /// Where it is, if that was said, here or in the environment.
    pub(crate) fn base_url(&self) -> Option<String> {
        let variable = || env::var("MEETBOT_API_BASE_URL").ok();
        let named = self.base_url.clone().or_else(variable);
        named.filter(|url| !url.trim().is_empty())
    }

    /// What a client of it is built from.
    pub(crate) fn builder(&self) -> anyhow::Result<Builder> {
        let mut builder = self.base_url.iter().fold(MeetBot::builder(), Builder::base_url);
        if let Some(path) = &self.ca_bundle {
            let pem = std::fs::read(path);
            builder =
                builder.ca_bundle(pem.with_context(|| format!("--ca-bundle {}", path.display()))?);
        }
        Ok(builder)
    }

    /// The SDK's client for it.
    pub(crate) fn client(&self) -> anyhow::Result<MeetBot> {
        if env::var(KEY).is_ok_and(|key| key.trim().is_empty()) || env::var_os(KEY).is_none() {
            return Err(Usage(format!(
                "there is no API key: export {KEY}=mb_…; on the server's machine `meetbot keys create --test` makes one for the sandbox, `--live` one for real meetings"
            ))
            .into());
        }
        self.builder()?.build().map_err(|error| match error.kind() {
            ErrorKind::Configuration => Usage(error.to_string()).into(),
            _ => error.into(),
        })
    }

    /// Whether the key is one for the sandbox.
    pub(crate) fn has_test_key() -> bool {
        env::var(KEY).is_ok_and(|key| key.trim().starts_with("mb_test_"))
    }
}

/// What to do about a server's certificate that is refused.
pub(crate) fn certificate_advice(error: &anyhow::Error) -> Option<&'static str> {
    let refused = error.chain().find_map(tls_error)?;
    let rustls::Error::InvalidCertificate(why) = refused else { return None };
    // A reason of webpki's that rustls has no name for.
    if format!("{why:?}").contains("CaUsedAsEndEntity") {
        return Some(
            "the server's certificate is one of a certificate authority, as `openssl req -x509` makes it by default: make it with -addext basicConstraints=critical,CA:FALSE",
        );
    }
    match why {
        rustls::CertificateError::UnknownIssuer => Some(
            "no authority that this machine trusts has signed the server's certificate: name the certificate of the one that has with --ca-bundle FILE (PEM)",
        ),
        rustls::CertificateError::NotValidForName
        | rustls::CertificateError::NotValidForNameContext { .. } => Some(
            "the server's certificate is for another name: use that name in the URL, or make a certificate for this one (subjectAltName)",
        ),
        rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. } => {
            Some("the server's certificate has expired, or this machine's clock is wrong")
        }
        rustls::CertificateError::NotValidYet
        | rustls::CertificateError::NotValidYetContext { .. } => {
            Some("the server's certificate is not valid yet, or this machine's clock is wrong")
        }
        _ => None,
    }
}

/// An error of TLS, also one that an error of input and output wraps.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error
        .downcast_ref()
        .or_else(|| wrapped.and_then(|inner| tls_error(inner as &(dyn StdError + 'static))))
}
