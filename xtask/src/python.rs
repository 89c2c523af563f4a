//! The Python SDK's tests: one wheel, installed and tested with every `CPython` that the machine has.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use xtask::spec_file;

use crate::{
    AT_ONCE, apt, cargo, installed, own_part,
    parallel::{self, Part},
    report::Report,
    step,
};

/// The oldest that the wheel is for.
const OLDEST: u32 = 10;
const REQUIREMENTS: &str = "sdks/python/tests/requirements.txt";
const CHECKERS: &str = "sdks/python/tests/checkers.txt";
const DOCUMENTS: &str = "sdks/python/tests/documents/requirements.txt";
const PACKAGERS: &str = "sdks/python/tests/packagers.txt";
const BENCH: &str = "sdks/python/bench/requirements.txt";
/// Quick to build, with the TLS provider that the workspace has built already.
const FOR_TESTS: &[&str] = &["--profile", "dev", "--features", "aws-lc-rs"];
/// As it is published.
pub(crate) const FOR_USE: &[&str] = &["--profile", "wheel"];
const MATURIN: &str = "maturin==1.16.0";

/// What is tested with every interpreter; all else only with the oldest and the newest.
const WITH_EVERY: [&str; 2] = ["tests/test_vectors.py", "tests/test_processes.py"];

/// Builds the servers and the wheel, and tests it.
pub(crate) fn test() -> anyhow::Result<()> {
    build_programs()?;
    prepare()?;
    let mut parts = parts()?;
    parts.extend([own_part("types")?, own_part("packagers")?]);
    let mut report = Report::default();
    for part in parallel::run(parts, AT_ONCE) {
        report.add(part, Vec::new());
    }
    report.end()
}

/// Builds the wheel, and installs it for every interpreter, with all that its tests need.
pub(crate) fn prepare() -> anyhow::Result<()> {
    let interpreters = interpreters()?;
    let wheel = wheel(&interpreters, FOR_TESTS)?;
    for (minor, interpreter) in &interpreters {
        let python = Venv::new(&format!("3.{minor}"), interpreter)?;
        python.install(REQUIREMENTS)?;
        python.install_wheel(&wheel)?;
    }
    installed("node", "nodejs", "the documents' JavaScript is run with it")?;
    let python = newest(&interpreters)?;
    python.install(DOCUMENTS)?;
    python.install(CHECKERS)?;
    with_packagers().map(drop)
}

/// The tests of what [`prepare`] has built, the longest first.
pub(crate) fn parts() -> anyhow::Result<Vec<Part>> {
    let interpreters = interpreters()?;
    let (oldest, newest) = (interpreters.keys().next(), interpreters.keys().next_back());
    let (mut whole, mut between) = (Vec::new(), Vec::new());
    for (minor, interpreter) in &interpreters {
        let name = format!("tests with Python 3.{minor}");
        let python = Venv::new(&format!("3.{minor}"), interpreter)?;
        if [oldest, newest].contains(&Some(minor)) {
            whole.push(Part::new(name, python.pytest(&["--ignore", "tests/documents"])));
        } else {
            between.push(Part::new(name, python.pytest(&WITH_EVERY)));
        }
    }
    // The documents' snippets and the receivers hold for every version, or for none.
    let python = self::newest(&interpreters)?;
    let documents = Part::new("documents with Python", python.pytest(&["tests/documents"]));
    whole.push(documents);
    whole.extend(between);
    Ok(whole)
}

/// Builds the wheel, and installs it for the newest interpreter.
pub(crate) fn build() -> anyhow::Result<()> {
    let interpreters = interpreters()?;
    let wheel = wheel(&interpreters, FOR_TESTS)?;
    let python = newest(&interpreters)?;
    python.install(REQUIREMENTS)?;
    python.install_wheel(&wheel)
}

/// The conformance story, with the wheel that is installed for the newest interpreter.
pub(crate) fn story() -> anyhow::Result<Command> {
    let mut story = newest(&interpreters()?)?.run(&["tests/conformance.py"]);
    story.env("PYTHONIOENCODING", "utf-8");
    Ok(story)
}

/// An environment with uv and poetry, of the newest interpreter.
pub(crate) fn with_packagers() -> anyhow::Result<Venv> {
    let interpreters = interpreters()?;
    let (_, interpreter) = interpreters.last_key_value().context("no interpreter")?;
    let packagers = Venv::new("packagers", interpreter)?;
    packagers.install(PACKAGERS)?;
    Ok(packagers)
}

/// The environment of the newest interpreter.
fn newest(interpreters: &BTreeMap<u32, PathBuf>) -> anyhow::Result<Venv> {
    let (minor, interpreter) = interpreters.last_key_value().context("no interpreter")?;
    Venv::new(&format!("3.{minor}"), interpreter)
}

