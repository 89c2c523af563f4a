//! `meetbot usage`: what the key's consumer has used.

use std::process::ExitCode;

use meetbot::Usage;

use crate::{
    connection::Connection,
    output::{Output, known},
};

/// Shows it.
pub(crate) async fn run(connection: &Connection, output: Output) -> anyhow::Result<ExitCode> {
    let usage: Usage = connection.client()?.usage().await?;
    output.object(&usage)?;
    let of = |used: u64, limit: Option<u64>| match limit {
        Some(limit) => format!("{used} of {limit}"),
        None => format!("{used}, without a limit"),
    };
    output.line(format_args!("bots now: {}", of(usage.bots, usage.max_bots)));
    output.line(format_args!(
        "minutes in {}: {}",
        known(usage.month.as_ref()),
        of(usage.minutes, usage.max_minutes)
    ));
    let queued = of(usage.queued_jobs, usage.max_queued_jobs);
    output.line(format_args!("jobs in the queue: {queued}"));
    Ok(ExitCode::SUCCESS)
}
