//! The TypeScript SDK's tests: the package is built once, and tested with every Node.js that it is for.

use std::{
    env::consts::{ARCH, OS},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use xtask::spec_file;

use crate::{cargo, installed, python::target, step};

const FOLDER: &str = "sdks/typescript";
/// Which Node.js the package is tested with, the oldest first; the one on the path only runs npm.
const RUNTIMES: [(&str, &str); 2] = [("22", "22.23.5"), ("26", "26.12.1")];
const WHY: &str = "npm installs what the TypeScript SDK is tested with";

/// Builds the server and the package, and tests it.
pub(crate) fn test() -> anyhow::Result<()> {
    step("server", cargo(&["build", "--package", "meetbot-cli", "--locked"]))?;
    test_with_server()
}

/// [`test`] where the server is built already.
pub(crate) fn test_with_server() -> anyhow::Result<()> {
    let package = Package::built()?;
    for (name, _) in RUNTIMES {
        let tests = package
            .node(name, &["--test", "--test-force-exit", "--test-concurrency=4", "test/*.test.ts"]);
        step(&format!("tests with Node.js {name}"), tests)?;
    }
    // What holds for every version, or for none.
    let (name, _) = RUNTIMES[0];
    step(
        "package and documents",
        package.node(name, &["--test", "--test-force-exit", "test/once/*.test.ts"]),
    )
}

/// Builds the package.
pub(crate) fn build() -> anyhow::Result<()> {
    Package::built().map(|_| ())
}

/// The conformance story, with the package that is built.
pub(crate) fn story() -> Command {
    Package(folder().join("package")).node(RUNTIMES[0].0, &["test/conformance.ts"])
}

/// The package in a copy under `target/`, beside the packages that it is tested with.
struct Package(PathBuf);

impl Package {
    /// Copied, with what it needs installed, and built.
    fn built() -> anyhow::Result<Self> {
        installed("node", "nodejs", WHY)?;
        installed("npm", "npm", WHY)?;
        runtimes()?;
        let package = Self(folder().join("package"));
        package.copy()?;
        package.install()?;
        step("TypeScript build", package.node(RUNTIMES[0].0, &["build.mjs"]))?;
        Ok(package)
    }

    /// Copies the sources; what npm has installed stays.
    fn copy(&self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.0)?;
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            if entry.file_name() == "node_modules" {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        copy(&spec_file::path(FOLDER), &self.0)
    }

    /// Installs what the lock file says, unless it has been.
    fn install(&self) -> anyhow::Result<()> {
        let lock = fs::read_to_string(self.0.join("package-lock.json"))?;
        unless_stamped(&self.0.join("node_modules/installed"), &lock, || {
            let mut install = npm(&["ci"]);
            install.current_dir(&self.0);
            step("packages of npm", install)
        })
    }

    /// This Node.js, in the package's folder.
    fn node(&self, name: &str, arguments: &[&str]) -> Command {
        let program = format!("node_modules/node-{name}/bin/node");
        let mut node = Command::new(runtimes_folder().join(program));
        node.args(arguments).current_dir(&self.0);
        node.env("MEETBOT_REPOSITORY", spec_file::path(""));
        node.env("MEETBOT_PROGRAM", target().join("debug").join("meetbot"));
        node.env("npm_config_cache", folder().join("cache"));
        node
    }
}

/// Installs each Node.js from a package that holds its program.
fn runtimes() -> anyhow::Result<()> {
    let os = if OS == "macos" { "darwin" } else { OS };
    let arch = match ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        _ => bail!("npm has no Node.js for {OS} on {ARCH}"),
    };
    let packages =
        RUNTIMES.map(|(name, version)| format!("node-{name}@npm:node-{os}-{arch}@{version}"));
    fs::create_dir_all(runtimes_folder())?;
    unless_stamped(&runtimes_folder().join("installed"), &packages.join(" "), || {
        // Without it npm looks for one in the folders above.
        fs::write(runtimes_folder().join("package.json"), r#"{"private": true}"#)?;
        let mut install = npm(&["install"]);
        install.args(&packages).current_dir(runtimes_folder());
        step("Node.js from npm", install)
    })
}

fn npm(arguments: &[&str]) -> Command {
    let mut npm = Command::new("npm");
    npm.args(arguments).args(["--no-audit", "--no-fund", "--loglevel=error", "--cache"]);
    npm.arg(folder().join("cache"));
    npm
}

/// Does it, unless the file says that exactly this was done.
fn unless_stamped(
    stamp: &Path,
    wanted: &str,
    act: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if fs::read_to_string(stamp).is_ok_and(|done| done == wanted) {
        return Ok(());
    }
    act()?;
    fs::write(stamp, wanted).with_context(|| stamp.display().to_string())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

fn runtimes_folder() -> PathBuf {
    folder().join("runtimes")
}

fn folder() -> PathBuf {
    target().join("typescript")
}
