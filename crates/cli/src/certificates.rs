//! Advice for a server's certificate that is refused.

use std::{error::Error as StdError, io};

/// Advice for a server's certificate that is refused.
pub(crate) fn advice(error: &anyhow::Error) -> Option<&'static str> {
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
