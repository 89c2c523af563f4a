//! A self-signed certificate for a server.

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// A certificate and its key.
#[derive(Debug)]
pub struct Certificate {
    /// The certificate, in PEM.
    pub pem: String,
    /// Its key, in PEM.
    pub key: String,
}

impl Certificate {
    /// A new one for a name.
    ///
    /// # Panics
    /// Where none can be made.
    pub fn of(host: &str) -> Self {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed([host.to_owned()])
                .expect("a certificate for the name");
        Self {
            pem: in_pem("CERTIFICATE", cert.der()),
            key: in_pem("PRIVATE KEY", &signing_key.serialize_der()),
        }
    }
}

/// Something in PEM.
pub(crate) fn in_pem(what: &str, bytes: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(bytes);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}
