//! Databases that a server cannot work on: refused at its start, with what is wrong and an exit code.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use meetbot_testkit::certificate::Certificate;
use tempfile::TempDir;
use xtask::postgres::Postgres;

use crate::{
    doctor::check,
    program::{CommandOutput, create_with, meetbot, run, serve_with},
};

const PASSWORD: &str = "not-to-be-seen-in-any-log";

/// A PostgreSQL that wants passwords and has TLS as `localhost`, with a few databases and users.
fn database(certificate: &Certificate) -> Postgres {
    let files = [("server.crt", certificate.pem.as_str()), ("server.key", &certificate.key)];
    let database = Postgres::start_on_tcp(&files, &["ssl=on"]);
    let ann = format!("CREATE ROLE ann LOGIN PASSWORD '{PASSWORD}'");
    let weak = format!("CREATE ROLE weak LOGIN PASSWORD '{PASSWORD}'");
    let mut all = vec![ann, weak];
    for name in ["good", "forgetful", "frozen", "newer", "closed"] {
        all.push(format!("CREATE DATABASE {name} OWNER ann"));
    }
    all.push("ALTER DATABASE forgetful SET synchronous_commit = off".to_owned());
    all.push("ALTER DATABASE frozen SET default_transaction_read_only = on".to_owned());
    all.push("REVOKE CONNECT ON DATABASE closed FROM PUBLIC".to_owned());
    database.sql("postgres", &all.iter().map(String::as_str).collect::<Vec<_>>());
    database
}

/// The output of a server, and doctor's if the settings can be used.
type Outputs = (CommandOutput, Option<CommandOutput>);

struct Try<'a> {
    data: &'a TempDir,
    password: &'a str,
    ca: &'a str,
}

impl Try<'_> {
    /// A server on this database.
    fn serve(&self, url: &str) -> Outputs {
        let run = |command: &str, more: &[&str]| {
            run(meetbot()
                .env("MEETBOT_STORE_PASSWORD_FILE", self.password)
                .env("MEETBOT_STORE_CA_FILE", self.ca)
                .args([command, "--listen", "127.0.0.1:0", "--store", url, "--data-dir"])
                .arg(self.data.path())
                .args(more))
        };
        let served = run("serve", &[]);
        let examined = (served.code == Some(1)).then(|| run("doctor", &["--json"]));
        (served, examined)
    }
}

/// Refuses TLS, as a server without it does.
fn without_tls() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client: TcpStream = client.unwrap();
            if client.read_exact(&mut [0; 8]).is_ok() {
                let _ = client.write_all(b"N");
            }
        }
    });
    port
}

