//! The actions of a history: those of clients, bots, senders, the server's loops and the clocks.

use meetbot_types::ControlAction;
use proptest::prelude::*;

use super::job::{BotEnd, BotMessage};

/// An index into a list of the model, modulo its length.
pub(super) type Choice = u8;

/// How the reports of a request relate to the earlier ones of the bot.
#[derive(Debug, Clone, Copy)]
pub(super) enum ReportOrder {
    /// They follow the last one.
    Next,
    /// All reports of the bot are sent again.
    Repeated,
    /// One number before them is missing.
    Skipped,
    /// The request has the token of no bot.
    Forged,
}

/// The result of a delivery's try.
#[derive(Debug, Clone, Copy)]
pub(super) enum TryResult {
    Delivered,
    /// In seconds: when the schedule tries again, and the endpoint's `Retry-After`.
    Failed {
        retry_in: u16,
        rest_wanted: Option<u16>,
    },
    Gone,
}

/// The end of one try of a mix.
#[derive(Debug, Clone, Copy)]
pub(super) enum MixResult {
    Made,
    Unavailable,
    /// It cannot be made now.
    Postponed,
    /// A worker is to make it.
    Leased,
    /// Its worker goes on with it.
    Held,
    /// A worker could not make it whose lease is not the last one.
    LatePostponed,
    Dropped,
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    Create {
        live: bool,
        external: Option<u8>,
        idempotency_key: Option<(u8, bool)>,
        urls: u8,
        ahead: u16,
    },
    Claim,
    /// A claim that the store forgets: a backup from before it is restored.
    ForgetClaim,
    /// Three workers at the same time.
    ClaimTogether,
    Report {
        bot: Choice,
        order: ReportOrder,
        messages: Vec<BotMessage>,
    },
    PollCommands {
        bot: Choice,
        after: u8,
    },
    Release {
        bot: Choice,
    },
    /// Its server stops, and it leaves its files whole.
    HandOver {
        bot: Choice,
    },
    Reap,
    Expire,
    Sweep,
    Cancel {
        job: Choice,
    },
    Command {
        job: Choice,
        action: ControlAction,
        idempotency_key: Option<(u8, bool)>,
    },
    DeleteRecording {
        job: Choice,
    },
    EndMix {
        job: Choice,
        mix_result: MixResult,
    },
    TakeDeliveries {
        limit: u8,
    },
    RecordTry {
        held: Choice,
        result: TryResult,
    },
    /// The endpoints refuse all deliveries that are due.
    EndpointOutage,
    /// The store was unavailable until now.
    StoreOutage,
    Redeliver {
        job: Choice,
        delivery: Choice,
        idempotency_key: Option<(u8, bool)>,
    },
    Revoke {
        key: Choice,
    },
    /// Both clocks advance; in milliseconds.
    AdvanceClocks(u32),
    /// The wall clock is changed; in seconds.
    SetWallClock(i16),
    /// The consumer's limits: bots, minutes in a month, and jobs in the queue; 0 is no limit.
    SetLimits {
        bots: u8,
        minutes: u8,
        queued: u8,
    },
    /// The server ends and starts again on the same data.
    Restart,
    /// The server ends, and starts on a backup that is restored.
    Restore {
        paused: bool,
        end_running: bool,
    },
    /// A database that was restored and is paused goes on.
    Unpause,
    /// The bytes of recordings without a count are counted.
    CountBytes,
    /// The files of a deleted recording are removed.
    RemoveFiles {
        job: Choice,
    },
}

fn bot_message() -> impl Strategy<Value = BotMessage> {
    prop_oneof![
        1 => Just(BotMessage::Heartbeat),
        4 => Just(BotMessage::Admitted),
        4 => Just(BotMessage::RecordingStarted),
        1 => Just(BotMessage::RecordingPaused),
        1 => Just(BotMessage::RecordingResumed),
        1 => Just(BotMessage::RecordingStopped),
        2 => Just(BotMessage::Chat),
        1 => Just(BotMessage::Withheld),
        1 => Just(BotMessage::Leaving),
        1 => prop::bool::ANY.prop_map(|well| BotMessage::Ended(if well { BotEnd::Completed } else { BotEnd::Failed })),
        2 => (0..6_usize).prop_map(BotMessage::CommandDone),
    ]
}

fn report_order() -> impl Strategy<Value = ReportOrder> {
    prop_oneof![
        8 => Just(ReportOrder::Next),
        2 => Just(ReportOrder::Repeated),
        1 => Just(ReportOrder::Skipped),
        1 => Just(ReportOrder::Forged),
    ]
}

