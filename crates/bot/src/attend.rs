//! The loop of a bot in its meeting: hears, writes, asks the brain, obeys.

mod obey;
mod people;
mod permission;
mod stall;

use std::{
    io,
    time::{Duration, Instant},
};

use meetbot_types::{
    Cause, CommandId, ControlState, Failure, FailureCode, LeaveReason,
    bot::{BotCommand, BotOrder, BotReport, Lobby, Participant, RecordingRule},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::Instrument as _;

use self::{obey::report_mode, permission::Permission, stall::Media};
use crate::{
    bounds::{self, Allowance, Exceeded},
    brain::{Brain, Decision, Observed},
    clock,
    commands::{Inbox, Incoming},
    media::TrackId,
    meeting::{Lost, Meeting, MeetingEvent},
    platforms::{self, Joins},
    recording::{Counters, Mode, Recording},
    reporter::Reporter,
    run::{Connect, cannot_write},
    unsaid::Unsaid,
};

/// What was taken is handed to the system this often.
const FLUSH: Duration = Duration::from_millis(500);
/// The waits between tries to join, doubling until a bot was in the meeting for as long as the longest.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(8);

/// How a bot's time in the meeting ended.
pub(crate) enum Attended {
    /// It left, for this cause.
    Left { cause: Cause, recording: Option<Box<Recording>>, denied: bool },
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
    let mut inbox = Inbox::open(order, connect.http.clone());
    let joining = bot.join_after(Duration::ZERO);
    let cause = bot.stay(joining, &mut inbox, stop).await;
    let recording = bot.recording.map(Box::new);
    match cause {
        Some(cause) => Attended::Left { cause, recording, denied: bot.permission.denied() },
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
    brain: Brain,
    recording: Option<Recording>,
    asked_for_permission: Option<CommandId>,
    /// What is to be done to the recording once there is one: a lost bot left it undone.
    early: Vec<BotCommand>,
    unsaid: Unsaid,
    /// The host is to be asked for permission now.
    to_ask: bool,
    /// A keyframe of this track is to be asked for now.
    keyframe_of: Option<TrackId>,
    permission: Permission,
    /// Why the bot waits at the door, as was reported.
    lobby: Option<Lobby>,
    /// Since when it is in the meeting.
    in_since: Option<Instant>,
    /// How many events the meeting may still have.
    events: Allowance,
    media: Media,
    /// Under which id it is in the meeting, or on its way in.
    own_id: Option<String>,
}

impl<'a> Bot<'a> {
    fn new(
        order: &'a BotOrder,
        connect: &'a Connect,
        reporter: &'a Reporter,
        counters: Counters,
    ) -> Self {
        let start = clock::now();
        Self {
            order,
            connect,
            reporter,
            counters,
            joins: Joins::new(order.reach.clone()),
            start,
            brain: Brain::new(
                order.auto_leave.clone(),
                order.joined_ms_ago.map(Duration::from_millis),
                Duration::ZERO,
            ),
            recording: None,
            asked_for_permission: None,
            early: Vec::new(),
            unsaid: Unsaid::default(),
            to_ask: false,
            keyframe_of: None,
            permission: Permission::default(),
            lobby: None,
            in_since: None,
            events: Allowance::new(bounds::EVENTS, start),
            media: Media::new(start),
            own_id: None,
        }
    }

    fn since_start(&self) -> Duration {
        clock::now().saturating_duration_since(self.start)
    }

    fn observe(&mut self, observed: Observed) {
        let now = self.since_start();
        self.brain.handle(observed, now);
    }

    /// Stays until the brain says why to leave; `None` when the bot is stopped.
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
        let cause = loop {
            let wake = match self.brain.poll(self.since_start()) {
                Decision::Leave(cause) => break Some(cause),
                Decision::WaitUntil(wake) => wake.map(|wake| self.start + wake),
            };
            let written = tokio::select! {
                biased;
                () = stop.cancelled() => break None,
                () = self.reporter.superseded.cancelled() => break None,
                // Before what happens in the meeting: there may always be more of that.
                _ = flush.tick() => {
                    let flushed = self.recording.as_mut().map_or(Ok(()), Recording::flush);
                    self.look_at_media(meeting.is_some());
                    self.say(meeting.as_mut()).await;
                    flushed
                }
                incoming = inbox.next() => match incoming {
                    Incoming::Command(command) => self.obey(command, meeting.as_mut()).await,
                    Incoming::OwnBots(ids) => self.know_own_bots(ids),
                },
                joined = joined(joining.as_mut()) => {
                    joining = None;
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
                    MeetingEvent::Unreachable(failure) if self.has_been_in() => {
                        meeting = None;
                        joining = Some(self.join_again(&failure.detail, &mut retry));
                        self.note_loss()
                    }
                    event => {
                        let heard = match self.bound(&event) {
                            Err(exceeded) => Err(exceeded.into()),
                            Ok(()) => self.take(event).await,
                        };
                        if std::mem::take(&mut self.to_ask)
                            && let Some(meeting) = meeting.as_mut()
                        {
                            self.ask(meeting).await;
                        }
                        if let Some(track) = self.keyframe_of.take()
                            && let Some(meeting) = meeting.as_mut()
                        {
                            meeting.request_keyframe(track);
                        }
                        heard
                    }
                },
                () = sleep_until(wake) => Ok(()),
            };
            if let Err(error) = written {
                let job = self.order.job_id;
                if let Some(bound) = bounds::exceeded(&error) {
                    tracing::warn!(%job, %bound, "the bot leaves the meeting");
                } else {
                    tracing::error!(%job, %error, "the recording cannot be written");
                }
                self.observe(Observed::Over(cannot_write(&error)));
            }
            // A meeting that always has another event would leave the thread to nothing else, not even to the timers.
            tokio::task::yield_now().await;
        };
        if let Some(meeting) = meeting {
            meeting.leave().await;
        }
        cause
    }

    /// Says when nothing comes although people are there. It is a hint, not an end: they may all have left their desks muted.
    fn look_at_media(&mut self, in_call: bool) {
        let people = self.recording.as_ref().is_some_and(|recording| !recording.is_empty());
        if self.media.look(in_call && people, clock::now()) {
            self.reporter.report(BotReport::MediaStalled);
        }
    }

    /// The way to the meeting is lost: try again soon. The brain says for how long.
    fn join_again(&mut self, why: &str, retry: &mut Duration) -> Joining {
        let why = bounds::REASON.cut(why.to_owned());
        tracing::info!(job = %self.order.job_id, why, "the meeting is lost; the bot tries to join again");
        self.observe(Observed::Lost(why));
        self.reporter.report(BotReport::Reconnecting);
        self.lobby = None;
        let in_since = self.in_since.take();
        if in_since.is_some_and(|since| clock::now() >= since + LONGEST_RETRY) {
            *retry = FIRST_RETRY;
        }
        let wait = *retry;
        *retry = (wait * 2).min(LONGEST_RETRY);
        self.join_after(wait)
    }

    /// The recording has to say that it is cut.
    fn note_loss(&mut self) -> io::Result<()> {
        let recording = self.recording.as_mut();
        recording.map_or(Ok(()), |recording| recording.connection_lost(clock::now()))
    }

    /// Joins in a task of its own: nothing that happens meanwhile makes the bot knock twice.
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

    /// Whether the meeting may have this event too. Of media only the bytes are bounded.
    fn bound(&mut self, event: &MeetingEvent) -> Result<(), Exceeded> {
        let is_media = matches!(event, MeetingEvent::Media { .. });
        if is_media || self.events.take(1, clock::now()) { Ok(()) } else { Err(Exceeded::Events) }
    }

    async fn take(&mut self, event: MeetingEvent) -> io::Result<()> {
        match event {
            MeetingEvent::Admitted { people, recording } => {
                self.admitted(people, recording).await?;
            }
            event => self.hear(event)?,
        }
        self.recording.as_mut().map_or(Ok(()), |recording| recording.bound_lines(clock::now()))
    }

    /// The meeting has let the bot in.
    async fn admitted(&mut self, people: Vec<Participant>, rule: RecordingRule) -> io::Result<()> {
        self.in_since = Some(clock::now());
        self.lobby = None;
        self.observe(Observed::Admitted);
        self.reporter.report(BotReport::Admitted);
        if rule == RecordingRule::Forbidden {
            let detail = "nobody may record this meeting";
            let failure = Failure::new(FailureCode::RecordingDisabled, detail);
            self.observe(Observed::Over(Cause::Failed(failure)));
            return Ok(());
        }
        self.to_ask = rule == RecordingRule::AskHost && !self.permission.granted();
        if self.recording.is_none() {
            let mut recording = self.open().await?;
            if self.to_ask {
                recording.hold();
            }
            // What the bot before did, and was not heard to do.
            if recording.mode() != Mode::On {
                report_mode(self.reporter, &recording);
            }
            self.recording = Some(recording);
            for command in std::mem::take(&mut self.early) {
                self.record_as_told(command)?;
            }
        }
        self.take_roster(people).await
    }

    /// Opens the recording on a thread that no other bot waits for: what the bots before left is read there, and written to disk.
    async fn open(&self) -> io::Result<Recording> {
        let (order, counters) = (self.order.clone(), self.counters.clone());
        let admitted = (clock::now(), clock::wall());
        let span = tracing::Span::current();
        let open = move || span.in_scope(|| Recording::open(&order, admitted, counters));
        tokio::task::spawn_blocking(open).await.map_err(io::Error::other)?
    }

    fn hear(&mut self, event: MeetingEvent) -> io::Result<()> {
        let now = clock::now();
        match event {
            MeetingEvent::Media { participant, source, frame } => {
                if self.media.came(now) {
                    self.reporter.report(BotReport::MediaFlows);
                }
                let Some(recording) = &mut self.recording else { return Ok(()) };
                let recorded = recording.frame(&participant, source, &frame)?;
                if recorded.speech {
                    self.observe(Observed::Speech);
                }
                if recorded.keyframe_wanted {
                    self.keyframe_of = Some(frame.track);
                }
                if recorded.first {
                    self.reporter.report(BotReport::RecordingStarted);
                }
            }
            MeetingEvent::JoiningAs { platform, room, own_id } => {
                self.own_id = Some(own_id.clone());
                let participant_id = own_id;
                self.reporter.report(BotReport::JoiningAs { platform, room, participant_id });
            }
            MeetingEvent::Lobby(lobby) => {
                if self.lobby.as_ref() != Some(&lobby) {
                    self.lobby = Some(lobby.clone());
                    self.observe(Observed::Waiting(lobby.clone()));
                    self.reporter.report(BotReport::Waiting { lobby });
                }
            }
            MeetingEvent::Joined(participant) => self.joined(participant)?,
            MeetingEvent::Left(id) => self.left(id)?,
            MeetingEvent::Chat(line) => {
                let Some(recording) = &mut self.recording else { return Ok(()) };
                self.reporter.report(match recording.chat(line, now)? {
                    Some(message) => BotReport::Chat { message },
                    None => BotReport::Withheld { messages: 1, captions: 0 },
                });
            }
            MeetingEvent::Caption(line) => {
                let Some(recording) = &mut self.recording else { return Ok(()) };
                if !recording.caption(line, now)? {
                    self.reporter.report(BotReport::Withheld { messages: 0, captions: 1 });
                }
            }
            MeetingEvent::Permission(granted) => {
                if !self.permission.answer(granted)? {
                    return Ok(());
                }
                if granted && let Some(recording) = &mut self.recording {
                    recording.permit(now);
                }
                self.reporter.report(BotReport::PermissionAnswered { granted });
                if let Some(command) = self.asked_for_permission.take() {
                    self.done(
                        command,
                        if granted { ControlState::Done } else { ControlState::Denied },
                    );
                }
            }
            // Who was in once and finds no meeting any more was there to its end.
            MeetingEvent::Refused(failure)
                if failure.code == FailureCode::MeetingNotFound && self.has_been_in() =>
            {
                self.observe(Observed::Over(Cause::Left(LeaveReason::MeetingEnded)));
            }
            MeetingEvent::Refused(failure) | MeetingEvent::Unreachable(failure) => {
                self.observe(Observed::Over(Cause::Failed(failure)));
            }
            MeetingEvent::Removed => self.observe(Observed::Over(Cause::Removed)),
            MeetingEvent::Ended => {
                let over = if self.has_been_in() {
                    Cause::Left(LeaveReason::MeetingEnded)
                } else {
                    let detail = "the meeting was over before the bot came";
                    Cause::Failed(Failure::new(FailureCode::MeetingEnded, detail))
                };
                self.observe(Observed::Over(over));
            }
            // The loop hears these itself.
            MeetingEvent::Admitted { .. } | MeetingEvent::Lost(_) => {}
        }
        Ok(())
    }

    /// Whether this attempt was in the meeting, or one before it may have been.
    const fn has_been_in(&self) -> bool {
        self.recording.is_some() || self.order.epoch > 1
    }
}

/// A bot on its way in.
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

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod bounded;
#[cfg(test)]
mod flood;
