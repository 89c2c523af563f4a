//! The published verifier of Standard Webhooks (`standardwebhooks` on `PyPI`), which judges our signatures.

use std::path::PathBuf;

use crate::venv;

/// The version that judges.
const PACKAGE: &str = "standardwebhooks==1.1.0";
const ENVIRONMENT: &str = "standard-webhooks";

/// The Python that knows the verifier.
pub fn python() -> PathBuf {
    venv::program(ENVIRONMENT, "python")
}

/// Installs the verifier under `target/`, unless it is there.
pub fn install() -> anyhow::Result<()> {
    venv::install(ENVIRONMENT, PACKAGE)
}
