//! Tests with several bots of one server in one room: they are recognised by the ids that they chose, not by their names.

use meetbot_types::{
    LeaveReason, Platform,
    bot::{BotReport, Participant},
};
use serde_json::json;
use xtask::janus::{Janus, ROOM};

use super::{
    media::tone,
    person::{Person, Sends, present},
    proxy::Proxy,
};
use crate::orchestrator::{Fixture, ended};

/// The ids under which the bot has joined, in order.
fn own_ids(reports: &[BotReport]) -> Vec<String> {
    let ids = reports.iter().filter_map(|report| match report {
        BotReport::JoiningAs { platform: Platform::Janus, room, participant_id } => {
            assert_eq!(*room, ROOM.to_string());
            Some(participant_id.clone())
        }
        _ => None,
    });
    ids.collect()
}

fn joined(reports: &[BotReport], name: &str) -> Vec<Participant> {
    let people = reports.iter().filter_map(|report| match report {
        BotReport::ParticipantJoined { participant } if participant.name == name => {
            Some(participant.clone())
        }
        _ => None,
    });
    people.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_participant_that_turns_out_to_be_a_bot_of_the_same_server_stops_counting_as_a_person() {
    let Some(janus) = Janus::start() else { return };
    let voice = Sends { voice: Some(tone(440)), ..Sends::default() };
    let alice = Person::join(&janus, ROOM, "Alice", voice).await;
    let recorder = Person::join(&janus, ROOM, "Acme Recorder", Sends::default()).await;
    let fixture = Fixture::start().await;
    let mut order = fixture.order_for(1, &janus.link(ROOM, ""));
    order.auto_leave.after_solo_seconds = Some(1);
    let bot = Fixture::run(order);
    fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
    fixture.wait_until(|reports| joined(reports, "Acme Recorder").len() == 1).await;

    // The room lists the bot under the id that it chose.
    let listed = present(&janus, ROOM).await;
    let id_of =
        |name: &str| listed.iter().find(|one| one["display"] == name).unwrap()["id"].clone();
    let (own, recorders) = (id_of("meetbot").to_string(), id_of("Acme Recorder").to_string());
    alice.leave().await;
    fixture.own_bots(vec![recorders.clone(), own.clone()]);
    bot.finish().await;

    let reports = fixture.take_reports();
    assert_eq!(own_ids(&reports), [own]);
    assert_eq!(ended(&reports).0.leave_reason, Some(LeaveReason::Solo));
    let bots: Vec<_> = joined(&reports, "Acme Recorder");
    let is_bot: Vec<_> = bots.iter().map(|one| (one.id.as_str(), one.is_bot)).collect();
    assert_eq!(is_bot, [(recorders.as_str(), false)], "no participant joins twice");
    let manifest = fixture.manifest(1);
    let bots: Vec<_> =
        manifest.participants.iter().map(|one| (one.name.as_str(), one.is_bot)).collect();
    assert!(
        bots.contains(&("Alice", false)) && bots.contains(&("Acme Recorder", true)),
        "{bots:?}"
    );
    assert_eq!(bots.len(), 2, "{bots:?}");
    recorder.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_bots_with_the_rule_the_first_one_stays() {
    let Some(janus) = Janus::start() else { return };
    let voice = Sends { voice: Some(tone(440)), ..Sends::default() };
    let alice = Person::join(&janus, ROOM, "Alice", voice).await;
    let fixtures = [Fixture::start().await, Fixture::start().await];
    let mut bots = Vec::new();
    for fixture in &fixtures {
        let mut order = fixture.order_for(1, &janus.link(ROOM, ""));
        order.auto_leave.after_solo_seconds = Some(1);
        order.auto_leave.on_bot_detected = true;
        bots.push(Fixture::run(order));
        fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
    }
    // In the order of their priority.
    let ids = fixtures.each_ref().map(|fixture| own_ids(&fixture.peek_reports()).remove(0));
    for fixture in &fixtures {
        fixture.own_bots(ids.to_vec());
    }
    let second = bots.pop().unwrap();
    second.finish().await;
    assert_eq!(ended(&fixtures[1].take_reports()).0.leave_reason, Some(LeaveReason::BotDetected));
    alice.leave().await;
    bots.pop().unwrap().finish().await;
    assert_eq!(ended(&fixtures[0].take_reports()).0.leave_reason, Some(LeaveReason::Solo));
}

#[tokio::test]
async fn a_bot_that_rejoins_also_chooses_its_id() {
    let Some(janus) = Janus::start() else { return };
    let proxy = Proxy::start(&janus, 0).await;
    let fixture = Fixture::start().await;
    let mut order = fixture.order_for(1, &proxy.link(ROOM));
    order.auto_leave.after_solo_seconds = None;
    let bot = Fixture::run(order);
    fixture.wait_for(|report| matches!(report, BotReport::Admitted)).await;
    proxy.cut();
    let admitted = |reports: &[BotReport]| {
        reports.iter().filter(|report| matches!(report, BotReport::Admitted)).count()
    };
    fixture.wait_until(|reports| admitted(reports) == 2).await;
    let present = present(&janus, ROOM).await;
    bot.stop.cancel();
    bot.finish().await;
    let ids = own_ids(&fixture.take_reports());
    assert!(ids.len() >= 2 && ids[0] != ids[1], "{ids:?}");
    let last: u64 = ids.last().unwrap().parse().unwrap();
    assert!(present.iter().any(|one| one["id"] == json!(last)), "{present:?}");
}
