//! The certificate of an imitation: generated for each, and trusted by a browser that is started with the hash of its key.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{CertifiedKey, PublicKeyData as _};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use sha2::{Digest as _, Sha256};

use crate::Error;

/// The hosts that the imitation serves.
pub(crate) const HOSTS: [&str; 2] = ["meet.google.com", "accounts.google.com"];

/// TLS for the imitation's hosts, and base64 of the SHA-256 of its public key, as Chromium's
/// `--ignore-certificate-errors-spki-list` takes it.
pub(crate) fn make() -> Result<(Arc<ServerConfig>, String), Error> {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(HOSTS.map(str::to_owned))?;
    let hash = STANDARD.encode(Sha256::digest(signing_key.subject_public_key_info()));
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)?;
    Ok((Arc::new(config), hash))
}
