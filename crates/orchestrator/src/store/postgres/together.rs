//! Statements of one transaction that are sent together, without waiting for each other's response.
//!
//! After a statement that fails PostgreSQL refuses the next ones with 25P02, and such a refusal may be read first. So all responses are waited for, and the reason is an error of another kind.

use futures_util::future::{join, join_all};
use tokio_postgres::error::SqlState;

use super::{Outcome, Problem};

/// What two statements, or two groups of them, give.
pub(super) async fn both<A, B>(
    one: impl Future<Output = Outcome<A>>,
    other: impl Future<Output = Outcome<B>>,
) -> Outcome<(A, B)> {
    match join(one, other).await {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(one), Err(other)) => Err(if is_refusal(&one) { other } else { one }),
        (Err(problem), Ok(_)) | (Ok(_), Err(problem)) => Err(problem),
    }
}

/// What statements give, in their order.
pub(super) async fn all<T>(
    statements: impl IntoIterator<Item = impl Future<Output = Outcome<T>>>,
) -> Outcome<Vec<T>> {
    let (mut given, mut reason) = (Vec::new(), None);
    for outcome in join_all(statements).await {
        match outcome {
            Ok(value) => given.push(value),
            Err(problem) if reason.as_ref().is_none_or(is_refusal) => reason = Some(problem),
            Err(_) => {}
        }
    }
    reason.map_or(Ok(given), Err)
}

/// Whether a statement was refused because another one had failed.
fn is_refusal(problem: &Problem) -> bool {
    matches!(problem, Problem::Sql(error) if error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION))
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, TryFutureExt as _};

    use super::*;
    use crate::store::{
        PostgresStore, StoreError,
        postgres::{
            backend::Database,
            races,
            transaction::{Caller, Transaction, Work},
        },
    };

    async fn divide(transaction: &Transaction, by: i32, is_later: bool) -> Outcome<u64> {
        if is_later {
            tokio::task::yield_now().await;
        }
        transaction.run("SELECT 1 / $1::int", &[&by]).await
    }

    #[tokio::test]
    async fn the_reason_of_a_failure_is_the_statement_that_failed() {
        let server = races::server();
        let database = Database::new(&server.socket());
        let store = PostgresStore::open(&races::url(&database)).await.unwrap();
        let works: [Work<(), ()>; 2] = [
            |it, ()| both(divide(it, 1, true), divide(it, 0, false)).map_ok(drop).boxed(),
            |it, ()| all([divide(it, 1, true), divide(it, 0, false)]).map_ok(drop).boxed(),
        ];
        for work in works {
            let failed = store.connections.write(Caller::Other, None, (), work).await;
            let Err(StoreError::Unavailable(reason)) = failed else { panic!("{failed:?}") };
            assert!(reason.contains("22012"), "{reason}");
        }
    }
}
