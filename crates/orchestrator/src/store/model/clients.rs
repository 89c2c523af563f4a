//! Actions of clients: jobs and commands, with and without an `Idempotency-Key`.

use std::time::Duration;

use meetbot_types::{ControlAction, ControlState, JobStatus, Webhooks};

use super::{
    job::{ModelCommand, ModelJob, RecordingPhase},
    state::{ModelTest, StoredAnswer, ms},
};
use crate::store::{
    CommandOutcome, Creation, IdempotencyKey, PriorRequest, Redelivery, StoredResponse, Tenant,
    contract::{link, new_job, start},
};

/// How long a call with a key may be under way.
const RUNNING_MS: i64 = 10_000;

fn key_of_route(route: u8, key: u8, other: bool) -> IdempotencyKey {
    let ignored = format!("field-{}", u8::from(other));
    IdempotencyKey {
        key: format!("key-{key}"),
        fingerprint: [route * 2 + u8::from(other); 32],
        ignored,
    }
}

impl ModelTest {
    pub(super) async fn create(
        &mut self,
        live: bool,
        external: Option<u8>,
        idempotency_key: Option<(u8, bool)>,
        urls: u8,
        ahead: u16,
    ) {
        let tenant = Tenant { live, ..self.keys[0].0.tenant };
        let name = external.map(|name| format!("meeting-{name}"));
        // One for both, two, either, none.
        let urls = [
            [Some("http://a.example/"), Some("http://a.example/")],
            [Some("http://a.example/"), Some("http://b.example/")],
            [Some("http://a.example/"), None],
            [None, Some("http://b.example/")],
            [None, None],
        ][usize::from(urls)];
        let mut new = new_job(self.now);
        new.external_id.clone_from(&name);
        new.join_at = (ahead > 0).then(|| self.now.wall + Duration::from_secs(ahead.into()));
        new.webhooks = Webhooks {
            on_status_change: urls[0].map(ToOwned::to_owned),
            on_finalize: urls[1].map(ToOwned::to_owned),
        };
        let start = start(&new);
        let idempotency_key = idempotency_key.map(|(key, other)| key_of_route(0, key, other));
        let created = self
            .store
            .create_job(tenant, new.clone(), link(), start, idempotency_key.clone(), self.now)
            .await
            .unwrap();
        if let Some(prior) = self.prior_request(tenant, idempotency_key.as_ref()) {
            let Creation::Prior(answer) = created else { panic!("{created:?}, not {prior:?}") };
            assert_eq!(answer, prior);
            return;
        }
        let known = name.as_ref().and_then(|name| self.names.get(&(tenant, name.clone())).copied());
        if known.is_none() && self.refuses(tenant, ms(start.from)) {
            assert!(matches!(created, Creation::NoMinutes(_)), "{created:?}");
            return;
        }
        if known.is_none() && self.queue_is_full(tenant) {
            assert!(matches!(created, Creation::QueueFull(_)), "{created:?}");
            return;
        }
        let (status, job) = match created {
            Creation::Existing(job) => {
                assert_eq!(known.map(|known| self.jobs[known].id), Some(job.id));
                (200, job)
            }
            Creation::Created(job) => {
                assert_eq!((known, job.id), (None, new.id));
                if let Some(name) = name {
                    self.names.insert((tenant, name), self.jobs.len());
                }
                self.jobs.push(ModelJob {
                    id: job.id,
                    tenant,
                    urls,
                    status: JobStatus::Queued,
                    end_reason: None,
                    cancelled_with_bot: false,
                    has_media: false,
                    recording: RecordingPhase::Off,
                    withheld: 0,
                    epoch: 0,
                    tokens: Vec::new(),
                    adopted: None,
                    handed_over: 0,
                    lease: None,
                    applied: 0,
                    run_at: ms(start.from),
                    start_by: ms(start.by),
                    deleted_at: None,
                    bytes: None,
                    in_meeting_ms: None,
                    in_meeting_at: None,
                    counted: false,
                    timeline: Vec::new(),
                    mix: None,
                    commands: Vec::new(),
                    deliveries: Vec::new(),
                });
                (201, job)
            }
            other => panic!("{other:?}"),
        };
        if let Some(idempotency_key) = idempotency_key {
            self.keep(tenant, idempotency_key, status, serde_json::to_string(&job).unwrap(), true);
        }
        self.compare_all().await;
    }

