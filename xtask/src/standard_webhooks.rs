//! The published verifier of Standard Webhooks (`standardwebhooks` on `PyPI`), which verifies our signatures.

use std::path::PathBuf;

use crate::venv;

/// The verifier's version.
const PACKAGE: &str = "standardwebhooks==1.1.0";
const ENVIRONMENT: &str = "standard-webhooks";

/// The Python interpreter with the verifier.
pub fn python() -> PathBuf {
    venv::program(ENVIRONMENT, "python")
}

/// Installs the verifier under `target/`, unless it is there.
pub fn install() -> anyhow::Result<()> {
    venv::install(ENVIRONMENT, PACKAGE)
}
