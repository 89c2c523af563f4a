//! One bot, one attempt: attends the meeting, finishes the recording, says how it ended.

use std::sync::Arc;

use meetbot_types::{
    Cause, Failure, FailureCode, LeaveReason,
    bot::{BotOrder, BotReport},
};
use reqwest::Client;
use rustls::ClientConfig;
use tokio_util::sync::CancellationToken;

use crate::{
    attend::{Attended, attend},
    clock,
    recording::{Counters, Recording, finalize::finalize},
    reporter::Reporter,
};

/// The attempt that gives a recording up which cannot be finalised. The server puts ten minutes between them before long, so that this is about a day.
const LAST_TRY: u32 = 150;

/// What bots connect with; all bots of a process may share it.
#[derive(Debug, Clone)]
pub struct Connect {
    /// To the orchestrator.
    pub http: Client,
    /// To meetings.
    pub tls: Arc<ClientConfig>,
}

/// Runs one bot to its end.
///
/// It speaks to the orchestrator over HTTP only. When the answer comes, either the job's end is acknowledged, or another attempt has
/// the job, or `stop` was asked for: then the bot leaves its files whole and its job unended, and the next attempt goes on.
pub async fn run(order: BotOrder, connect: Connect, stop: CancellationToken) {
    let counters = Counters::default();
    let reporter = Reporter::start(&order, connect.http.clone(), counters.clone());
    let (cause, was_in, denied) = if let Some(ending) = order.finalize.clone() {
        finish(&order, false, reporter, &stop, move |_| ending).await;
        return;
    } else {
        match attend(&order, &connect, &reporter, counters.clone(), &stop).await {
            Attended::Left { cause, recording, denied } => {
                // The last one, so that what is counted of all bots is whole.
                reporter.report(BotReport::Heartbeat { media: counters.get() });
                let was_in = recording.is_some();
                (leave(&reporter, cause, recording.map(|recording| *recording)), was_in, denied)
            }
            Attended::Stopped { recording } => {
                if let Some(recording) = recording
                    && let Err(error) = recording.abandon()
                {
                    tracing::error!(job = %order.job_id, %error, "files were not left whole");
                }
                reporter.report(BotReport::Heartbeat { media: counters.get() });
                reporter.finish(&stop).await;
                return;
            }
        }
    };
    finish(&order, was_in, reporter, &stop, move |has_media| cause.ending(has_media, denied)).await;
}

/// Says that the bot leaves, and ends its files. A file that cannot be ended is a failure, unless there was one already.
fn leave(reporter: &Reporter, cause: Cause, recording: Option<Recording>) -> Cause {
    let (reason, failure) = match &cause {
        Cause::Left(reason) => (Some(reason.clone()), None),
        Cause::Requested => (Some(LeaveReason::Requested), None),
        Cause::Cancelled => (Some(LeaveReason::Cancelled), None),
        Cause::Removed => (Some(LeaveReason::Removed), None),
        Cause::Failed(failure) => (None, Some(failure.clone())),
    };
    // A bot that never was in has nothing to finalise: its end says it all.
    if recording.is_some() || failure.is_none() {
        reporter.report(BotReport::Leaving { reason: reason.clone(), failure });
    }
    match recording.map(|recording| recording.close(clock::now(), reason)) {
        Some(Err(error)) if !matches!(cause, Cause::Failed(_)) => cannot_write(&error),
        _ => cause,
    }
}

/// The recording cannot be written.
pub(crate) fn cannot_write(error: &std::io::Error) -> Cause {
    let detail = match error.kind() {
        std::io::ErrorKind::StorageFull => {
            "the disk is full; what was recorded until then is kept".to_owned()
        }
        _ => format!("the recording cannot be written: {error}"),
    };
    Cause::Failed(Failure::new(FailureCode::InternalError, detail))
}

async fn finish(
    order: &BotOrder,
    was_in: bool,
    reporter: Reporter,
    stop: &CancellationToken,
    end: impl FnOnce(bool) -> meetbot_types::Ending + Send + 'static,
) {
    if reporter.superseded.is_cancelled() {
        return;
    }
    let (work, until) = (order.clone(), stop.clone());
    let span = tracing::Span::current();
    let finalized =
        tokio::task::spawn_blocking(move || span.in_scope(|| finalize(&work, was_in, &until, end)))
            .await;
    let ended = match finalized {
        // The next server's bot does it: this one has said that it leaves.
        Ok(Ok(None)) => return reporter.finish(stop).await,
        Ok(Ok(Some(finalized))) => BotReport::Ended {
            ending: finalized.ending,
            manifest_uri: finalized.manifest_uri,
            duration_ms: finalized.duration_ms,
            paused_ms: finalized.paused_ms,
        },
        failed => {
            let error = match failed {
                Ok(Err(error)) => error,
                Err(error) => std::io::Error::other(error),
                Ok(Ok(_)) => unreachable!("handled above"),
            };
            tracing::error!(job = %order.job_id, %error, "a recording cannot be finalised");
            // The next attempt tries again: a disk that is full may have room tomorrow.
            if order.epoch < LAST_TRY {
                return reporter.last_words().await;
            }
            let ending = cannot_write(&error).ending(true, false);
            BotReport::Ended { ending, manifest_uri: None, duration_ms: 0, paused_ms: 0 }
        }
    };
    reporter.report(ended);
    reporter.finish(stop).await;
}
