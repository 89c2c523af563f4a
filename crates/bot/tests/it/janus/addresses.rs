//! Servers whose signalling is reached by another address than their media.

use meetbot_types::bot::BotReport;
use tokio::net::{TcpListener, TcpStream};
use xtask::janus::{Janus, ROOM};

use super::{
    media::tone,
    person::{Person, Sends},
};
use crate::orchestrator::Stage;

fn voice() -> Sends {
    Sends { voice: Some(tone(440)), ..Sends::default() }
}

/// Takes connections at an address, and passes them on to the server. Answers the link of a meeting there.
async fn passed_on(at: &str, server: String) -> String {
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

/// A bot is in and records, by this link.
async fn records(link: &str) {
    let stage = Stage::set().await;
    let mut order = stage.order_for(1, link);
    order.address_policy.networks.push("fd00::/8".parse().unwrap());
    let bot = Stage::run(order);
    let ends = |report: &BotReport| {
        matches!(report, BotReport::RecordingStarted | BotReport::Reconnecting)
    };
    stage.hears(ends).await;
    let reports = stage.reports();
    assert!(reports.contains(&BotReport::RecordingStarted), "{link}: {reports:#?}");
    bot.stop.cancel();
    bot.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_offers_media_as_it_does_by_default_is_joined_by_any_of_its_addresses() {
    let Some(janus) = Janus::start_with("") else { return };
    let address = ["-6", "addr", "add", "fd00::2/128", "dev", "lo", "nodad"];
    assert!(janus.inside("ip").args(address).status().unwrap().success());
    let ann = Person::join(&janus, ROOM, "Ann", voice()).await;
    tokio::task::block_in_place(|| {
        janus.beside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let by_loopback = janus.link(ROOM, "").replace(janus.ip(), "127.0.0.1");
                let by_ipv6 = passed_on("[fd00::2]:0", janus.address()).await;
                for link in [by_loopback, by_ipv6, janus.link(ROOM, "")] {
                    records(&link).await;
                }
            });
        });
    });
    ann.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_names_its_addresses_one_by_one_is_joined_by_those() {
    let Some(janus) = Janus::start_with("ice_enforce_list = \"{ip}\" full_trickle = true") else {
        return;
    };
    let ann = Person::join(&janus, ROOM, "Ann", voice()).await;
    records(&passed_on("127.0.0.1:0", janus.address()).await).await;
    ann.leave().await;
}
