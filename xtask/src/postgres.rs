//! A PostgreSQL for tests: a cluster in a temporary folder, without fsync, ended with its test.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// As whom it runs where the tests are root's: PostgreSQL refuses root. Debian calls this one `nobody`.
const OTHER_USER: u32 = 65_534;

/// The user that made the cluster. The socket lets everybody in without a password.
pub const USER: &str = "meetbot";

/// The port that clients look for, which the name of a socket ends with too.
const PORT: u16 = 5432;

/// A PostgreSQL with a separate cluster.
#[derive(Debug)]
pub struct Postgres {
    folder: tempfile::TempDir,
    port: u16,
    settings: Vec<String>,
    process: Option<Child>,
}

/// The folder of its programs: of the newest version where Debian puts them, else where the PATH finds them.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = found.into_iter().rev().chain(std::env::split_paths(&path));
    let whole = |folder: &PathBuf| {
        ["initdb", "postgres", "psql"].iter().all(|name| folder.join(name).is_file())
    };
    let found = found.into_iter().find(whole);
    found.expect("these tests need PostgreSQL 14 or newer: apt-get install postgresql")
}

fn program(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(programs().join(name));
    command.current_dir(folder);
    if crate::is_root() {
        command.uid(OTHER_USER).gid(OTHER_USER);
    }
    command
}

/// Makes a path that of the user as whom its programs run.
fn give_away(path: &Path) {
    if crate::is_root() {
        chown(path, Some(OTHER_USER), Some(OTHER_USER)).expect("root gives files away");
    }
}

fn psql(socket: &str, port: u16, database: &str) -> Command {
    let mut psql = program("psql", Path::new("/"));
    psql.args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1"])
        .args(["-U", USER, "-h", socket, "-p", &port.to_string(), "-d", database])
        .stdin(Stdio::null());
    psql
}

/// Where a database is that is reached by the socket in this folder.
pub fn url(socket: &str, database: &str) -> String {
    format!("postgres://{USER}@{}/{database}", socket.replace('/', "%2F"))
}

/// Runs statements in a database that is reached by the socket in this folder, each a transaction; what they answer, a row a line.
///
/// # Panics
/// Where one fails.
pub fn sql(socket: &str, database: &str, statements: &[&str]) -> String {
    run(psql(socket, PORT, database), statements)
}

fn run(mut psql: Command, statements: &[&str]) -> String {
    for statement in statements {
        psql.args(["-c", statement]);
    }
    let done = psql.output().expect("psql runs");
    assert!(done.status.success(), "{statements:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
}

impl Postgres {
    /// Starts one that is reached by its socket alone.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed, or does not start.
    pub fn start() -> Self {
        Self::start_with(PORT, &[], &[])
    }

    /// Starts one that is reached by its socket alone, and keeps what it has acknowledged when the machine loses power, as in production: for benchmarks.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed, or does not start.
    pub fn start_durable() -> Self {
        Self::start_with(PORT, &[], &["fsync=on", "full_page_writes=on"])
    }

    /// Starts one that listens on a port of 127.0.0.1 too, where users show passwords; with files in its data folder, and settings as in `ssl=on`.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed, or does not start.
    pub fn start_on_tcp(files: &[(&str, &str)], settings: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let tcp = ["listen_addresses=127.0.0.1", "password_encryption=scram-sha-256"];
        Self::start_with(port, files, &[&tcp, settings].concat())
    }

    /// Starts a replica of this one, which is reached by a socket of its own and writes nothing before it is promoted. If it is synchronous, this one
    /// acknowledges a commit only once the replica has it on disk.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn start_replica(&self, synchronous: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        give_away(folder.path());
        let copied = program("pg_basebackup", folder.path())
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--username", USER])
            .args(["--host", &self.socket(), "--port", &self.port.to_string(), "--pgdata"])
            .arg(folder.path().join("data"))
            .output()
            .expect("pg_basebackup runs");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let mut replica =
            Self { folder, port: self.port, settings: self.settings.clone(), process: None };
        replica.go_on();
        if synchronous {
            let statements =
                ["ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"];
            self.sql("postgres", &statements);
        }
        replica
    }

    /// Makes a replica accept writes.
    ///
    /// # Panics
    /// Where it is none.
    pub fn promote(&self) {
        assert_eq!(self.sql("postgres", &["SELECT pg_promote()"]), "t");
    }

    fn start_with(port: u16, files: &[(&str, &str)], settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        give_away(folder.path());
        let data = folder.path().join("data");
        let made = program("initdb", folder.path())
            .args(["--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync", "--username", USER, "--pgdata"])
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        for (name, text) in files {
            let path = data.join(name);
            let mut options = fs::OpenOptions::new();
            std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
            let mut file = options.open(&path).expect("a file can be made");
            std::io::Write::write_all(&mut file, text.as_bytes()).expect("it can be written");
            give_away(&path);
        }
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { folder, port, settings, process: None };
        server.go_on();
        server
    }

    /// The folder of its socket.
    pub fn socket(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// Its port on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where a database is of one that is reached by its socket alone.
    pub fn url(&self, database: &str) -> String {
        url(&self.socket(), database)
    }

    /// The id of its first process.
    ///
    /// # Panics
    /// Where it was stopped.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Runs statements in a database, each a transaction; what they answer, a row a line.
    ///
    /// # Panics
    /// Where one fails.
    pub fn sql(&self, database: &str, statements: &[&str]) -> String {
        run(psql(&self.socket(), self.port, database), statements)
    }

    /// Ends it in order: connections are cut, what was committed stays.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn stop(&mut self) {
        self.end(rustix::process::Signal::INT);
    }

    fn end(&mut self, signal: rustix::process::Signal) {
        if let Some(mut process) = self.process.take() {
            let pid = rustix::process::Pid::from_child(&process);
            rustix::process::kill_process(pid, signal).expect("it is there until it is waited for");
            process.wait().expect("it can be waited for");
        }
    }

    /// Ends it like a crash: connections are cut, and it recovers at its next start.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn crash(&mut self) {
        self.end(rustix::process::Signal::QUIT);
    }

    /// Starts it again, on what it held.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn go_on(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("its log can be opened");
        let mut command = program("postgres", self.folder.path());
        command.arg("-D").arg(self.folder.path().join("data")).arg("-k").arg(self.folder.path());
        for setting in ["listen_addresses=", "fsync=off", "full_page_writes=off"] {
            command.args(["-c", setting]);
        }
        for setting in ["max_connections=300", "shared_buffers=64MB"] {
            command.args(["-c", setting]);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command.args(["-p", &self.port.to_string()]);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let mut process = process.expect("postgres starts");
        let mut asks = psql(&self.socket(), self.port, "postgres");
        asks.args(["-c", "SELECT 1"]).stdout(Stdio::null()).stderr(Stdio::null());
        while !asks.status().expect("psql runs").success() {
            let ended = process.try_wait().expect("it can be waited for");
            assert!(ended.is_none(), "PostgreSQL ended: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.process = Some(process);
    }
}

impl Drop for Postgres {
    /// Ends it at once: what it holds is not needed any more.
    fn drop(&mut self) {
        self.end(rustix::process::Signal::QUIT);
    }
}