    /// What a key was used for, as long as that is kept.
    pub(super) fn prior_request(
        &self,
        tenant: Tenant,
        idempotency_key: Option<&IdempotencyKey>,
    ) -> Option<PriorRequest> {
        let idempotency_key = idempotency_key?;
        let kept = self.answers.get(&(tenant, idempotency_key.key.clone()))?;
        let wall = ms(self.now.wall);
        if kept.at <= wall - 24 * 60 * 60 * 1000 {
            None
        } else if kept.fingerprint != idempotency_key.fingerprint {
            Some(PriorRequest::Different)
        } else if kept.running_until > wall {
            Some(PriorRequest::Running)
        } else {
            Some(PriorRequest::Answered(kept.answer.clone()))
        }
    }

    pub(super) fn keep(
        &mut self,
        tenant: Tenant,
        idempotency_key: IdempotencyKey,
        status: u16,
        body: String,
        last: bool,
    ) {
        let at = ms(self.now.wall);
        let running_until = if last { 0 } else { at + RUNNING_MS };
        let answer = StoredResponse { status, body, ignored: idempotency_key.ignored };
        let kept =
            StoredAnswer { fingerprint: idempotency_key.fingerprint, at, running_until, answer };
        self.answers.insert((tenant, idempotency_key.key), kept);
    }

    pub(super) async fn cancel(&mut self, job: usize) {
        let model = &mut self.jobs[job];
        let bot_gets_command = model.cancel(self.now);
        self.store.cancel(model.tenant, model.id, self.now).await.unwrap().unwrap();
        if bot_gets_command {
            // Its id is not answered; the bot sees it.
            let bot = self.bots.iter().rfind(|bot| bot.job == job).unwrap();
            let commands = self.store.bot_commands(model.id, bot.epoch, bot.token, 0).await;
            let command = commands.unwrap().unwrap().pop().unwrap();
            assert_eq!(command.seq, model.commands.len() as u64 + 1);
            let (id, action) = (command.id, command.action);
            model.commands.push(ModelCommand { id, action, state: ControlState::Pending });
        }
        self.compare(job).await;
    }

    pub(super) async fn command(
        &mut self,
        job: usize,
        action: ControlAction,
        idempotency_key: Option<(u8, bool)>,
    ) {
        let ModelJob { id, tenant, .. } = self.jobs[job];
        let idempotency_key = idempotency_key.map(|(key, other)| key_of_route(1, key, other));
        let answer = self
            .store
            .command(tenant, id, action.clone(), None, idempotency_key.clone(), self.now)
            .await
            .unwrap();
        let prior = self.prior_request(tenant, idempotency_key.as_ref());
        let model = &mut self.jobs[job];
        match answer {
            CommandOutcome::Prior(answer) => assert_eq!(Some(answer), prior),
            CommandOutcome::InvalidState(_) => {
                assert!(prior.is_none() && !model.takes(&action), "{} {action}", model.status);
            }
            CommandOutcome::Accepted(command, shown) => {
                assert!(prior.is_none() && model.takes(&action), "{} {action}", model.status);
                assert_eq!(command.state, model.command(&action, self.now));
                let state = command.state.clone();
                model.commands.push(ModelCommand { id: command.id, action, state });
                if let Some(idempotency_key) = idempotency_key {
                    let body = serde_json::to_string(&command.result(&shown)).unwrap();
                    self.keep(tenant, idempotency_key, 202, body, false);
                }
            }
            CommandOutcome::NotFound => panic!("it is there"),
        }
        self.compare(job).await;
    }

    pub(super) async fn redeliver(
        &mut self,
        job: usize,
        delivery: usize,
        idempotency_key: Option<(u8, bool)>,
    ) {
        let tenant = self.jobs[job].tenant;
        let id = self.jobs[job].deliveries[delivery].id.unwrap();
        let idempotency_key = idempotency_key.map(|(key, other)| key_of_route(2, key, other));
        let answer =
            self.store.redeliver(tenant, id, idempotency_key.clone(), self.now).await.unwrap();
        match (answer, self.prior_request(tenant, idempotency_key.as_ref())) {
            (Redelivery::Prior(answer), Some(prior)) => assert_eq!(answer, prior),
            (Redelivery::Sent(shown), None) => {
                self.jobs[job].deliveries[delivery].redeliver(self.now);
                if let Some(idempotency_key) = idempotency_key {
                    let body = serde_json::to_string(&shown).unwrap();
                    self.keep(tenant, idempotency_key, 200, body, true);
                }
            }
            (answer, prior) => panic!("{answer:?}, not {prior:?}"),
        }
        self.compare(job).await;
    }
}