#[test]
fn an_unusable_database_is_reported_with_the_reason() {
    let (data, files) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let certificate = Certificate::of("localhost");
    let database = database(&certificate);
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let password = file("password", &format!("{PASSWORD}\n"));
    let wrong = file("wrong", "another");
    let (ca, other_ca) =
        (file("ca", &certificate.pem), file("other", &Certificate::of("localhost").pem));
    let plain = Try { data: &data, password: &password, ca: "" };
    let port = database.port();
    let at = |user: &str, host: &str, name: &str| format!("postgres://{user}@{host}:{port}/{name}");
    let good = at("ann", "localhost", "good");
    let verified = format!("{good}?sslmode=verify-full");

    // The database of a newer program.
    let newer = at("ann", "127.0.0.1", "newer");
    let (server, _) = serve_with(
        data.path(),
        None,
        &[("MEETBOT_STORE_URL", &newer), ("MEETBOT_STORE_PASSWORD_FILE", &password)],
    );
    assert_eq!(server.terminate(), Some(0));
    database.sql("newer", &["UPDATE meetbot_schema SET steps = 99, oldest = 99"]);

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let no_tls = without_tls();
    let with_ca = |ca| Try { ca, ..Try { data: &data, password: &password, ca: "" } };
    let cases: Vec<(&str, Outputs, i32, &str)> = vec![
        ("no URL", plain.serve("db/meetbot"), 2, "store.url"),
        ("another kind", plain.serve("mysql://ann@127.0.0.1/good"), 2, "must begin with postgres"),
        ("no database", plain.serve("postgres://ann@127.0.0.1"), 2, "names no database"),
        (
            "a password in it",
            plain.serve(&format!("postgres://ann:{PASSWORD}@127.0.0.1/good")),
            2,
            "store.password_file",
        ),
        (
            "half of TLS",
            plain.serve(&format!("{good}?sslmode=prefer")),
            2,
            "sslmode is verify-full",
        ),
        (
            "unknown host",
            plain.serve("postgres://ann@no-such-host.invalid/good?sslmode=disable"),
            1,
            "cannot be reached",
        ),
        (
            "nobody listens",
            plain.serve(&format!("postgres://ann@127.0.0.1:{free}/good")),
            1,
            "cannot be reached",
        ),
        ("wrong password", Try { password: &wrong, ..plain }.serve(&good), 1, "refuses the user"),
        (
            "no password",
            Try { password: "", data: &data, ca: "" }.serve(&good),
            1,
            "refuses the user",
        ),
        (
            "no file with the password",
            Try { password: "/nowhere/password", data: &data, ca: "" }.serve(&good),
            1,
            "/nowhere/password",
        ),
        ("no user", with_ca("").serve(&at("bob", "127.0.0.1", "good")), 1, "refuses the user"),
        ("no database there", with_ca("").serve(&at("ann", "127.0.0.1", "none")), 1, "createdb"),
        ("no tables", with_ca("").serve(&at("weak", "127.0.0.1", "good")), 1, "owner"),
        ("no way in", with_ca("").serve(&at("weak", "127.0.0.1", "closed")), 1, "owner"),
        ("read-only", with_ca("").serve(&at("ann", "127.0.0.1", "frozen")), 1, "read-only"),
        (
            "not synchronous",
            with_ca("").serve(&at("ann", "127.0.0.1", "forgetful")),
            1,
            "synchronous_commit is off",
        ),
        ("newer", with_ca("").serve(&newer), 1, "a newer meetbot"),
        ("another CA", with_ca(&other_ca).serve(&verified), 1, "cannot be reached"),
        (
            "another name",
            with_ca(&ca).serve(&at("ann", "127.0.0.1", "good?sslmode=verify-full")),
            1,
            "cannot be reached",
        ),
        (
            "no TLS there",
            with_ca(&ca).serve(&format!("postgres://ann@localhost:{no_tls}/good")),
            1,
            "does not support TLS",
        ),
        ("no CA in the file", with_ca(&password).serve(&verified), 1, "holds no certificate"),
    ];
    for (case, (output, examined), code, why) in cases {
        assert_eq!(output.code, Some(code), "{case}: {output:?}");
        assert!(output.err.contains(why), "{case}: {output:?}");
        if let Some(examined) = &examined {
            let (state, found, _) = check(examined, "database");
            assert!(state == "fail" && found.contains(why), "{case}: {found}");
        }
        for output in [Some(output), examined].into_iter().flatten() {
            assert!(!format!("{output:?}").contains(PASSWORD), "{case}: {output:?}");
            assert!(!output.err.contains("panicked"), "{case}: {output:?}");
        }
    }

    // With the right authority, name and password it serves, and nobody sees the password.
    let settings = [
        ("MEETBOT_STORE_URL", verified.as_str()),
        ("MEETBOT_STORE_PASSWORD_FILE", &password),
        ("MEETBOT_STORE_CA_FILE", &ca),
    ];
    let (server, _) = serve_with(data.path(), None, &settings);
    create_with("--test", data.path(), &[], &settings);
    let encrypted =
        "SELECT count(*) > 0 AND bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE usename = 'ann'";
    assert_eq!(database.sql("good", &[encrypted]), "t");
    for seen in ["cmdline", "environ"] {
        let seen = fs::read(format!("/proc/{}/{seen}", server.child.id())).unwrap();
        assert!(!String::from_utf8_lossy(&seen).contains(PASSWORD));
    }
    let (code, log) = server.terminate_with_log();
    assert_eq!(code, Some(0));
    assert!(!log.contains(PASSWORD), "the password is in the log");
}
