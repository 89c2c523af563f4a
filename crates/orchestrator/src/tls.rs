//! TLS for requests of the server and of bots: the platform's root certificates, and an explicit crypto provider.

use std::sync::Arc;

use rustls::{ClientConfig, crypto::aws_lc_rs};
use rustls_platform_verifier::BuilderVerifierExt as _;

/// A new TLS configuration for a client.
///
/// # Panics
/// If the provider does not support TLS 1.2 and 1.3, or the platform has no verifier; both mean a broken build.
pub fn config() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider does TLS 1.2 and 1.3")
        .with_platform_verifier()
        .expect("the platform has a certificate verifier")
        .with_no_client_auth()
}
