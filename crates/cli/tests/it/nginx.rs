//! Debian's nginx before a server, with the block of docs/operations.md.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use meetbot_testkit::polling::poll_until;
use serde_json::Value;
use tempfile::TempDir;
use xtask::{NGINX, spec_file};

use crate::program::{PATIENCE, Running, create_key, meetbot, run, serve};

/// nginx on loopback. Dropping it ends it.
struct Nginx {
    child: Child,
    port: u16,
    folder: TempDir,
}

/// The only block of this language in a document.
pub(crate) fn block(document: &str, language: &str) -> String {
    let text = fs::read_to_string(spec_file::path(document)).unwrap();
    let fence = format!("```{language}\n");
    let mut blocks = text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap());
    let block = blocks.next().unwrap_or_else(|| panic!("{document} has a block of {language}"));
    assert!(blocks.next().is_none(), "{document} has one block of {language}");
    block.to_owned()
}

/// Fills in what is another's on each machine: it is there exactly once.
#[track_caller]
pub(crate) fn filled_in(block: &str, places: &[(&str, &str)]) -> String {
    places.iter().fold(block.to_owned(), |block, (place, with)| {
        assert_eq!(block.matches(place).count(), 1, "{place}: {block}");
        block.replace(place, with)
    })
}

/// A certificate for `name` (as in `IP:127.0.0.1`) and its key; `more` are further arguments of openssl.
fn certificate(folder: &Path, name: &str, more: &[&str]) -> PathBuf {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    openssl.args(["-nodes", "-days", "30", "-subj", "/CN=meetbot"]);
    openssl.arg("-addext").arg(format!("subjectAltName={name}")).args(more);
    let made = openssl.args(["-keyout", "key.pem", "-out", "cert.pem"]).current_dir(folder);
    let made = made.output().expect("this test needs openssl: apt-get install openssl");
    assert!(made.status.success(), "{made:?}");
    folder.join("cert.pem")
}

const OF_A_SERVER: [&str; 2] = ["-addext", "basicConstraints=critical,CA:FALSE"];

impl Nginx {
    /// The document's block before the server at `url`, with a certificate for this name.
    fn before(url: &str, name: &str, certified: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let cert = certificate(folder.path(), name, certified);
        // Another program may take the port before nginx does.
        for _ in 0..20 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            configure(folder.path(), &cert, url, free);
            let log = fs::File::create(folder.path().join("log")).unwrap();
            let mut child = Command::new("setpriv")
                // A test that is killed takes it with it.
                .args(["--pdeathsig", "TERM", NGINX, "-e", "stderr", "-p"])
                .arg(folder.path())
                .args(["-c", "nginx.conf"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .expect("this test needs util-linux");
            if listens(&mut child, free) {
                return Self { child, port: free.port(), folder };
            }
            let log = fs::read_to_string(folder.path().join("log")).unwrap();
            assert!(
                log.contains("Address already in use"),
                "nginx does not start (apt-get install nginx): {log}"
            );
        }
        panic!("no port is free");
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}/meetbot", self.port)
    }

    fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// The program as somebody on another machine runs it.
    fn client(&self, key: &str) -> Command {
        let mut command = meetbot();
        command.env("MEETBOT_API_KEY", key).env("MEETBOT_API_BASE_URL", self.url());
        command
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it when it is asked to end, and not when it is killed.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

fn configure(folder: &Path, cert: &Path, url: &str, listen: SocketAddr) {
    let cert = cert.to_str().unwrap();
    let block = filled_in(
        &block("docs/operations.md", "nginx"),
        &[
            ("listen 443 ssl;", &format!("listen {listen} ssl;")),
            ("/etc/letsencrypt/live/meetbot.example.com/fullchain.pem", cert),
            (
                "/etc/letsencrypt/live/meetbot.example.com/privkey.pem",
                &cert.replace("cert.pem", "key.pem"),
            ),
            ("proxy_pass http://127.0.0.1:3010/;", &format!("proxy_pass {url}/;")),
        ],
    );
    // Its workers would be others, who have no way into this folder.
    let user = if xtask::is_root() { "user root;\n" } else { "" };
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("    {what}_temp_path {what};\n"))
        .concat();
    let whole = format!(
        "{user}daemon off;\nworker_processes 1;\npid pid;\nevents {{}}\nhttp {{\n    access_log off;\n{temporary}{block}}}\n"
    );
    fs::write(folder.join("nginx.conf"), whole).unwrap();
}

/// Waits until it listens; false where it has ended.
fn listens(child: &mut Child, address: SocketAddr) -> bool {
    poll_until(PATIENCE, || {
        if child.try_wait().unwrap().is_some() {
            return Ok(false);
        }
        TcpStream::connect_timeout(&address, PATIENCE)
            .map_err(|error| format!("nginx: {error}"))?;
        // Another program's port may be what has answered.
        Ok::<_, String>(child.try_wait().unwrap().is_none())
    })
}

#[test]
fn nginx_passes_events_at_once_and_recordings_completely() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &[]);
    let nginx = Nginx::before(&url, "IP:127.0.0.1", &OF_A_SERVER);
    let command = |arguments: &[&str]| {
        let mut command = nginx.client(&key);
        command.args(arguments).arg("--ca-bundle").arg(nginx.cert());
        command
    };
    let meeting = "https://sandbox.meetbot.dev/two-speakers?seconds=3600";
    let said = run(&mut command(&["dispatch", meeting, "--external-id", "lesson/1 a", "--json"]));
    assert_eq!(said.code, Some(0), "{said:?}");

    // The meeting goes on until its first events are here.
    let (watch, mut event) = Running::start(&mut command(&["watch", "lesson/1 a"]));
    while event["data"]["status"] != "recording" {
        event = watch.next();
    }
    let said = run(&mut command(&["jobs", "leave", "lesson/1 a"]));
    assert_eq!(said.code, Some(0), "{said:?}");
    while event["event"] != Value::Null {
        event = watch.next();
    }
    assert_eq!(event["status"], "completed", "{event}");
    assert_eq!(watch.ended(), Some(0));

    let folder = data.path().join("here");
    let said = run(command(&["jobs", "download", "lesson/1 a"]).arg(&folder));
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(folder.join("manifest.json").exists() && said.out.lines().count() > 3, "{said:?}");
}

#[test]
fn a_certificate_that_is_refused_is_explained() {
    let data = TempDir::new().unwrap();
    let (_server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &[]);
    let said = |name: &str, certified: &[&str], trusted: bool| {
        let nginx = Nginx::before(&url, name, certified);
        let mut command = nginx.client(&key);
        command.args(["jobs", "list"]);
        if trusted {
            command.env("SSL_CERT_FILE", nginx.cert());
        }
        run(&mut command)
    };
    let right = said("IP:127.0.0.1", &OF_A_SERVER, true);
    assert_eq!(right.code, Some(0), "{right:?}");
    for (name, certified, trusted, advice) in [
        ("IP:127.0.0.1", &OF_A_SERVER[..], false, "with --ca-bundle FILE"),
        ("IP:127.0.0.1", &[], true, "basicConstraints=critical,CA:FALSE"),
        ("DNS:meetbot.example.com", &OF_A_SERVER, true, "is for another name"),
    ] {
        let refused = said(name, certified, trusted);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains(advice), "{refused:?}");
    }
    let nginx = Nginx::before(&url, "IP:127.0.0.1", &OF_A_SERVER);
    let doctor = |more: &[&str]| {
        let mut command = nginx.client(&key);
        command.args(["doctor", "--data-dir"]).arg(data.path()).args(more);
        let checks = run(command.arg("--json")).json()["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["check"] == "server").unwrap()
    };
    let refused = doctor(&[]);
    assert!(refused["do"].as_str().unwrap().contains("--ca-bundle"), "{refused}");
    assert_eq!(doctor(&["--ca-bundle", nginx.cert().to_str().unwrap()])["state"], "ok");
    let missing = run(meetbot()
        .args(["jobs", "list", "--ca-bundle", "/no/such/file"])
        .env("MEETBOT_API_KEY", &key));
    assert!(missing.err.contains("--ca-bundle /no/such/file"), "{missing:?}");
}
