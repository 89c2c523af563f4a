//! Which jobs a claim may take, as a condition in SQL. Pure.

use meetbot_types::{Labels, work::Pool};

use super::quota::in_browser;

/// The jobs that one who asks for a job may take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Eligible {
    pool: Option<Pool>,
    /// The labels of consumers whose jobs are for others.
    withheld: Vec<Labels>,
}

impl Eligible {
    /// Those for bots of a pool (`None`: of any) on a worker with these labels. `required` has the labels of all consumers that require some.
    pub(crate) fn new(
        pool: Option<Pool>,
        labels: &Labels,
        required: impl IntoIterator<Item = Labels>,
    ) -> Self {
        let withheld = required.into_iter().filter(|required| !labels.include(required)).collect();
        Self { pool, withheld }
    }

    /// The condition on a row of `jobs`, to be added to others; nothing where it may be any.
    pub(crate) fn and_job(&self) -> String {
        self.and_pool() + &self.and_consumer()
    }

    /// The same on any row of a consumer, whatever its jobs are.
    pub(crate) fn and_consumer(&self) -> String {
        if self.withheld.is_empty() {
            return String::new();
        }
        // No label contains a quote.
        let withheld: Vec<_> = self.withheld.iter().map(|labels| format!("'{labels}'")).collect();
        format!(
            " AND consumer NOT IN (SELECT id FROM consumers WHERE worker_labels IN ({}))",
            withheld.join(", ")
        )
    }

    /// The condition that a tenant `t` has a job of the pool that is due; nothing where it may be of any. `waiting` is the condition on the job.
    pub(crate) fn and_tenant_has(&self, waiting: &str) -> String {
        if self.pool.is_none() {
            return String::new();
        }
        let of_pool = self.and_pool();
        format!(
            " AND EXISTS (SELECT 1 FROM jobs WHERE consumer = t.consumer AND live = t.live AND {waiting}{of_pool})"
        )
    }

    fn and_pool(&self) -> String {
        match self.pool {
            None => String::new(),
            Some(Pool::Browser) => format!(" AND {}", in_browser()),
            Some(Pool::Native) => format!(" AND NOT {}", in_browser()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        text.parse().unwrap()
    }

    #[test]
    fn a_claim_has_no_condition_where_it_may_take_any_job() {
        let required = [labels("eu"), labels("eu,net=fast")];
        for eligible in [
            Eligible::default(),
            Eligible::new(None, &labels("us"), []),
            Eligible::new(None, &labels("eu,net=fast,us"), required.clone()),
        ] {
            assert_eq!(eligible.and_job() + &eligible.and_consumer(), "", "{eligible:?}");
            assert_eq!(eligible.and_tenant_has("true"), "");
        }
        let eligible = Eligible::new(None, &labels("eu"), required);
        let condition = " AND consumer NOT IN (SELECT id FROM consumers WHERE worker_labels IN ('eu,net=fast'))";
        assert_eq!(eligible.and_job(), condition);
        assert_eq!(eligible.and_consumer(), condition);
    }
}
