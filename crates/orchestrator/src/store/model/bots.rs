//! Actions of bots and of the loops that watch them.

use std::{collections::HashSet, sync::Arc};

use meetbot_types::{
    Cause, ControlState, Ending, Failure, FailureCode, JobId, JobStatus, LeaveReason,
    bot::{BotReport, ChatMessage, IngestRequest, MediaCounters, NumberedReport},
};

use super::{
    action::ReportOrder,
    job::{BotEnd, BotMessage, ModelJob},
    outbox::ModelDelivery,
    state::{Bot, ModelTest, ms},
};
use crate::store::{Awaited, BotCredentials, Claim, Expired, Recorded, Reported, contract};

impl ModelTest {
    pub(super) async fn claim(&mut self, workers: usize) {
        let tokens: Vec<[u8; 32]> = (0..workers)
            .map(|worker| {
                let mut token = [0; 32];
                token[..8].copy_from_slice(&((self.bots.len() + worker) as u64).to_le_bytes());
                token
            })
            .collect();
        let claims = tokens
            .iter()
            .map(|token| self.store.claim(*token, contract::all_available(), self.now));
        let claims = futures_util::future::join_all(claims).await;
        for (token, claimed) in tokens.into_iter().zip(claims) {
            let claimed = claimed.unwrap();
            let Some(first) = self.next_job() else {
                assert!(matches!(claimed, Claim::Nothing), "{claimed:?}");
                continue;
            };
            let refused = !self.jobs[first].has_slot()
                && self.refuses(self.jobs[first].tenant, ms(self.now.wall));
            let first = &mut self.jobs[first];
            if refused {
                assert!(matches!(claimed, Claim::NoMinutes(job) if job == first.id), "{claimed:?}");
                first.refuse();
                continue;
            }
            let Claim::Bot(claimed) = claimed else { panic!("{claimed:?}, not {}", first.id) };
            assert_eq!(claimed.job.id, first.id, "the one whose turn it is");
            assert_eq!(first.claim(token, self.now), claimed.finalize.is_some());
            assert_eq!(claimed.job.attempt, first.epoch);
            let job = self.place(claimed.job.id);
            self.bots.push(Bot {
                job,
                epoch: claimed.job.attempt,
                token,
                signature: claimed.signature,
                ending: claimed.finalize,
                log: Vec::new(),
            });
        }
        self.compare_all().await;
    }

    /// The job that is claimed next: first a job that had a bot; then, of the oldest job of each tenant below its limit, that of the tenant with the fewest bots.
    fn next_job(&self) -> Option<usize> {
        if self.paused {
            return None;
        }
        let wall = ms(self.now.wall);
        let due = |place: &usize| {
            let job = &self.jobs[*place];
            job.status == JobStatus::Queued && job.run_at <= wall
        };
        let age = |place: &usize| (self.jobs[*place].run_at, self.jobs[*place].id);
        let all = || (0..self.jobs.len()).filter(due);
        let lost = all().filter(|place| self.jobs[*place].has_slot()).min_by_key(age);
        let firsts = [false, true].into_iter().filter_map(|live| {
            let theirs = |place: &usize| self.jobs[*place].tenant.live == live;
            let first =
                all().filter(|place| self.jobs[*place].waits()).filter(theirs).min_by_key(age)?;
            self.may_start_bot(self.jobs[first].tenant).then_some(first)
        });
        let order = |place: &usize| {
            let job = &self.jobs[*place];
            (self.bot_count(job.tenant), job.run_at, job.tenant.live)
        };
        lost.or_else(|| firsts.min_by_key(order))
    }

