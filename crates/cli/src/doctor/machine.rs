//! The machine: its clock, its ports, and how many files it lets a program open.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    process::{Command, Stdio},
};

use meetbot_types::Timestamp;
use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::output::counted;

const CLOCK: &str = "clock";
const PORT: &str = "port";
const UDP: &str = "udp";
const FILES: &str = "open files";
/// 2026-01-01: no clock that shows less is right.
const EARLIEST_MS: i64 = 1_767_225_600_000;
/// What a bot, and what everything else, may need at once.
const FILES_OF_A_BOT: u64 = 40;
const FILES_BESIDE: u64 = 1000;

/// The wall clock.
pub(super) fn clock(now: Timestamp) -> Finding {
    judge_clock(now, synchronised())
}

fn judge_clock(now: Timestamp, synchronised: Option<bool>) -> Finding {
    let remedy = "let chrony or systemd-timesyncd set it: `joinAt` and webhooks go by it";
    if now.as_millis() < EARLIEST_MS {
        return Finding::fail(CLOCK, format!("it shows {now}"), remedy);
    }
    match synchronised {
        Some(true) => Finding::ok(CLOCK, format!("{now}; time synchronisation: on")),
        None => Finding::ok(CLOCK, format!("{now}; time synchronisation: unknown")),
        Some(false) => Finding::warn(CLOCK, format!("{now}; time synchronisation: off"), remedy),
    }
}

/// The result of systemd's `timedatectl`, where there is one.
fn synchronised() -> Option<bool> {
    let asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    match asked.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

/// The port that the server listens on.
pub(super) fn listen(address: SocketAddr, in_use: bool, answers: bool) -> Finding {
    let tried = TcpListener::bind(address).map(drop).map_err(|error| error.kind());
    judge_port(address, tried, in_use, answers)
}

/// `in_use`: a server runs on the data folder; `answers`: a meetbot server answers at the address.
fn judge_port(
    address: SocketAddr,
    tried: Result<(), io::ErrorKind>,
    in_use: bool,
    answers: bool,
) -> Finding {
    match (tried, in_use) {
        (Ok(()), false) => Finding::ok(PORT, format!("{address} is free")),
        (Ok(()), true) => Finding::warn(
            PORT,
            format!("the server that runs does not listen on {address}"),
            "it was started with another --listen; give doctor the same, or --base-url",
        ),
        (Err(io::ErrorKind::AddrInUse), true) => {
            Finding::ok(PORT, format!("{address} is the running server's"))
        }
        (Err(io::ErrorKind::AddrInUse), false) if answers => Finding::fail(
            PORT,
            format!("a meetbot server with another data folder listens on {address}"),
            "give doctor that server's --data-dir (or MEETBOT_SERVER_DATA_DIR) or --config; another server needs another port",
        ),
        (Err(io::ErrorKind::AddrInUse), false) => Finding::fail(
            PORT,
            format!("another program listens on {address}"),
            "stop it, or set server.listen to another port",
        ),
        (Err(kind), _) => Finding::fail(
            PORT,
            format!("{address} cannot be listened on: {kind}"),
            "set server.listen to an address of this machine and a port above 1023",
        ),
    }
}

/// Media comes over UDP.
pub(super) fn udp() -> Finding {
    match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)) {
        Ok(_) => Finding::ok(UDP, "sockets for media can be opened"),
        Err(error) => Finding::fail(
            UDP,
            format!("no socket for media: {error}"),
            "let this program open UDP sockets: media comes over them",
        ),
    }
}

/// The limit that the server raises its own to.
pub(super) fn open_files(max_bots: usize) -> Finding {
    judge_files(getrlimit(Resource::Nofile).maximum, max_bots)
}

fn judge_files(limit: Option<u64>, max_bots: usize) -> Finding {
    let wanted = (max_bots as u64).saturating_mul(FILES_OF_A_BOT) + FILES_BESIDE;
    match limit {
        Some(limit) if limit < wanted => Finding::warn(
            FILES,
            format!("{limit} at most, and {} may need {wanted}", counted(max_bots as u64, "bot")),
            format!("raise the hard limit (LimitNOFILE={wanted} for systemd), or lower bots.max"),
        ),
        Some(limit) => Finding::ok(FILES, format!("{limit} at most")),
        None => Finding::ok(FILES, "as many as it takes"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    #[test]
    fn a_wrong_clock_fails_and_an_unsynchronised_one_warns() {
        let today = Timestamp::from_millis(1_800_000_000_000);
        assert_eq!(judge_clock(Timestamp::UNIX_EPOCH, Some(true)).state, State::Fail);
        assert_eq!(judge_clock(today, Some(false)).state, State::Warn);
        assert_eq!(judge_clock(today, Some(true)).state, State::Ok);
        assert_eq!(judge_clock(today, None).state, State::Ok);
    }

    #[test]
    fn a_port_must_be_free_or_used_by_the_server() {
        let state =
            |tried, in_use| judge_port(([127, 0, 0, 1], 3010).into(), tried, in_use, false).state;
        assert_eq!(state(Ok(()), false), State::Ok);
        assert_eq!(state(Err(io::ErrorKind::AddrInUse), true), State::Ok);
        assert_eq!(state(Ok(()), true), State::Warn);
        assert_eq!(state(Err(io::ErrorKind::AddrInUse), false), State::Fail);
        assert_eq!(state(Err(io::ErrorKind::PermissionDenied), false), State::Fail);
    }

    #[test]
    fn too_few_open_files_are_reported_with_the_required_number() {
        assert_eq!(judge_files(Some(1024), 200).state, State::Warn);
        assert_eq!(judge_files(Some(1_048_576), 200).state, State::Ok);
        assert_eq!(judge_files(None, 200).state, State::Ok);
        assert!(judge_files(Some(10), 1).remedy.unwrap().contains("LimitNOFILE=1040"));
    }
}