/// Measures the wheel as it is published beside other HTTP clients.
pub(crate) fn bench(rest: &[&str]) -> anyhow::Result<()> {
    step("server", cargo(&["build", "--package", "meetbot-cli", "--release", "--locked"]))?;
    let interpreters = interpreters()?;
    let wheel = wheel(&interpreters, FOR_USE)?;
    let (newest, interpreter) = interpreters.last_key_value().context("no interpreter")?;
    let python = Venv::new(&format!("bench-3.{newest}"), interpreter)?;
    python.install(REQUIREMENTS)?;
    python.install(BENCH)?;
    python.install_wheel(&wheel)?;
    let mut bench = python.run(&["bench", "--program"]);
    bench.arg(target().join("release").join("meetbot")).args(rest);
    step("bench", bench)
}

/// Writes the files that are made from others.
pub(crate) fn update() -> anyhow::Result<()> {
    let interpreters = interpreters()?;
    let (_, python) = interpreters.last_key_value().context("no interpreter")?;
    let mut write = Command::new(python);
    write.arg(spec_file::path("sdks/python/write_sync_client.py"));
    step("the blocking Python client", write)
}

/// The package, its tests and its stub, by three checkers.
pub(crate) fn types() -> anyhow::Result<()> {
    let python = newest(&interpreters()?)?;
    step("mypy", python.run(&["-m", "mypy", "--strict", "--package", "meetbot"]))?;
    step("mypy of the tests", python.run(&["-m", "mypy", "--strict", "tests"]))?;
    step("stubtest", python.run(&["-m", "mypy.stubtest", "meetbot._core"]))?;
    let mut pyright = python.run(&["-m", "pyright", "tests", "python"]);
    pyright.arg("--pythonpath").arg(python.program());
    step("pyright", pyright)
}

/// One wheel for all, built from the source distribution, so that this is known to be whole.
pub(crate) fn wheel(
    interpreters: &BTreeMap<u32, PathBuf>,
    flags: &[&str],
) -> anyhow::Result<PathBuf> {
    let (_, interpreter) = interpreters.first_key_value().context("no interpreter")?;
    let tools = Venv::new("tools", interpreter)?;
    step("maturin", tools.run(&["-m", "pip", "install", "--quiet", MATURIN]))?;
    let (sources, wheels) = (emptied("sdist")?, emptied("wheels")?);
    let mut pack = tools.run(&["-m", "maturin", "sdist", "--out"]);
    pack.arg(&sources);
    step("source distribution", pack)?;
    let mut unpack = tools.run(&["-m", "tarfile", "--extract"]);
    unpack.arg(only_entry(&sources)?).arg(&sources);
    step("unpacking it", unpack)?;
    let unpacked = fs::read_dir(&sources)?.flatten().find(|entry| entry.path().is_dir());
    let unpacked = unpacked.context("the source distribution holds no folder")?.path();
    renew(&unpacked)?;
    let mut build = tools.run(&["-m", "maturin", "build", "--quiet"]);
    build.args(flags).arg("--interpreter").arg(interpreter).arg("--out").arg(&wheels);
    build.current_dir(&unpacked);
    build.env("CARGO_TARGET_DIR", target());
    build.env("PATH", tools.first_on_path()?);
    step("wheel", build)?;
    only_entry(&wheels)
}

/// The archive keeps no times, and cargo goes by them: as it is, it would take the last build for this one.
fn renew(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            renew(&path)?;
        } else {
            fs::write(&path, fs::read(&path)?)?;
        }
    }
    Ok(())
}

/// A folder of this name with nothing in it.
pub(crate) fn emptied(name: &str) -> anyhow::Result<PathBuf> {
    let emptied = folder().join(name);
    if emptied.exists() {
        fs::remove_dir_all(&emptied)?;
    }
    fs::create_dir_all(&emptied)?;
    Ok(emptied)
}

pub(crate) fn only_entry(folder: &Path) -> anyhow::Result<PathBuf> {
    let entry = fs::read_dir(folder)?.next();
    Ok(entry.with_context(|| format!("{} is empty", folder.display()))??.path())
}

/// A virtual environment under `target/python`.
pub(crate) struct Venv(PathBuf);

impl Venv {
    /// The one of this name, made at its first use.
    pub(crate) fn new(name: &str, interpreter: &Path) -> anyhow::Result<Self> {
        let venv = Self(folder().join(name));
        // pip is copied last.
        if venv.run(&["-m", "pip", "--version"]).output().is_ok_and(|pip| pip.status.success()) {
            return Ok(venv);
        }
        let make = || {
            let mut make = Command::new(interpreter);
            make.args(["-m", "venv", "--clear"]).arg(&venv.0);
            make
        };
        let name = format!("environment {name}");
        // Debian keeps half of the standard library in a package of its own.
        if step(&name, make()).is_err() && apt("python3-venv") {
            step(&name, make())?;
        }
        Ok(venv)
    }