    pub(super) async fn report(&mut self, bot: usize, order: ReportOrder, messages: &[BotMessage]) {
        let Bot { job, epoch, mut token, ref signature, ref ending, ref mut log } = self.bots[bot];
        let mut next = log.last().map_or(1, |(seq, _)| seq + 1);
        let mut messages: Vec<(u64, BotMessage)> = messages
            .iter()
            .map(|message| {
                // A bot that only finalises ends with the ending in its order.
                let message = match (message, ending) {
                    (BotMessage::Ended(_), Some(ending)) => {
                        BotMessage::Ended(match ending.status {
                            JobStatus::Completed => BotEnd::Completed,
                            JobStatus::Cancelled => BotEnd::Cancelled,
                            _ => BotEnd::Failed,
                        })
                    }
                    _ => *message,
                };
                next += 1;
                (next - 1, message)
            })
            .collect();
        match order {
            ReportOrder::Next => log.extend(&messages),
            ReportOrder::Repeated => messages.clone_from(log),
            ReportOrder::Skipped => messages.iter_mut().for_each(|(seq, _)| *seq += 1),
            ReportOrder::Forged => token[31] = 1,
        }
        let model = &mut self.jobs[job];
        let reports = messages
            .iter()
            .map(|(seq, message)| NumberedReport {
                seq: *seq,
                at: self.now.wall,
                report: report(*message, ending.as_ref(), model),
            })
            .collect();
        let request = IngestRequest { job_id: model.id, epoch, reports };
        // Where each attempt's files are counted, but every third time they cannot be.
        let bytes = (epoch % 3 != 0).then_some(100 * u64::from(epoch));
        let away = self.away.map(|away| away.lease);
        let claim_signature = Some(signature.expose().to_owned());
        let credentials = BotCredentials { token_hash: token, claim_signature };
        let begins = messages.first().is_some_and(|(seq, _)| *seq == 1);
        let answer = self
            .store
            .report(request, credentials, Recorded { bytes, ..Recorded::default() }, away, self.now)
            .await
            .unwrap();
        let adopts = !matches!(order, ReportOrder::Forged) && model.adopts(epoch);
        if adopts && begins {
            model.adopt(epoch, token, self.now);
        }
        if adopts && !begins {
            let Reported::Applied(answer) = answer else { panic!("{answer:?}") };
            assert_eq!((answer.status, answer.acknowledged), (model.status.clone(), 0));
        } else if epoch > model.epoch
            || !model.tokens.contains(&token)
            || (epoch == model.epoch && model.tokens.last() != Some(&token))
        {
            assert_eq!(answer, Reported::Unknown);
        } else if epoch < model.epoch
            || (!model.status.is_final() && !model.live(epoch, self.away, self.now))
        {
            assert_eq!(answer, Reported::Superseded);
        } else {
            if !model.status.is_final() {
                for (seq, message) in messages {
                    if seq == model.applied + 1 {
                        model.applied = seq;
                        model.on_message(message, bytes);
                    }
                }
                model.count_time(self.now);
                model.renew(self.now);
            }
            let Reported::Applied(answer) = answer else { panic!("{answer:?}") };
            assert_eq!((answer.status, answer.acknowledged), (model.status.clone(), model.applied));
        }
        self.compare(job).await;
    }

    /// The commands for a bot: all open ones, oldest first, for the attempt that holds the job and no other.
    pub(super) async fn poll_commands(&self, bot: usize, after: u64) {
        let Bot { job, epoch, token, .. } = self.bots[bot];
        let model = &self.jobs[job];
        let has_it = model.tokens.last() == Some(&token) && epoch == model.epoch;
        let reported = self.store.bot_commands(model.id, epoch, token, after).await.unwrap();
        let open = (1..)
            .zip(&model.commands)
            .filter(|(seq, one)| *seq > after && one.state == ControlState::Pending);
        let expected = (has_it && model.lease.is_some())
            .then(|| open.map(|(seq, one)| (seq, one.id)).collect::<Vec<_>>());
        let reported = reported
            .map(|reported| reported.iter().map(|one| (one.seq, one.id)).collect::<Vec<_>>());
        assert_eq!(reported, expected);
    }

    pub(super) async fn release(&mut self, bot: usize, handed_over: bool) {
        let Bot { job, epoch, .. } = self.bots[bot];
        let model = &mut self.jobs[job];
        let had_it = model.epoch == epoch && model.lease.is_some();
        let released = if handed_over {
            self.store.hand_over(model.id, epoch, self.now).await
        } else {
            self.store.release(model.id, epoch, self.now).await
        };
        assert_eq!(released.unwrap(), had_it);
        if had_it && handed_over {
            model.lose(self.now);
            model.handed_over += 1;
        } else if had_it {
            model.lose_bot(self.now);
        }
        self.compare(job).await;
    }

    pub(super) async fn reap(&mut self) {
        let over = self.now.lease.as_millis();
        let mut expected = HashSet::new();
        for job in &mut self.jobs {
            if job.lease.is_some_and(|until| until <= over) {
                job.lose_bot(self.now);
                expected.insert(job.id);
            }
        }
        let lost = self.store.reap(self.now).await.unwrap();
        assert_eq!(lost.len(), expected.len());
        assert_eq!(HashSet::from_iter(lost), expected);
        self.compare_all().await;
    }

