//! What may happen: everything that a client, a bot, a sender, the server's loops and its clocks can do, in any order.

use meetbot_types::ControlAction;
use proptest::prelude::*;

use super::job::{End, What};

/// Which of those that there are, counted around.
pub(super) type Which = u8;

/// How a bot's reports come.
#[derive(Debug, Clone, Copy)]
pub(super) enum How {
    /// In order.
    Next,
    /// All that it has ever said, once more.
    Again,
    /// One before them was lost on the way.
    Ahead,
    /// With a token that is not its own.
    Forged,
}

/// What an endpoint makes of a try.
#[derive(Debug, Clone, Copy)]
pub(super) enum Came {
    Well,
    /// In seconds: when the schedule tries again, and how long the endpoint asks to be left alone.
    Badly {
        again_in: u16,
        rest_wanted: Option<u16>,
    },
    Gone,
}

/// What becomes of a mix.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mixed {
    Made,
    Unavailable,
    /// It cannot be made now.
    PutOff,
    Dropped,
}

#[derive(Debug, Clone)]
pub(super) enum Act {
    Create {
        live: bool,
        external: Option<u8>,
        idempotency_key: Option<(u8, bool)>,
        urls: u8,
        ahead: u16,
    },
    Claim,
    /// Three workers at the same time.
    ClaimTogether,
    Report {
        bot: Which,
        how: How,
        said: Vec<What>,
    },
    Look {
        bot: Which,
        after: u8,
    },
    Release {
        bot: Which,
    },
    /// Its server stops, and it leaves its files whole.
    HandOver {
        bot: Which,
    },
    Reap,
    Expire,
    Sweep,
    Cancel {
        job: Which,
    },
    Command {
        job: Which,
        action: ControlAction,
        idempotency_key: Option<(u8, bool)>,
    },
    DeleteRecording {
        job: Which,
    },
    Mix {
        job: Which,
        mixed: Mixed,
    },
    Take {
        limit: u8,
    },
    Note {
        flight: Which,
        came: Came,
    },
    /// The endpoints take nothing of all that is due.
    Outage,
    /// The store was away until now.
    Away,
    Redeliver {
        job: Which,
        delivery: Which,
        idempotency_key: Option<(u8, bool)>,
    },
    Revoke {
        key: Which,
    },
    /// Time passes, on both clocks; in milliseconds.
    Pass(u32),
    /// The wall clock is set; in seconds.
    Jump(i16),
    /// The consumer may have so many bots, minutes in a month, and jobs in the queue; 0 is no limit.
    Limit {
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
    /// The bytes of recordings are counted that are not known.
    Count,
    /// The files of a recording that is deleted are removed.
    Remove {
        job: Which,
    },
}

fn said() -> impl Strategy<Value = What> {
    prop_oneof![
        1 => Just(What::Beat),
        4 => Just(What::Admitted),
        4 => Just(What::Recording),
        1 => Just(What::Paused),
        1 => Just(What::Resumed),
        1 => Just(What::Stopped),
        2 => Just(What::Chat),
        1 => Just(What::Withheld),
        1 => Just(What::Leaving),
        1 => prop::bool::ANY.prop_map(|well| What::Ended(if well { End::Well } else { End::Badly })),
        2 => (0..6_usize).prop_map(What::Did),
    ]
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        8 => Just(How::Next),
        2 => Just(How::Again),
        1 => Just(How::Ahead),
        1 => Just(How::Forged),
    ]
}

fn came() -> impl Strategy<Value = Came> {
    prop_oneof![
        3 => Just(Came::Well),
        4 => (1..300_u16, prop::option::weighted(0.2, 1..1000_u16))
            .prop_map(|(again_in, rest_wanted)| Came::Badly { again_in, rest_wanted }),
        1 => Just(Came::Gone),
    ]
}

fn mixed() -> impl Strategy<Value = Mixed> {
    prop::sample::select(vec![
        Mixed::Made,
        Mixed::Made,
        Mixed::Unavailable,
        Mixed::PutOff,
        Mixed::PutOff,
        Mixed::Dropped,
    ])
}

fn action() -> impl Strategy<Value = ControlAction> {
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

/// Anything, the usual more often.
pub(super) fn act() -> impl Strategy<Value = Act> {
    let which = any::<Which>;
    let external = prop::option::weighted(0.4, 0..3_u8);
    let ahead = prop_oneof![4 => Just(0), 1 => 1..200_u16];
    let create = (prop::bool::weighted(0.8), external, idempotency_key(), 0..5_u8, ahead);
    prop_oneof![
        6 => create.prop_map(|(live, external, idempotency_key, urls, ahead)| Act::Create { live, external, idempotency_key, urls, ahead }),
        5 => Just(Act::Claim),
        1 => Just(Act::ClaimTogether),
        16 => (which(), how(), prop::collection::vec(said(), 0..4))
            .prop_map(|(bot, how, said)| Act::Report { bot, how, said }),
        2 => (which(), 0..3_u8).prop_map(|(bot, after)| Act::Look { bot, after }),
        2 => which().prop_map(|bot| Act::Release { bot }),
        1 => which().prop_map(|bot| Act::HandOver { bot }),
        2 => Just(Act::Reap),
        1 => Just(Act::Expire),
        1 => Just(Act::Sweep),
        2 => which().prop_map(|job| Act::Cancel { job }),
        4 => (which(), action(), idempotency_key()).prop_map(|(job, action, idempotency_key)| Act::Command { job, action, idempotency_key }),
        1 => which().prop_map(|job| Act::DeleteRecording { job }),
        3 => (which(), mixed()).prop_map(|(job, mixed)| Act::Mix { job, mixed }),
        6 => (1..6_u8).prop_map(|limit| Act::Take { limit }),
        6 => (which(), came()).prop_map(|(flight, came)| Act::Note { flight, came }),
        5 => Just(Act::Outage),
        1 => Just(Act::Away),
        2 => (which(), which(), idempotency_key())
            .prop_map(|(job, delivery, idempotency_key)| Act::Redeliver { job, delivery, idempotency_key }),
        1 => which().prop_map(|key| Act::Revoke { key }),
        8 => prop_oneof![4 => 1..20_000_u32, 1 => 20_000..200_000_u32].prop_map(Act::Pass),
        1 => (-3600..=3600_i16).prop_map(Act::Jump),
        2 => (0..4_u8, prop_oneof![3 => Just(0), 1 => 1..4_u8], prop_oneof![3 => Just(0), 1 => 1..6_u8])
            .prop_map(|(bots, minutes, queued)| Act::Limit { bots, minutes, queued }),
        1 => Just(Act::Restart),
        1 => (any::<bool>(), any::<bool>())
            .prop_map(|(paused, end_running)| Act::Restore { paused, end_running }),
        3 => Just(Act::Unpause),
        1 => Just(Act::Count),
        2 => which().prop_map(|job| Act::Remove { job }),
    ]
}
