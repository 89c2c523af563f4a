//! Many bots in one process and one meeting.

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
use crate::orchestrator::{Stage, now};

const BOTS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_bots_in_one_process_have_everything_that_was_sent_in_their_files() {
    let Some(janus) = Janus::start() else { return };
    let sends = |hz| Sends { voice: Some(tone(hz)), camera: Some(scene()), ..Sends::default() };
    let ann = Person::join(&janus, ROOM, "Ann", sends(440)).await;
    let bob = Person::join(&janus, ROOM, "Bob", sends(880)).await;
    let mut bots = Vec::new();
    for _ in 0..BOTS {
        let stage = Stage::set().await;
        let bot = Stage::run(stage.order_for(1, &janus.link(ROOM, "")));
        bots.push((stage, bot));
    }
    for (stage, _) in &bots {
        stage.hears(|report| matches!(report, BotReport::RecordingStarted)).await;
    }
    ann.sent(ann.packets() + 500).await;
    for (stage, _) in &bots {
        stage.command(BotCommand {
            id: CommandId::generate(now()),
            seq: 1,
            action: ControlAction::LeaveCall,
            message: None,
        });
    }
    for (stage, bot) in bots {
        bot.ends().await;
        let manifest = stage.manifest(1);
        let tracks = &manifest.tracks;
        assert!(tracks.iter().all(|track| track.duration_ms >= 6_000), "{manifest:#?}");
        assert_eq!((missing(&manifest, 2), tracks.len()), (0, 4), "{manifest:#?}");
    }
    ann.leave().await;
    bob.leave().await;
}
