//! The loop of a bot in its meeting: handles events and commands, records, and asks the leave policy when to leave.

mod commands;
mod events;
mod overflow;
mod people;
mod permission;
mod stall;

use std::{
    io,
    time::{Duration, Instant},
};

use meetbot_types::{
    Cause,
    bot::{BotCommand, BotOrder, BotReport, Lobby},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::Instrument as _;

use self::{
    commands::PendingCommands, events::Effect, overflow::Overflow, permission::Permission,
    stall::StallDetector,
};
use crate::{
    bounds::{self, Allowance},
    clock::{self, Timer},
    commands::{Inbox, Incoming},
    connect::Connect,
    leave_policy::{Decision, LeavePolicy, Observed},
    meeting::{Lost, Meeting, MeetingEvent},
    platforms::{self, joins::Joins},
    recording::{Counters, Recording, failure::cannot_write},
    reporter::Reporter,
};

/// How often buffered media is written to the files. Before that, media wait in a socket for up to 80 ms (`crates/rtc/src/peer/pause.rs`): a crash loses half a
/// second at most.
const FLUSH: Duration = Duration::from_millis(400);
/// The waits between tries to join. They double, and are reset after the bot was in the meeting for [`LONGEST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(8);

/// At most this many events are handled after the decision to leave.
const LAST_EVENTS: usize = 1_000;

/// How the bot's attendance ended.
pub(crate) enum Attended {
    /// It left, for this cause.
    Left { cause: Cause, recording: Option<Box<Recording>>, denied: bool, consent_revoked: bool },
    /// The worker stops, or another attempt has the job.
    Stopped { recording: Option<Box<Recording>> },
}

/// Attends the meeting until it is time to leave.
pub(crate) async fn attend(
    order: &BotOrder,
    connect: &Connect,
    reporter: &Reporter,
    counters: Counters,
    stop: &CancellationToken,
) -> Attended {
    let mut bot = Bot::new(order, connect, reporter, counters);
    let mut inbox =
        Inbox::open(order, connect, bot.joins.zoom_stream.clone(), reporter.forgotten.clone());
    let joining = bot.join_after(Duration::ZERO);
    let cause = bot.stay(joining, &mut inbox, stop).await;
    let recording = bot.recording.map(Box::new);
    match cause {
        Some(cause) => Attended::Left {
            cause,
            recording,
            denied: bot.permission.denied(),
            consent_revoked: bot.consent_revoked,
        },
        None => Attended::Stopped { recording },
    }
}

struct Bot<'a> {
    order: &'a BotOrder,
    connect: &'a Connect,
    reporter: &'a Reporter,
    counters: Counters,
    joins: Joins,
    start: Instant,
    leave_policy: LeavePolicy,
    recording: Option<Recording>,
    pending: PendingCommands,
    /// Recording commands that arrived before the recording is open, where an earlier bot has not finished them.
    deferred: Vec<BotCommand>,
    permission: Permission,
    /// Why the bot waits in the lobby, as last reported.
    lobby: Option<Lobby>,
    /// When it was admitted.
    in_since: Option<Instant>,
    /// The rate limit of the meeting's events.
    events: Allowance,
    media: StallDetector,
    overflow: Overflow,
    /// The id under which it is in the meeting, or joins.
    own_id: Option<String>,
    /// When the meeting's media begin, if the meeting replays media from before the bot was admitted.
    replays_from: Option<Instant>,
    /// The host withdrew the consent: the recording must be deleted.
    consent_revoked: bool,
}

impl<'a> Bot<'a> {
    fn new(
        order: &'a BotOrder,
        connect: &'a Connect,
        reporter: &'a Reporter,
        counters: Counters,
    ) -> Self {
        let start = clock::now();
        let joined_ago = order.joined_ms_ago.map(Duration::from_millis);
        let mut leave_policy =
            LeavePolicy::new(order.auto_leave.clone(), joined_ago, Duration::ZERO);
        if platforms::needs_browser(order) {
            leave_policy.wait_for_browser();
        }
        Self {
            order,
            connect,
            reporter,
            counters,
            joins: Joins::new(order.address_policy.clone()),
            start,
            leave_policy,
            recording: None,
            pending: PendingCommands::default(),
            deferred: Vec::new(),
            permission: Permission::default(),
            lobby: None,
            in_since: None,
            events: Allowance::new(bounds::EVENTS, start),
            media: StallDetector::new(start),
            overflow: Overflow::default(),
            own_id: None,
            replays_from: None,
            consent_revoked: false,
        }
    }

