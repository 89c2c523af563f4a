//! A worker whose bots read their media too late.

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    path::Path,
};

use meetbot::JobStatus;
use meetbot_testkit::polling::poll_until;
use rustix::process::{Pid, Signal, kill_process};

use super::{
    Setup, dispatch,
    status::{admin, metrics_of, scraped, shows, value},
};
use crate::program::{PATIENCE, Running, await_job, manifest_of};

/// What fills a socket's buffer, in datagrams of 1,200 bytes.
const FLOOD: usize = 4_000;
/// How many datagrams of voices are dropped while the worker is suspended.
const DROPPED: u64 = 40;

/// The UDP sockets of a process: their ports, and how many datagrams each has dropped.
fn sockets(process: u32) -> Vec<(u16, u64)> {
    let folder = Path::new("/proc").join(process.to_string());
    let open: Vec<_> = fs::read_dir(folder.join("fd"))
        .unwrap()
        .filter_map(|file| fs::read_link(file.ok()?.path()).ok()?.to_str().map(str::to_owned))
        .collect();
    let table = fs::read_to_string(folder.join("net/udp")).unwrap();
    let sockets = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, address, .., inode, _, _, dropped] = fields[..] else { return None };
        let (_, port) = address.split_once(':')?;
        let own = open.contains(&format!("socket:[{inode}]"));
        own.then(|| (u16::from_str_radix(port, 16).unwrap(), dropped.parse().unwrap()))
    });
    sockets.collect()
}

fn dropped(process: u32) -> u64 {
    sockets(process).into_iter().map(|(_, dropped)| dropped).sum()
}

/// Suspends the worker, fills the sockets of its bots, and continues it when media have been dropped too.
fn suspend(worker: &Running) {
    let (id, pid) = (worker.child.id(), Pid::from_child(&worker.child));
    kill_process(pid, Signal::STOP).unwrap();
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for (port, _) in sockets(id) {
        for _ in 0..FLOOD {
            sender.send_to(&[0; 1_200], (Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }
    let flooded = dropped(id);
    poll_until(PATIENCE, || match dropped(id) - flooded {
        media if media >= DROPPED => Ok(()),
        media => Err(format!("{media} datagrams are dropped")),
    });
    kill_process(pid, Signal::CONT).unwrap();
}

#[test]
fn a_worker_whose_bots_read_too_late_takes_no_jobs_until_they_have_caught_up() {
    let setup = Setup::new();
    let (_server, url) = setup.serve(0);
    let admin = admin(&setup, &url);
    let arguments = ["--metrics", "127.0.0.1:0"];
    let (worker, started) = Running::start(&mut setup.worker_command(&url, &arguments));
    let own = metrics_of(&started);
    let client = setup.client(&url);
    let id = setup.recording(&client, 600);
    shows(&own, &["meetbot_worker_behind 0"]);
    suspend(&worker);
    let is_behind = || value(&scraped(&own), "meetbot_worker_behind") > 0.0;
    poll_until(PATIENCE, || is_behind().then_some(()).ok_or("the worker is not behind"));
    poll_until(PATIENCE, || {
        // The server learns it with the next heartbeat.
        let behind = value(&scraped(&admin), "meetbot_workers_behind");
        (behind > 0.0).then_some(()).ok_or("the server does not know that the worker is behind")
    });

    let waits = dispatch(&client, 1);
    let mut waited = 0;
    poll_until(PATIENCE, || {
        let job = client.get_bot(&waits).unwrap().unwrap();
        if is_behind() {
            assert_eq!(job.status, JobStatus::Queued, "{job:#?}");
            waited += 1;
            return Err("the worker is behind");
        }
        Ok(())
    });
    assert!(waited > 0, "the job was created while the worker was behind");
    let job = await_job(&client, &waits, |job| job.status.is_final());
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 1), "{job:#?}");
    shows(&admin, &["meetbot_workers_behind 0"]);

    client.leave_bot(&id).unwrap();
    let job = await_job(&client, &id, |job| job.status.is_final());
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 1), "{job:#?}");
    let manifest = manifest_of(&client, &id);
    let lost: u64 = manifest.tracks.iter().map(|track| track.lost_packets).sum();
    let [attempt] = &manifest.attempts[..] else { panic!("{manifest:#?}") };
    assert!(lost >= DROPPED / 2 && attempt.dropped_datagrams >= lost, "{manifest:#?}");
}
