//! Tests with servers that use different addresses for signalling and media.

use meetbot_types::bot::BotReport;
use tokio::net::{TcpListener, TcpStream};
use xtask::janus::{Janus, ROOM};

use super::{
    media::tone,
    person::{Person, Sends},
};
use crate::orchestrator::Fixture;

fn voice() -> Sends {
    Sends { voice: Some(tone(440)), ..Sends::default() }
}

/// Forwards connections from an address to the server. Returns the link of a meeting there.
async fn forward(at: &str, server: String) -> String {
    let listener = TcpListener::bind(at).await.unwrap();
    let link = format!("janus+ws://{}/?room={ROOM}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut bot, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut bot, &mut server).await;
            });
        }
    });
    link
}

/// Asserts that a bot joins by this link and records.
async fn records(link: &str) {
    let fixture = Fixture::start().await;
    let mut order = fixture.order_for(1, link);
    order.address_policy.networks.push("fd00::/8".parse().unwrap());
    let bot = Fixture::run(order);
    let ends = |report: &BotReport| {
        matches!(report, BotReport::RecordingStarted | BotReport::Reconnecting)
    };
    fixture.wait_for(ends).await;
    let reports = fixture.take_reports();
    assert!(reports.contains(&BotReport::RecordingStarted), "{link}: {reports:#?}");
    bot.stop.cancel();
    bot.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_default_media_settings_is_joined_by_any_of_its_addresses() {
    let Some(janus) = Janus::start_with("") else { return };
    let address = ["-6", "addr", "add", "fd00::2/128", "dev", "lo", "nodad"];
    assert!(janus.inside("ip").args(address).status().unwrap().success());
    let ann = Person::join(&janus, ROOM, "Ann", voice()).await;
    tokio::task::block_in_place(|| {
        janus.beside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let by_loopback = janus.link(ROOM, "").replace(janus.ip(), "127.0.0.1");
                let by_ipv6 = forward("[fd00::2]:0", janus.address()).await;
                for link in [by_loopback, by_ipv6, janus.link(ROOM, "")] {
                    records(&link).await;
                }
            });
        });
    });
    ann.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_trickles_its_candidates_is_joined() {
    let Some(janus) = Janus::start_with("ice_enforce_list = \"{ip}\" full_trickle = true") else {
        return;
    };
    let ann = Person::join(&janus, ROOM, "Ann", voice()).await;
    records(&forward("127.0.0.1:0", janus.address()).await).await;
    ann.leave().await;
}
