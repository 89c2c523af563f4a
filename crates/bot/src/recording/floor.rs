//! The least of a value over the last seconds, in constant time and memory. Pure.

/// How many buckets the window has: 20 s.
const BUCKETS: usize = 10;

/// The least value of each of the last buckets.
#[derive(Debug)]
pub(crate) struct Floor {
    least: [Option<i64>; BUCKETS],
    current: i64,
    /// What it was when the window was last not empty.
    level: i64,
}

impl Default for Floor {
    fn default() -> Self {
        Self { least: [None; BUCKETS], current: 0, level: 0 }
    }
}

impl Floor {
    /// How long a bucket is.
    pub(crate) const BUCKET_MS: i64 = 2_000;

    /// Forgets all, and begins with a value.
    pub(crate) fn reset(&mut self, bucket: i64, value: i64) {
        *self = Self { current: bucket, level: value, ..Self::default() };
        self.push(bucket, value);
    }

    /// Takes a value of a bucket; buckets are counted from 0 and do not go back.
    pub(crate) fn push(&mut self, bucket: i64, value: i64) {
        let passed = usize::try_from(bucket - self.current).unwrap_or(0);
        self.current = self.current.max(bucket);
        let index = Self::index(self.current);
        for back in 0..passed.min(BUCKETS) {
            self.least[(index + BUCKETS - back) % BUCKETS] = None;
        }
        let least = &mut self.least[index];
        *least = Some(least.map_or(value, |least| least.min(value)));
        self.level = self.least.iter().flatten().min().copied().unwrap_or(value);
    }

    /// The least of the window.
    pub(crate) const fn least(&self) -> i64 {
        self.level
    }

    /// Whether there is a value in each bucket.
    pub(crate) fn is_full(&self) -> bool {
        self.least.iter().all(Option::is_some)
    }

    fn index(bucket: i64) -> usize {
        usize::try_from(bucket).unwrap_or(0) % BUCKETS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_is_that_of_the_last_buckets() {
        let mut floor = Floor::default();
        floor.reset(7, 3);
        for bucket in 7..16 {
            floor.push(bucket, 10);
            assert_eq!((floor.least(), floor.is_full()), (3, false));
        }
        floor.push(16, 12);
        assert_eq!((floor.least(), floor.is_full()), (3, true));
        floor.push(17, 12);
        assert_eq!((floor.least(), floor.is_full()), (10, true));
        floor.push(17, 4);
        assert_eq!(floor.least(), 4);
        floor.push(1_000_000, 9);
        assert_eq!((floor.least(), floor.is_full()), (9, false));
        floor.push(3, 8);
        assert_eq!(floor.least(), 8, "a bucket of the past is the current one");
    }
}
