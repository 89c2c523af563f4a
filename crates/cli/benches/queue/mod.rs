//! Jobs of the sandbox in a store's queue.

use std::{sync::Arc, time::Duration};

use meetbot_orchestrator::{
    clock::StoreNow,
    store::{Claim, Claimed, Creation, JobStore, Start, Tenant},
};
use meetbot_types::{Availability, Job, JobId, MeetingLink, Platform, Via};
use serde_json::json;

const URL: &str = "https://sandbox.meetbot.dev/two-speakers";
/// The SHA-256 of the token of each bot.
pub(crate) const TOKEN: [u8; 32] = [7; 32];

/// Creates a job that may start now.
pub(crate) async fn create(store: &impl JobStore, tenant: Tenant, now: StoreNow) {
    let job = json!({
        "id": JobId::generate(now.wall), "externalId": null, "meetingUrl": URL, "platform": "sandbox", "displayName": "meetbot",
        "status": "queued", "statusDetail": null, "joinAt": null, "metadata": {}, "attempt": 0, "leaveReason": null,
        "recording": {"state": "off", "permission": "not_required", "startedAt": null, "pausedMs": 0, "bytes": null, "deletedAt": null},
        "webhooks": {"onStatusChange": null, "onFinalize": null}, "autoLeave": meetbot_types::AutoLeave::default(),
        "failureCode": null, "failureDetail": null, "manifestUri": null, "createdAt": now.wall, "updatedAt": now.wall,
        "joinedAt": null, "endedAt": null,
    });
    let job: Job = serde_json::from_value(job).unwrap();
    let link = MeetingLink::parse(URL, None).unwrap();
    let start = Start { from: now.wall, by: now.wall + Duration::from_hours(1) };
    let created = store.create_job(tenant, job, link, start, None, now).await.unwrap();
    assert!(matches!(created, Creation::Created(_)), "{created:?}");
}

/// Gives the next job its first bot.
pub(crate) async fn claim(store: &impl JobStore, now: StoreNow) -> Box<Claimed> {
    let (platform, via) = (Platform::Sandbox, Via::Sandbox);
    let sandbox = Availability { platform, via, experimental: false, missing: Vec::new() };
    let ways = Arc::new(move |_, _: Option<&str>| vec![sandbox.clone()]);
    match store.claim(TOKEN, ways, now).await.unwrap() {
        Claim::Bot(claimed) => claimed,
        other => panic!("{other:?}"),
    }
}