    /// As a server that starts does. Where `some_live`, every other bot outlived the server before.
    pub(super) async fn take_over(&mut self, some_live: bool) {
        // The machines of adopted bots end too; what becomes of the others is in the contract.
        let adopted = |job: &&mut ModelJob| job.adopted == Some(job.epoch) && job.lease.is_some();
        for job in self.jobs.iter_mut().filter(adopted) {
            assert!(self.store.hand_over(job.id, job.epoch, self.now).await.unwrap());
            job.lose(self.now);
            job.handed_over += 1;
        }
        let living: HashSet<(JobId, u32)> = (0..self.jobs.len())
            .map(|place| (place, &self.jobs[place]))
            .filter(|(place, job)| some_live && (place + job.epoch as usize).is_multiple_of(2))
            .map(|(_, job)| (job.id, job.epoch))
            .collect();
        let (mut running, mut lost) = (HashSet::new(), HashSet::new());
        for job in &mut self.jobs {
            job.deliveries.iter_mut().for_each(ModelDelivery::forget_lease);
            if job.lease.is_none() {
                continue;
            }
            if living.contains(&(job.id, job.epoch)) {
                job.outlive(self.now);
                running.insert((job.id, job.epoch));
            } else {
                job.lose(self.now);
                lost.insert(job.id);
            }
        }
        let is_alive = Arc::new(move |job, epoch| living.contains(&(job, epoch)));
        let taken = self.store.take_over(is_alive, self.now).await.unwrap();
        assert_eq!((taken.running.len(), taken.lost.len()), (running.len(), lost.len()));
        let taken_running = taken.running.iter().map(|job| (job.id, job.attempt));
        assert_eq!(taken_running.collect::<HashSet<_>>(), running);
        assert_eq!(HashSet::from_iter(taken.lost), lost);
        self.compare_all().await;
    }

    pub(super) async fn expire(&mut self) {
        let (now, paused) = (self.now, self.paused);
        let late = |job: &mut ModelJob| (!paused && job.expire(now)).then_some(job.id);
        let expected: HashSet<JobId> = self.jobs.iter_mut().filter_map(late).collect();
        let expired = self.store.expire(self.now).await.unwrap();
        for Expired { job, awaited } in &expired {
            let tenant = self.jobs[self.place(*job)].tenant;
            assert_eq!(*awaited, (!self.may_start_bot(tenant)).then_some(Awaited::Slot));
        }
        let expired = expired.iter().map(|one| one.job).collect::<Vec<_>>();
        assert_eq!(expired.len(), expected.len());
        assert_eq!(HashSet::from_iter(expired), expected);
        self.compare_all().await;
    }
}

/// The report for what is said.
fn report(message: BotMessage, ending: Option<&Ending>, model: &ModelJob) -> BotReport {
    match message {
        BotMessage::Heartbeat => BotReport::Heartbeat { media: MediaCounters::default() },
        BotMessage::Admitted => BotReport::Admitted,
        BotMessage::RecordingStarted => BotReport::RecordingStarted,
        BotMessage::RecordingPaused => BotReport::RecordingPaused,
        BotMessage::RecordingResumed => BotReport::RecordingResumed { paused_ms: 1 },
        BotMessage::RecordingStopped => BotReport::RecordingStopped { paused_ms: 2 },
        BotMessage::Chat => BotReport::Chat {
            message: ChatMessage {
                id: "1".into(),
                sender_id: "2".into(),
                sender: "Ada".into(),
                text: "hello".into(),
                private: false,
                at_ms: 1,
            },
        },
        BotMessage::Withheld => BotReport::Withheld { messages: 1, captions: 1 },
        BotMessage::Leaving => {
            BotReport::Leaving { reason: Some(LeaveReason::MeetingEnded), failure: None }
        }
        BotMessage::Ended(end) => {
            let own = if end == BotEnd::Completed {
                Cause::Left(LeaveReason::MeetingEnded).ending(true, false)
            } else {
                Cause::Failed(Failure::new(FailureCode::NetworkLoss, "gone")).ending(true, false)
            };
            let ending = ending.cloned().unwrap_or(own);
            let manifest_uri = Some("file:///m.json".into());
            BotReport::Ended {
                ending,
                manifest_uri,
                duration_ms: 1,
                paused_ms: 3,
                consent_revoked: false,
            }
        }
        BotMessage::CommandDone(choice) => match model.commands.get(choice) {
            Some(one) => BotReport::CommandDone { command_id: one.id, state: ControlState::Done },
            None => BotReport::Heartbeat { media: MediaCounters::default() },
        },
    }
}
