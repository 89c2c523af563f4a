//! `meetbot platforms`: which platforms the server's bots can join.

use std::process::ExitCode;

use meetbot::PlatformAvailability;

use crate::{
    connection::Connection,
    output::{Output, known, table},
};

const COLUMNS: [&str; 4] = ["platform", "via", "joinable", "missing"];

/// Lists them.
pub(crate) async fn run(connection: &Connection, output: Output) -> anyhow::Result<ExitCode> {
    let platforms = connection.client()?.list_platforms().await?.data;
    for platform in &platforms {
        output.object(platform)?;
    }
    let rows: Vec<Vec<String>> = platforms.iter().map(|platform| row(platform).into()).collect();
    output.lines(table(&COLUMNS, &rows));
    Ok(ExitCode::SUCCESS)
}

fn row(platform: &PlatformAvailability) -> [String; 4] {
    let joinable = match (platform.joinable, platform.experimental) {
        (true, true) => "yes, experimental",
        (true, false) => "yes",
        (false, _) => "no",
    };
    let missing = platform.missing.iter().filter_map(|missing| missing.message.as_deref());
    [
        platform.platform.to_string(),
        known(platform.via.as_ref()),
        joinable.to_owned(),
        missing.collect::<Vec<_>>().join("; "),
    ]
}
