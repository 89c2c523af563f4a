//! A database that was restored with `--paused`: until it is resumed, no job gets a bot, nothing is sent, and nothing is deleted for its age.

use meetbot_types::Timestamp;

use super::{Outcome, transaction::Transaction, values::optional_time};

pub(super) async fn since(transaction: &Transaction) -> Outcome<Option<Timestamp>> {
    optional_time(&transaction.one("SELECT min(since) FROM paused", &[]).await?, 0)
}

pub(super) async fn is(transaction: &Transaction) -> Outcome<bool> {
    Ok(since(transaction).await?.is_some())
}

pub(super) async fn begin(transaction: &Transaction, now: Timestamp) -> Outcome<()> {
    transaction.run("INSERT INTO paused (since) VALUES ($1)", &[&now.as_millis()]).await?;
    Ok(())
}

pub(super) async fn end(transaction: &Transaction) -> Outcome<bool> {
    Ok(transaction.run("DELETE FROM paused", &[]).await? > 0)
}