fn try_result() -> impl Strategy<Value = TryResult> {
    prop_oneof![
        3 => Just(TryResult::Delivered),
        4 => (1..300_u16, prop::option::weighted(0.2, 1..1000_u16))
            .prop_map(|(retry_in, rest_wanted)| TryResult::Failed { retry_in, rest_wanted }),
        1 => Just(TryResult::Gone),
    ]
}

fn mix_result() -> impl Strategy<Value = MixResult> {
    prop::sample::select(vec![
        MixResult::Made,
        MixResult::Made,
        MixResult::Unavailable,
        MixResult::Postponed,
        MixResult::Postponed,
        MixResult::Leased,
        MixResult::Leased,
        MixResult::Held,
        MixResult::LatePostponed,
        MixResult::Dropped,
    ])
}

fn control_action() -> impl Strategy<Value = ControlAction> {
    prop::sample::select(vec![
        ControlAction::LeaveCall,
        ControlAction::SendChatMessage,
        ControlAction::PauseRecording,
        ControlAction::ResumeRecording,
        ControlAction::StopRecording,
        ControlAction::RequestRecordingPermission,
    ])
}

fn idempotency_key() -> impl Strategy<Value = Option<(u8, bool)>> {
    prop::option::weighted(0.4, (0..3_u8, prop::bool::weighted(0.2)))
}

/// An action; frequent ones of a real server are more likely.
pub(super) fn any_action() -> impl Strategy<Value = Action> {
    let choice = any::<Choice>;
    let external = prop::option::weighted(0.4, 0..3_u8);
    let ahead = prop_oneof![4 => Just(0), 1 => 1..200_u16];
    let create = (prop::bool::weighted(0.8), external, idempotency_key(), 0..5_u8, ahead);
    prop_oneof![
        6 => create.prop_map(|(live, external, idempotency_key, urls, ahead)| Action::Create { live, external, idempotency_key, urls, ahead }),
        5 => Just(Action::Claim),
        1 => Just(Action::ClaimTogether),
        1 => Just(Action::ForgetClaim),
        16 => (choice(), report_order(), prop::collection::vec(bot_message(), 0..4))
            .prop_map(|(bot, order, messages)| Action::Report { bot, order, messages }),
        2 => (choice(), 0..3_u8).prop_map(|(bot, after)| Action::PollCommands { bot, after }),
        2 => choice().prop_map(|bot| Action::Release { bot }),
        1 => choice().prop_map(|bot| Action::HandOver { bot }),
        2 => Just(Action::Reap),
        1 => Just(Action::Expire),
        1 => Just(Action::Sweep),
        2 => choice().prop_map(|job| Action::Cancel { job }),
        4 => (choice(), control_action(), idempotency_key()).prop_map(|(job, action, idempotency_key)| Action::Command { job, action, idempotency_key }),
        1 => choice().prop_map(|job| Action::DeleteRecording { job }),
        3 => (choice(), mix_result()).prop_map(|(job, mix_result)| Action::EndMix { job, mix_result }),
        6 => (1..6_u8).prop_map(|limit| Action::TakeDeliveries { limit }),
        6 => (choice(), try_result()).prop_map(|(held, result)| Action::RecordTry { held, result }),
        5 => Just(Action::EndpointOutage),
        1 => Just(Action::StoreOutage),
        2 => (choice(), choice(), idempotency_key())
            .prop_map(|(job, delivery, idempotency_key)| Action::Redeliver { job, delivery, idempotency_key }),
        1 => choice().prop_map(|key| Action::Revoke { key }),
        8 => prop_oneof![4 => 1..20_000_u32, 1 => 20_000..200_000_u32].prop_map(Action::AdvanceClocks),
        1 => (-3600..=3600_i16).prop_map(Action::SetWallClock),
        2 => (0..4_u8, prop_oneof![3 => Just(0), 1 => 1..4_u8], prop_oneof![3 => Just(0), 1 => 1..6_u8])
            .prop_map(|(bots, minutes, queued)| Action::SetLimits { bots, minutes, queued }),
        1 => Just(Action::Restart),
        1 => (any::<bool>(), any::<bool>())
            .prop_map(|(paused, end_running)| Action::Restore { paused, end_running }),
        3 => Just(Action::Unpause),
        1 => Just(Action::CountBytes),
        2 => choice().prop_map(|job| Action::RemoveFiles { job }),
    ]
}
