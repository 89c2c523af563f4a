//! A bot whose claim the database has forgotten: a replica was promoted that did not have it yet. The bot keeps its job if it can prove the claim and has all of
//! its reports.

use meetbot_types::{
    JobId,
    bot::{IngestAnswer, NumberedReport, Secret},
    signature,
};

use super::{
    change::Changes,
    record::JobRecord,
    report::{Recorded, Reported},
};
use crate::clock::StoreNow;

/// What a bot shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotCredentials {
    /// The SHA-256 of its token.
    pub token_hash: [u8; 32],
    /// The signature of its claim; `None` for a bot that an older server has launched.
    pub claim_signature: Option<String>,
}

impl From<[u8; 32]> for BotCredentials {
    fn from(token_hash: [u8; 32]) -> Self {
        Self { token_hash, claim_signature: None }
    }
}

impl BotCredentials {
    /// Whether a store with this secret has given this attempt at this job to the bot.
    pub(crate) fn prove_claim(&self, secret: &Secret, job: JobId, epoch: u32) -> bool {
        let Some(shown) = &self.claim_signature else { return false };
        sign_claim(secret, job, epoch, &self.token_hash).is(shown.as_bytes())
    }
}

/// Signs that an attempt at a job was given to the bot that shows the token with this SHA-256.
pub(crate) fn sign_claim(secret: &Secret, job: JobId, epoch: u32, token_hash: &[u8; 32]) -> Secret {
    let mut claim = format!("{job}.{epoch}.").into_bytes();
    claim.extend(token_hash);
    Secret::new(signature::hmac_sha256(secret.expose().as_bytes(), &claim))
}

impl JobRecord {
    /// Whether a bot that proves its claim of this attempt is adopted. The attempt is later than all that are known: the bot that is known, if any, was lost before
    /// that claim. A job whose end is decided is only finalised, for which the next bot is as good.
    pub(crate) fn adopts(&self, epoch: u32) -> bool {
        epoch > self.epoch
            && !self.job.status.is_final()
            && !self.is_uploading()
            && self.cause.is_none()
    }

    /// Applies the reports of a bot that [`JobRecord::adopts`], after its claim. Without the first of them nothing changes, and the answer asks for it.
    pub(crate) fn adopt(
        &mut self,
        epoch: u32,
        reports: &[NumberedReport],
        token_hash: [u8; 32],
        recorded: &Recorded,
        now: StoreNow,
    ) -> (Reported, Option<Changes>) {
        let Some(first) = reports.first().filter(|first| first.seq == 1) else {
            let nothing = IngestAnswer { acknowledged: 0, ..self.acknowledged() };
            return (Reported::Applied(nothing), None);
        };
        let changes = self.change(first.at.min(now.wall), |change| {
            if change.record.lease_until.is_some() {
                change.lose_bot();
            }
            change.begin_attempt(epoch, token_hash, now);
            change.apply_all(reports, recorded, now);
        });
        (Reported::Applied(self.acknowledged()), Some(changes))
    }
}