    fn since_start(&self) -> Duration {
        clock::now().saturating_duration_since(self.start)
    }

    fn observe(&mut self, observed: Observed) {
        let now = self.since_start();
        self.leave_policy.handle(observed, now);
    }

    /// Runs until the policy decides to leave, and returns its cause; `None` when the bot is stopped.
    async fn stay(
        &mut self,
        joining: Joining,
        inbox: &mut Inbox,
        stop: &CancellationToken,
    ) -> Option<Cause> {
        let mut meeting: Option<Box<dyn Meeting>> = None;
        let mut retry = FIRST_RETRY;
        let mut joining = Some(joining);
        let mut flush = tokio::time::interval(FLUSH);
        flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (stopped, superseded) = (stop.cancelled(), self.reporter.superseded.cancelled());
        tokio::pin!(stopped, superseded);
        let mut timer = Timer::default();
        let cause = loop {
            let wake = match self.leave_policy.poll(self.since_start()) {
                Decision::Leave(cause) => break Some(cause),
                Decision::WaitUntil(wake) => wake.map(|wake| self.start + wake),
            };
            let written = tokio::select! {
                biased;
                () = &mut stopped => break None,
                () = &mut superseded => break None,
                // Before the meeting's events, which may come without a pause.
                _ = flush.tick() => {
                    let counted = self.count_dropped(meeting.as_deref());
                    let flushed = self.recording.as_mut().map_or(Ok(()), Recording::flush);
                    self.check_for_stall(meeting.is_some());
                    counted.and(flushed)
                }
                incoming = inbox.next() => match incoming {
                    Incoming::Command(command) => self.run_command(command, meeting.as_deref_mut()),
                    Incoming::OwnBots(ids) => self.set_own_bots(ids),
                },
                joined = joined(joining.as_mut()) => {
                    joining = None;
                    self.leave_policy.browser_ready(self.since_start());
                    match joined {
                        Ok(joined) => {
                            meeting = Some(joined);
                            Ok(())
                        }
                        Err(lost) => {
                            joining = Some(self.join_again(&lost, &mut retry));
                            self.note_loss()
                        }
                    }
                }
                event = next(meeting.as_mut()) => match event {
                    MeetingEvent::Lost(lost) => {
                        meeting = None;
                        joining = Some(self.join_again(&lost, &mut retry));
                        self.note_loss()
                    }
                    MeetingEvent::Unreachable(failure) if self.was_in_meeting() => {
                        meeting = None;
                        joining = Some(self.join_again(&failure.detail, &mut retry));
                        self.note_loss()
                    }
                    event => self.on_events(event, meeting.as_mut()).await,
                },
                () = timer.until(wake) => Ok(()),
            };
            if let Err(error) = written {
                self.log_write_error(&error);
                self.observe(Observed::Over(cannot_write(&error)));
            }
            // A meeting that always has another event would block the thread, timers included.
            tokio::task::consume_budget().await;
        };
        if let Some(mut meeting) = meeting {
            let requested = matches!(cause, None | Some(Cause::Requested));
            if requested && self.recording.is_some() {
                self.handle_arrived(meeting.as_mut()).await;
            }
            if let Err(error) = self.count_dropped(Some(meeting.as_ref())) {
                // The recording is finished as it is.
                self.log_write_error(&error);
            }
            let rest =
                if cause.is_some() { meeting.leave().await } else { meeting.hand_over().await };
            for id in rest.done {
                self.on_command_result(id, &Ok(()));
            }
            for line in rest.captions {
                if let Err(error) = self.caption(line, clock::now()) {
                    // The recording is finished as it is.
                    self.log_write_error(&error);
                    break;
                }
            }
        }
        cause
    }

    /// Handles an event, and the media that arrived with it: at most as much as the meeting reads in one turn.
    async fn on_events(
        &mut self,
        event: MeetingEvent,
        meeting: Option<&mut Box<dyn Meeting>>,
    ) -> io::Result<()> {
        let effect = self.on_event(event).await?;
        let Some(meeting) = meeting.map(Box::as_mut) else { return Ok(()) };
        if let Some(effect) = effect {
            self.carry_out(effect, meeting);
        }
        while let Some(event) = meeting.arrived_media() {
            if let Some(effect) = self.on_event(event).await? {
                self.carry_out(effect, meeting);
            }
        }
        Ok(())
    }

