//! TLS of the server's and the bots' requests: the platform's roots, a crypto provider named here and not found by luck.

use std::sync::Arc;

use rustls::{ClientConfig, crypto::aws_lc_rs};
use rustls_platform_verifier::BuilderVerifierExt as _;

/// The settings, made anew for each client.
///
/// # Panics
/// When the provider cannot do TLS 1.2 and 1.3, or the platform has no verifier: both are a broken build.
pub fn config() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider does TLS 1.2 and 1.3")
        .with_platform_verifier()
        .expect("the platform has a certificate verifier")
        .with_no_client_auth()
}
