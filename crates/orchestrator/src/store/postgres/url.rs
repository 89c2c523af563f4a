//! Where a database is: `postgres://USER@HOST:PORT/DATABASE`. The password is in a separate file, so that no list of processes and no log shows it.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::OpenError;

/// Whether it is on this machine.
fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|at: std::net::IpAddr| at.is_loopback())
        }
    }
}

/// A database, and how to be let in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreUrl {
    /// `postgres://USER@HOST:PORT/DATABASE`, without a password.
    pub url: String,
    /// A file that holds the password alone.
    pub password_file: Option<PathBuf>,
    /// A file with the certificates (PEM) of who vouches for the database's own; without it those that the system trusts.
    pub ca_file: Option<PathBuf>,
}

impl StoreUrl {
    /// Refuses a URL that cannot be used, without a look at what is there.
    pub fn check(&self) -> Result<(), OpenError> {
        self.parsed().map(drop)
    }

    /// How to connect, but for the password.
    fn parsed(&self) -> Result<tokio_postgres::Config, OpenError> {
        let wrong = |why: &str| OpenError::Url(why.to_owned());
        let parsed =
            ::url::Url::parse(&self.url).map_err(|error| OpenError::Url(error.to_string()))?;
        if !matches!(parsed.scheme(), "postgres" | "postgresql") {
            return Err(wrong("it must begin with postgres://"));
        }
        if parsed.password().is_some() || parsed.query_pairs().any(|(name, _)| name == "password") {
            return Err(wrong(
                "it holds a password: put that into a file, and name the file in store.password_file",
            ));
        }
        // The client has no `verify-full`; with TLS, it always checks certificate and name.
        let (place, query) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let is_mode = |pair: &&str| pair.split('=').next() == Some("sslmode");
        let (modes, others): (Vec<&str>, Vec<&str>) =
            query.split('&').filter(|pair| !pair.is_empty()).partition(is_mode);
        let mut config: tokio_postgres::Config = format!("{place}?{}", others.join("&"))
            .parse()
            .map_err(|error: tokio_postgres::Error| OpenError::Url(super::describe(&error)))?;
        if config.get_dbname().is_none() {
            return Err(wrong("it names no database: postgres://USER@HOST/DATABASE"));
        }
        if config.get_user().is_none() {
            return Err(wrong("it names no user: postgres://USER@HOST/DATABASE"));
        }
        config.ssl_mode(match modes.as_slice() {
            // Beyond this machine the connection is encrypted unless the URL says otherwise.
            [] if config.get_hosts().iter().all(is_local) && self.ca_file.is_none() => {
                SslMode::Disable
            }
            ["sslmode=disable"] => SslMode::Disable,
            [] | ["sslmode=require" | "sslmode=verify-full"] => SslMode::Require,
            _ => {
                return Err(wrong(
                    "sslmode is verify-full (as it is beyond this machine) or disable",
                ));
            }
        });
        config.application_name("meetbot");
        config.connect_timeout(Duration::from_secs(5));
        config.keepalives_idle(Duration::from_secs(10));
        config.tcp_user_timeout(Duration::from_secs(10));
        Ok(config)
    }

    /// How to connect.
    pub(super) fn config(&self) -> Result<(tokio_postgres::Config, MakeRustlsConnect), OpenError> {
        let mut config = self.parsed()?;
        if let Some(file) = &self.password_file {
            let password = fs::read_to_string(file)
                .map_err(|error| OpenError::File { file: file.clone(), why: error.to_string() })?;
            config.password(password.trim_end_matches(['\r', '\n']));
        }
        Ok((config, self.tls()?))
    }

    fn tls(&self) -> Result<MakeRustlsConnect, OpenError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| OpenError::Tls(error.to_string()))?;
        let config = match &self.ca_file {
            Some(file) => {
                let wrong = |why: String| OpenError::File { file: file.clone(), why };
                let mut roots = RootCertStore::empty();
                let found = CertificateDer::pem_file_iter(file)
                    .map_err(|error| wrong(error.to_string()))?;
                for certificate in found {
                    let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                    roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(wrong("it holds no certificate (PEM)".to_owned()));
                }
                builder.with_root_certificates(roots)
            }
            None => builder
                .with_platform_verifier()
                .map_err(|error| OpenError::Tls(error.to_string()))?,
        };
        Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
    }

    /// The URL, for messages: it holds no password.
    pub(super) fn shown(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> StoreUrl {
        StoreUrl { url: url.to_owned(), ..StoreUrl::default() }
    }

    #[test]
    fn a_url_that_holds_a_password_or_names_too_little_is_refused_without_showing_the_password() {
        for (url, why) in [
            ("postgres://ann:hunter2@db/meetbot", "store.password_file"),
            ("postgres://ann@db/meetbot?password=hunter2", "store.password_file"),
            ("postgres://ann@db", "names no database"),
            ("postgres://db/meetbot", "names no user"),
            ("mysql://ann@db/meetbot", "must begin with postgres://"),
            ("postgres://ann@db/meetbot?sslmode=prefer", "sslmode is verify-full"),
            (
                "postgres://ann@db/meetbot?sslmode=disable&sslmode=verify-full",
                "sslmode is verify-full",
            ),
            ("postgres://ann@db/meetbot?colour=blue", "colour"),
            ("meetbot.db", "relative URL"),
        ] {
            let reported =
                of(url).config().err().map(|error| error.to_string()).unwrap_or_default();
            assert!(reported.contains(why) && !reported.contains("hunter2"), "{url}: {reported}");
        }
    }

    #[test]
    fn beyond_this_machine_the_connection_is_encrypted() {
        for (url, mode) in [
            ("postgres://ann@db.example/meetbot", SslMode::Require),
            ("postgres://ann@db.example/meetbot?sslmode=verify-full", SslMode::Require),
            ("postgres://ann@127.0.0.1/meetbot", SslMode::Disable),
            ("postgres://ann@127.0.0.1/meetbot?sslmode=verify-full", SslMode::Require),
            ("postgres://ann@localhost/meetbot", SslMode::Disable),
            ("postgres://ann@%2Ftmp/meetbot", SslMode::Disable),
            ("postgres://ann@db.example/meetbot?sslmode=disable", SslMode::Disable),
        ] {
            assert_eq!(of(url).config().unwrap().0.get_ssl_mode(), mode, "{url}");
        }
    }

    #[test]
    fn files_that_are_missing_or_empty_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (missing, empty) = (folder.path().join("none"), folder.path().join("empty"));
        fs::write(&empty, "").unwrap();
        let database = of("postgres://ann@db/meetbot");
        for file in [&missing, &empty] {
            let reported = StoreUrl { ca_file: Some(file.clone()), ..database.clone() };
            let reported =
                reported.config().err().map(|error| error.to_string()).unwrap_or_default();
            assert!(reported.contains(&file.display().to_string()), "{reported}");
        }
        let reported = StoreUrl { password_file: Some(missing.clone()), ..database };
        let reported = reported.config().err().map(|error| error.to_string()).unwrap_or_default();
        assert!(reported.contains(&missing.display().to_string()), "{reported}");
    }
}
