//! A test with many bots in one process and one meeting.

use meetbot_types::{
    CommandId, ControlAction,
    bot::{BotCommand, BotReport},
};
use xtask::janus::{Janus, ROOM};

use super::{
    media::{scene, tone},
    missing::missing,
    person::{Person, Sends},
};
use crate::orchestrator::{Fixture, now};

const BOTS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_bots_in_one_process_record_everything_that_was_sent() {
    let Some(janus) = Janus::start() else { return };
    let sends = |hz| Sends { voice: Some(tone(hz)), camera: Some(scene()), ..Sends::default() };
    let ann = Person::join(&janus, ROOM, "Ann", sends(440)).await;
    let bob = Person::join(&janus, ROOM, "Bob", sends(880)).await;
    let mut bots = Vec::new();
    for _ in 0..BOTS {
        let fixture = Fixture::start().await;
        let bot = Fixture::run(fixture.order_for(1, &janus.link(ROOM, "")));
        bots.push((fixture, bot));
    }
    for (fixture, _) in &bots {
        fixture.wait_for(|report| matches!(report, BotReport::RecordingStarted)).await;
    }
    ann.sent(ann.packets() + 500).await;
    for (fixture, _) in &bots {
        fixture.command(BotCommand {
            id: CommandId::generate(now()),
            seq: 1,
            action: ControlAction::LeaveCall,
            message: None,
        });
    }
    for (fixture, bot) in bots {
        bot.finish().await;
        let manifest = fixture.manifest(1);
        let tracks = &manifest.tracks;
        assert!(tracks.iter().all(|track| track.duration_ms >= 6_000), "{manifest:#?}");
        assert_eq!((missing(&manifest, 2), tracks.len()), (0, 4), "{manifest:#?}");
    }
    ann.leave().await;
    bob.leave().await;
}
