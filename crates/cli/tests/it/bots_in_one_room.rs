//! How a bot in a real Janus room distinguishes people from other bots.

use std::{
    io::copy,
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use meetbot::{AutoLeaveConfig, Job, JobStatus, LeaveReason, NewJob, Rule, blocking::MeetBot};
use meetbot_testkit::polling::poll_until;
use serde_json::json;
use tempfile::TempDir;
use xtask::janus::{Janus, ROOM};

use crate::{
    janus::{
        person::{Person, Sends, present},
        serve,
    },
    program::{PATIENCE, Running, await_job, client, meetbot, run},
};

/// The rule of the reports of this fault.
const SOLO_SECONDS: u32 = 5;
/// Longer than the rule, and than a bot takes to learn of another.
const LONGER: Duration = Duration::from_secs(8);

struct Server {
    data: TempDir,
    _running: Running,
    url: String,
}

impl Server {
    fn start() -> Self {
        let data = TempDir::new().unwrap();
        let (running, url) = serve(data.path());
        Self { data, _running: running, url }
    }

    fn consumer(&self, name: &str) -> MeetBot {
        let mut command = meetbot();
        command.args([
            "keys",
            "create",
            "--live",
            "--init",
            "--json",
            "--consumer",
            name,
            "--data-dir",
        ]);
        let output = run(command.arg(self.data.path()));
        client(&self.url, output.json()["key"].as_str().unwrap())
    }
}

fn dispatch(client: &MeetBot, meeting_url: String, name: &str, on_bot_detected: bool) -> String {
    let auto_leave = AutoLeaveConfig {
        after_solo_seconds: Rule::After(SOLO_SECONDS),
        on_bot_detected: Some(on_bot_detected),
        ..AutoLeaveConfig::default()
    };
    let order = NewJob {
        meeting_url,
        display_name: Some(name.to_owned()),
        auto_leave: Some(auto_leave),
        ..NewJob::default()
    };
    client.dispatch_bot(order).unwrap().id
}

fn in_call(client: &MeetBot, id: &str) -> Job {
    await_job(client, id, |job| matches!(job.status, JobStatus::InCall | JobStatus::Recording))
}

fn ended(client: &MeetBot, id: &str) -> Job {
    await_job(client, id, |job| job.status.is_final())
}

/// A second address of the server's.
fn another_way(janus: &Janus) -> SocketAddr {
    let listener = TcpListener::bind((janus.near(), 0)).unwrap();
    let (address, janus) = (listener.local_addr().unwrap(), janus.address());
    std::thread::spawn(move || {
        for bot in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(&janus).unwrap();
            let (mut up, mut down) =
                ((bot.try_clone().unwrap(), server.try_clone().unwrap()), (server, bot));
            std::thread::spawn(move || copy(&mut up.0, &mut up.1));
            std::thread::spawn(move || copy(&mut down.0, &mut down.1));
        }
    });
    address
}

#[test]
fn three_bots_of_two_consumers_with_different_links_leave_a_room_without_people() {
    let Some(janus) = Janus::start() else { return };
    let server = Server::start();
    let (acme, globex) = (server.consumer("acme"), server.consumer("globex"));
    let (address, other) = (janus.address(), another_way(&janus));
    let dispatched = [
        (&acme, format!("janus+ws://{address}/?room={ROOM}"), "Acme Recorder 1"),
        (&acme, format!("janus+ws://{address}?x=1&room=0{ROOM}"), "Acme Recorder 2"),
        (&globex, format!("janus+ws://{other}/?textroom={ROOM}&room={ROOM}"), "議事録"),
    ]
    .map(|(client, url, name)| (client, dispatch(client, url, name, false)));
    // The last to come makes them wait anew, unless it is known for what it is.
    for (client, id) in &dispatched {
        let job = ended(client, id);
        assert_eq!(job.leave_reason, Some(LeaveReason::Solo), "{job:#?}");
        let stay = job.ended_at.unwrap().millis_since(job.joined_at.unwrap());
        assert!(stay < 20_000, "{stay}");
    }
    // Each manifest shows of the other bot only that it was a bot.
    let events = acme.events(&dispatched[0].1, None).unwrap().data;
    let events = serde_json::to_string(&events).unwrap();
    // Whether they were recognised as bots at once depends on the order of two messages. That they left shows that they were recognised.
    assert!(events.contains("\"bot.participant_joined\""), "{events}");
    assert!(!events.contains("globex") && !events.contains(&dispatched[2].1), "{events}");
}

#[test]
fn a_room_device_with_a_products_name_counts_as_a_person() {
    let Some(janus) = Janus::start() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = Server::start();
    let client = server.consumer("acme");
    let device = Person::join(&janus, ROOM, "Assembly Room 3", Sends::default());
    let device = runtime.block_on(device);
    let ids =
        [true, false].map(|rule| dispatch(&client, janus.link(ROOM, ""), "Acme Recorder", rule));
    in_call(&client, &ids[1]);
    std::thread::park_timeout(LONGER);
    // Of the two bots the one with the rule has left, since the other is there; the other has not.
    assert_eq!(ended(&client, &ids[0]).leave_reason, Some(LeaveReason::BotDetected));
    assert_eq!(in_call(&client, &ids[1]).leave_reason, None);
    runtime.block_on(device.leave());
    assert_eq!(ended(&client, &ids[1]).leave_reason, Some(LeaveReason::Solo));
}

#[test]
fn one_of_several_bots_with_the_bot_rule_stays() {
    let Some(janus) = Janus::start() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = Server::start();
    let client = server.consumer("acme");
    let person = runtime.block_on(Person::join(&janus, ROOM, "Ben - Note Taker", Sends::default()));
    // The name of the default is one of a bot, too.
    let ids = ["meetbot", "Acme Notetaker", "Protokoll"]
        .map(|name| dispatch(&client, janus.link(ROOM, ""), name, true));
    let left = |id: &String| {
        let job = client.get_bot(id).unwrap().unwrap();
        job.leave_reason == Some(LeaveReason::BotDetected)
    };
    poll_until(PATIENCE, || {
        let left = ids.iter().filter(|id| left(id)).count();
        (left == 2).then_some(()).ok_or_else(|| format!("{left} have left, not 2"))
    });
    std::thread::park_timeout(LONGER);
    let stays: Vec<_> = ids.iter().filter(|id| !left(id)).collect();
    let [stays] = stays.as_slice() else { panic!("{stays:?}") };
    in_call(&client, stays);
    let listed = runtime.block_on(present(&janus, ROOM));
    assert_eq!(listed.len(), 2, "{}", json!(listed));
    runtime.block_on(person.leave());
    assert_eq!(ended(&client, stays).leave_reason, Some(LeaveReason::Solo));
}