    /// `PATH` with this environment's programs before all others: maturin looks there for the Python that has zig.
    fn first_on_path(&self) -> anyhow::Result<OsString> {
        let path = env::var_os("PATH").unwrap_or_default();
        let own = self.program().parent().map(Path::to_owned);
        Ok(env::join_paths(own.into_iter().chain(env::split_paths(&path)))?)
    }

    pub(crate) fn program(&self) -> PathBuf {
        let folder = if cfg!(windows) { "Scripts" } else { "bin" };
        self.0.join(folder).join("python")
    }

    /// Its Python, in the SDK's folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Command {
        let mut python = Command::new(self.program());
        python.args(arguments).current_dir(spec_file::path("sdks/python"));
        python.env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
        python
    }

    fn pytest(&self, arguments: &[&str]) -> Command {
        let mut pytest = self.run(&["-m", "pytest", "--quiet", "--durations=20"]);
        // What it keeps of a run lies in one place for all interpreters.
        pytest.args(["-p", "no:cacheprovider"]).args(arguments);
        pytest.envs(programs());
        pytest
    }

    fn install_wheel(&self, wheel: &Path) -> anyhow::Result<()> {
        let mut pip = self.run(&["-m", "pip", "install", "--quiet", "--no-deps"]);
        pip.arg("--force-reinstall").arg(wheel);
        step("wheel", pip)
    }

    /// Installs what a file of the repository lists, unless it has been.
    pub(crate) fn install(&self, requirements: &str) -> anyhow::Result<()> {
        let list = spec_file::path(requirements);
        let stamp = self.0.join(requirements.replace('/', "-"));
        let wanted = fs::read(&list)?;
        if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        let mut pip = self.run(&["-m", "pip", "install", "--quiet", "--requirement"]);
        pip.arg(list);
        step("packages of PyPI", pip)?;
        Ok(fs::write(stamp, wanted)?)
    }
}

/// Every `CPython` from 3.10 on, by its minor version; one is installed where there is none and that can be done.
pub(crate) fn interpreters() -> anyhow::Result<BTreeMap<u32, PathBuf>> {
    let mut found = search();
    if found.is_empty() && apt("python3") {
        found = search();
    }
    if found.is_empty() {
        bail!("the Python SDK is tested with CPython 3.{OLDEST} or newer, and there is none");
    }
    Ok(found)
}

fn search() -> BTreeMap<u32, PathBuf> {
    let mut found = BTreeMap::new();
    for candidate in candidates() {
        if let Some((minor, program)) = asked(&candidate) {
            found.entry(minor).or_insert(program);
        }
    }
    found
}

/// Possible interpreters: those on the path, then those of pyenv and uv.
fn candidates() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let pyenv = env::var_os("PYENV_ROOT").map_or_else(|| home.join(".pyenv"), PathBuf::from);
    for kept in [pyenv.join("versions"), home.join(".local/share/uv/python")] {
        let versions = fs::read_dir(kept).into_iter().flatten().flatten();
        folders.extend(versions.map(|version| version.path().join("bin")));
    }
    let mut names = vec![OsString::from("python3")];
    names.extend((OLDEST..OLDEST + 10).map(|minor| format!("python3.{minor}").into()));
    folders
        .iter()
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .filter(|program| program.is_file())
        .collect()
}

/// The minor version and the place of an interpreter that will do. A shim that leads nowhere, a free-threaded build (which needs a wheel of
/// its own) and one older than the wheel will not.
fn asked(program: &Path) -> Option<(u32, PathBuf)> {
    const QUESTION: &str = "import sys, sysconfig; print(sys.implementation.name, sys.version_info[1], bool(sysconfig.get_config_var('Py_GIL_DISABLED')), sys.executable)";
    let said = Command::new(program).args(["-I", "-c", QUESTION]).output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let mut words = said.trim_end().splitn(4, ' ');
    let (name, minor) = (words.next()?, words.next()?.parse().ok()?);
    let (free_threaded, place) = (words.next()?, words.next()?);
    let fits = name == "cpython" && free_threaded == "False" && minor >= OLDEST;
    fits.then(|| (minor, place.into()))
}

/// Builds the programs that the SDKs' tests start: the server and the scripted server.
pub(crate) fn build_programs() -> anyhow::Result<()> {
    let packages = ["build", "--package", "meetbot-cli", "--package", "meetbot-testkit"];
    step("servers", cargo(&[&packages[..], &["--locked"]].concat()))
}

/// The variables that say where these programs lie.
pub(crate) fn programs() -> [(&'static str, PathBuf); 2] {
    [("MEETBOT_PROGRAM", "meetbot"), ("MEETBOT_SCRIPTED_SERVER", "scripted-server")]
        .map(|(variable, program)| (variable, target().join("debug").join(program)))
}

/// Where builds go: this program lies in it.
pub(crate) fn target() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    program.ancestors().nth(2).map_or_else(|| spec_file::path("target"), Path::to_owned)
}

pub(crate) fn folder() -> PathBuf {
    target().join("python")
}
