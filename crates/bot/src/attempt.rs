//! One attempt, from its order to its end: attends the meeting, finishes the recording, reports how it ended.

use std::io;

use meetbot_types::{
    Cause, LeaveReason,
    bot::{BotOrder, BotReport, LAST_ATTEMPT, spool_uri},
};
use tokio::{sync::Semaphore, task::JoinError};
use tokio_util::sync::CancellationToken;

use crate::{
    attend::{Attended, attend},
    clock,
    connect::Connect,
    recording::{Counters, Recording, failure::cannot_write, finalize::finalize},
    reporter::Reporter,
};

/// How many recordings the bots of a process finalise at the same time. If two hundred meetings end at the full hour, this bounds the load on the disk and
/// leaves threads for other work.
static FINISHING: Semaphore = Semaphore::const_new(8);

/// Runs one bot to its end.
///
/// It speaks to the orchestrator over HTTP only. It returns when the job's end is acknowledged, or another attempt has
/// the job, or `stop` was requested: then the bot leaves its files whole and its job unfinished, and the next attempt continues.
pub async fn run(order: BotOrder, connect: Connect, stop: CancellationToken) {
    let counters = Counters::default();
    let reporter = Reporter::start(&order, &connect, counters.clone(), &stop);
    let (cause, was_in, denied) = if let Some(ending) = order.finalize.clone() {
        finish(&order, false, reporter, &stop, move |_| ending).await;
        return;
    } else {
        match attend(&order, &connect, &reporter, counters.clone(), &stop).await {
            Attended::Left { cause, recording, consent_revoked: true, .. } => {
                delete_recording(
                    &order,
                    cause,
                    recording.map(|recording| *recording),
                    reporter,
                    &stop,
                )
                .await;
                return;
            }
            Attended::Left { cause, recording, denied, consent_revoked: false } => {
                // Add the last counts, so that the totals over all bots are complete.
                reporter.report(BotReport::Heartbeat { media: counters.get() });
                let was_in = recording.is_some();
                (
                    leave(&reporter, cause, recording.map(|recording| *recording)).await,
                    was_in,
                    denied,
                )
            }
            Attended::Stopped { recording } => {
                // Its server stops, unless another attempt has the job already.
                let handed_over = (!reporter.superseded.is_cancelled()).then(clock::now);
                if let Some(recording) = recording
                    && let Err(error) = on_disk(move || recording.abandon(handed_over))
                        .await
                        .unwrap_or_else(panicked)
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

/// Reports that the bot leaves, and closes its files. A file that cannot be closed is a failure, unless there was one already.
async fn leave(reporter: &Reporter, cause: Cause, recording: Option<Recording>) -> Cause {
    let (reason, failure) = match &cause {
        Cause::Left(reason) => (Some(reason.clone()), None),
        Cause::Requested => (Some(LeaveReason::Requested), None),
        Cause::Cancelled => (Some(LeaveReason::Cancelled), None),
        Cause::Removed => (Some(LeaveReason::Removed), None),
        Cause::Failed(failure) => (None, Some(failure.clone())),
    };
    // A bot that was never admitted has nothing to finalise, and reports only its end.
    if recording.is_some() || failure.is_none() {
        reporter.report(BotReport::Leaving { reason: reason.clone(), failure });
    }
    let Some(recording) = recording else { return cause };
    let now = clock::now();
    match on_disk(move || recording.close(now, reason)).await.unwrap_or_else(panicked) {
        Err(error) if !matches!(cause, Cause::Failed(_)) => cannot_write(&error),
        _ => cause,
    }
}

/// Deletes the recording because the host withdrew the consent, and then reports it: if the bot dies in between, the job's next bot does the same.
async fn delete_recording(
    order: &BotOrder,
    cause: Cause,
    recording: Option<Recording>,
    reporter: Reporter,
    stop: &CancellationToken,
) {
    if reporter.superseded.is_cancelled() {
        return;
    }
    let folder = order.folder.clone();
    let deleted = on_disk(move || {
        drop(recording);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    });
    if let Err(error) = deleted.await.unwrap_or_else(panicked) {
        // The orchestrator deletes the remaining files.
        tracing::error!(job = %order.job_id, %error, "files of a recording without consent are not deleted");
    }
    reporter.report(BotReport::Ended {
        ending: cause.ending(false, false),
        manifest_uri: None,
        duration_ms: 0,
        paused_ms: 0,
        consent_revoked: true,
    });
    reporter.finish(stop).await;
}

/// Runs file work on a blocking thread, once one of the [`FINISHING`] permits is free.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    // The semaphore is never closed.
    let _turn = FINISHING.acquire().await;
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work)).await
}

fn panicked<T>(error: JoinError) -> io::Result<T> {
    Err(io::Error::other(error))
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
    let finalized = on_disk(move || finalize(&work, was_in, &until, end)).await;
    let ended = match finalized.unwrap_or_else(panicked) {
        // Stopped: the next attempt finalises. This bot has already reported that it leaves.
        Ok(None) => return reporter.finish(stop).await,
        Ok(Some(finalized)) => BotReport::Ended {
            ending: finalized.ending,
            manifest_uri: finalized.manifest_uri.map(|uri| match &order.spool {
                Some(spool) => spool_uri(spool, order.job_id, order.epoch),
                None => uri,
            }),
            duration_ms: finalized.duration_ms,
            paused_ms: finalized.paused_ms,
            consent_revoked: false,
        },
        Err(error) => {
            tracing::error!(job = %order.job_id, %error, "a recording cannot be finalised");
            // The next attempt tries again: a full disk may have room later.
            if order.epoch < LAST_ATTEMPT {
                return reporter.flush_with_timeout().await;
            }
            let ending = cannot_write(&error).ending(true, false);
            BotReport::Ended {
                ending,
                manifest_uri: None,
                duration_ms: 0,
                paused_ms: 0,
                consent_revoked: false,
            }
        }
    };
    reporter.report(ended);
    reporter.finish(stop).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn many_slow_finalisations_leave_threads_for_other_work() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(16)
            .enable_all()
            .build()
            .unwrap();
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let finishing: Vec<_> = (0..200)
            .map(|_| {
                let gate = Arc::clone(&gate);
                runtime.spawn(on_disk(move || gate.lock().unwrap().recv()))
            })
            .collect();
        runtime.block_on(async {
            let other = tokio::task::spawn_blocking(|| "done");
            let patience = std::time::Duration::from_secs(20);
            let answered = tokio::time::timeout(patience, other).await;
            // Before any assertion: the runtime's drop waits for its threads.
            drop(open);
            assert_eq!(answered.expect("a thread is left").unwrap(), "done");
            for one in finishing {
                let _ = one.await.unwrap().unwrap();
            }
        });
    }
}
