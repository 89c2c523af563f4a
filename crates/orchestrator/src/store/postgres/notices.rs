//! Notifications between the servers of a database, by LISTEN and NOTIFY after the commit; and the one query that finds what a lost notification was about.

use std::{
    collections::HashMap, convert::Infallible, future::poll_fn, sync::atomic::Ordering,
    time::Duration,
};

use meetbot_types::JobId;
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tokio_postgres::AsyncMessage;

use super::{
    OpenError, PostgresStore, describe,
    values::{parsed, text},
};
use crate::store::{Result, StoreError};

const CHANNEL: &str = "meetbot";
/// How often a server sends a notification to itself, to see that it would receive one.
const PING: Duration = Duration::from_secs(5);

/// What a server that listens hears.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It listens from now on: what was sent before, it did not hear.
    Began,
    /// Another server has sent this.
    Notice(String),
}

/// Why nothing is heard any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Deaf {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{0}")]
    Lost(String),
}

impl PostgresStore {
    /// Whether other servers may work on the database beside this one.
    pub(crate) fn may_have_others(&self) -> bool {
        self.member.bucket.is_some()
    }

    /// Whether this server is notified of what others change.
    pub(crate) fn is_notified(&self) -> bool {
        self.servers.hears.load(Ordering::Relaxed)
    }

    /// Notifies the other servers. `what` has at most 7,900 bytes.
    pub(crate) async fn send_notice(&self, what: &str) -> Result<()> {
        let client = self.connections.any().await.map_err(StoreError::Unavailable)?;
        let text = format!("{} {what}", self.member.boot);
        let sent = client.execute("SELECT pg_notify($1, $2)", &[&CHANNEL, &text]).await;
        sent.map(drop).map_err(|error| StoreError::Unavailable(describe(&error)))
    }

    /// Listens on a separate connection until that is lost.
    pub(crate) async fn listen(
        &self,
        heard: impl Fn(Heard) + Send + Sync,
    ) -> std::result::Result<Infallible, Deaf> {
        let deaf = self.listened(heard).await;
        self.servers.hears.store(false, Ordering::Relaxed);
        deaf
    }

    async fn listened(
        &self,
        heard: impl Fn(Heard) + Send + Sync,
    ) -> std::result::Result<Infallible, Deaf> {
        let late = |_| Deaf::Lost("the database does not answer".to_owned());
        let lost = |error: tokio_postgres::Error| Deaf::Lost(describe(&error));
        let (config, tls) = self.url.config()?;
        let connected = tokio::time::timeout(PING, config.connect(tls)).await.map_err(late)?;
        let (client, mut connection) = connected.map_err(lost)?;
        let (sender, mut notices) = mpsc::unbounded_channel();
        // It ends with the client.
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await
            {
                if let AsyncMessage::Notification(notice) = message
                    && sender.send(notice.payload().to_owned()).is_err()
                {
                    return;
                }
            }
        });
        let listen = format!("LISTEN {CHANNEL}");
        let listens = tokio::time::timeout(PING, client.batch_execute(&listen)).await;
        listens.map_err(late)?.map_err(lost)?;
        self.servers.hears.store(true, Ordering::Relaxed);
        heard(Heard::Began);
        let boot = &self.member.boot;
        let ping = format!("NOTIFY {CHANNEL}, '{boot}'");
        let mut pings = tokio::time::interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_awaited = false;
        loop {
            tokio::select! {
                notice = notices.recv() => match notice {
                    None => return Err(Deaf::Lost("the connection was closed".to_owned())),
                    Some(notice) if notice == *boot => is_awaited = false,
                    Some(notice) => if let Some(what) = of_another(&notice, boot) {
                        heard(Heard::Notice(what.to_owned()));
                    },
                },
                _ = pings.tick() => {
                    if is_awaited {
                        return Err(Deaf::Lost("notifications do not arrive on this connection".to_owned()));
                    }
                    is_awaited = true;
                    let sent = tokio::time::timeout(PING, client.batch_execute(&ping)).await;
                    sent.map_err(late)?.map_err(lost)?;
                }
            }
        }
    }

    /// A mark for each of these jobs that is there; it is another one after each change.
    pub(crate) async fn marks(&self, jobs: Vec<JobId>) -> Result<HashMap<JobId, String>> {
        let jobs: Vec<String> = jobs.iter().map(ToString::to_string).collect();
        self.connections
            .read(jobs, |it, jobs| {
                Box::pin(async move {
                    let rows = it
                        .rows(
                            "SELECT id, concat_ws(' ', xmin, (SELECT count(*) FROM commands WHERE job = jobs.id),
                                (SELECT max(xmin::TEXT::BIGINT) FROM zoom_streams WHERE job = jobs.id))
                             FROM jobs WHERE id = ANY ($1)",
                            &[jobs],
                        )
                        .await?;
                    rows.iter().map(|row| Ok((parsed(row, 0, "a job's id")?, text(row, 1)?))).collect()
                })
            })
            .await
    }
}

/// What another server has sent; `None`: this one did.
fn of_another<'a>(notice: &'a str, boot: &str) -> Option<&'a str> {
    let (sender, what) = notice.split_once(' ')?;
    (sender != boot).then_some(what)
}

#[cfg(test)]
mod tests {
    use super::of_another;

    #[test]
    fn a_server_ignores_its_own_notices_and_pings() {
        assert_eq!(of_another("one job_1 job_2", "two"), Some("job_1 job_2"));
        assert_eq!(of_another("one job_1", "one"), None);
        assert_eq!(of_another("one", "two"), None);
    }
}