    /// Handles what has arrived, but was not read: a bot of Zoom reads in ticks. The results of commands, which the platform gives only once, are among it.
    async fn handle_arrived(&mut self, meeting: &mut dyn Meeting) {
        for _ in 0..LAST_EVENTS {
            let event = tokio::select! {
                biased;
                event = meeting.next() => event,
                // A meeting that is still not ready after it has yielded has nothing more.
                () = tokio::task::yield_now() => break,
            };
            if matches!(event, MeetingEvent::Lost(_)) {
                break;
            }
            if let Err(error) = self.on_event(event).await {
                // The recording is finished as it is.
                self.log_write_error(&error);
                break;
            }
        }
    }

    fn log_write_error(&self, error: &io::Error) {
        let job = self.order.job_id;
        if let Some(bound) = bounds::exceeded(error) {
            tracing::warn!(%job, %bound, "the bot leaves the meeting");
        } else {
            tracing::error!(%job, %error, "the recording cannot be written");
        }
    }

    fn carry_out(&mut self, effect: Effect, meeting: &mut dyn Meeting) {
        match effect {
            Effect::AskHost => self.ask_host(None, meeting),
            Effect::RequestKeyframe(track) => meeting.request_keyframe(track),
        }
    }

    /// Reports when no media arrive although people are in the meeting. It is a hint only: all may be muted.
    fn check_for_stall(&mut self, in_call: bool) {
        let people = self.recording.as_ref().is_some_and(|recording| !recording.is_empty());
        if self.media.check(in_call && people, clock::now()) {
            self.reporter.report(BotReport::MediaStalled);
        }
    }

    /// Counts the datagrams for which the meeting's sockets had no room, and notes whether the bot reads late.
    fn count_dropped(&mut self, meeting: Option<&dyn Meeting>) -> io::Result<()> {
        let now = clock::now();
        let new = self.overflow.check(meeting, &self.counters, &self.connect.lateness, now);
        match &mut self.recording {
            Some(recording) if new > 0 => recording.datagrams_dropped(new, now),
            _ => Ok(()),
        }
    }

    /// The connection to the meeting is lost: schedules another try. The policy limits for how long.
    fn join_again(&mut self, why: &str, retry: &mut Duration) -> Joining {
        let why = bounds::REASON.cut(why.to_owned());
        tracing::info!(job = %self.order.job_id, why, "the connection to the meeting is lost; the bot tries to join again");
        self.observe(Observed::Lost(why));
        self.reporter.report(BotReport::Reconnecting);
        self.lobby = None;
        self.lose_commands();
        let in_since = self.in_since.take();
        if in_since.is_some_and(|since| clock::now() >= since + LONGEST_RETRY) {
            *retry = FIRST_RETRY;
        }
        let wait = *retry;
        *retry = (wait * 2).min(LONGEST_RETRY);
        self.join_after(wait)
    }

    /// Marks the gap in the recording.
    fn note_loss(&mut self) -> io::Result<()> {
        let recording = self.recording.as_mut();
        recording.map_or(Ok(()), |recording| recording.connection_lost(clock::now()))
    }

    /// Joins in a separate task, so that commands and timers in the meantime do not repeat the join.
    fn join_after(&self, wait: Duration) -> Joining {
        let (order, connect, joins) =
            (self.order.clone(), self.connect.clone(), self.joins.clone());
        AbortOnDropHandle::new(tokio::spawn(
            async move {
                tokio::time::sleep(wait).await;
                platforms::join(&order, &connect, &joins).await
            }
            .in_current_span(),
        ))
    }
}

/// The task in which a bot joins.
type Joining = AbortOnDropHandle<Result<Box<dyn Meeting>, Lost>>;

async fn joined(joining: Option<&mut Joining>) -> Result<Box<dyn Meeting>, Lost> {
    match joining {
        Some(joining) => joining.await.unwrap_or_else(|error| Err(error.to_string())),
        None => std::future::pending().await,
    }
}

async fn next(meeting: Option<&mut Box<dyn Meeting>>) -> MeetingEvent {
    match meeting {
        Some(meeting) => meeting.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod arrived;
#[cfg(test)]
mod bounded;
#[cfg(test)]
pub(crate) mod flood;
