//! The order of a bot whose recording a test makes.

use std::path::Path;

use meetbot_types::{
    AddressPolicy, AutoLeave, JobId, MeetingLink, Timestamp,
    bot::{BotOrder, Secret},
};

/// An order for the attempt `epoch` of a job in the sandbox, whose files are in `folder`.
pub(crate) fn order(folder: &Path, epoch: u32) -> BotOrder {
    let meeting_url = "https://sandbox.meetbot.dev/two-speakers";
    BotOrder {
        job_id: JobId::generate(Timestamp::UNIX_EPOCH),
        epoch,
        token: Secret::new("a token"),
        claim_signature: None,
        orchestrator_url: "http://127.0.0.1".to_owned(),
        other_urls: Vec::new(),
        link: MeetingLink::parse(meeting_url, None).unwrap(),
        meeting_url: meeting_url.to_owned(),
        external_id: None,
        display_name: "meetbot".to_owned(),
        auto_leave: AutoLeave::default(),
        record_video: None,
        account: None,
        joined_ms_ago: None,
        sandbox: None,
        zoom: None,
        browser: None,
        imitation: None,
        address_policy: AddressPolicy { loopback: true, networks: Vec::new() },
        stun_servers: Vec::new(),
        folder: folder.to_owned(),
        spool: None,
        begun: None,
        most_bytes: None,
        heartbeat_ms: 5_000,
        alone_ms: 86_400_000,
        finalize: None,
    }
}
