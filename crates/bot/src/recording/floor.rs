//! The minimum of a value in a sliding window, in constant time and memory. Pure.

/// How many buckets the window has: 20 s.
const BUCKETS: usize = 10;

/// The minimum of each of the last buckets.
#[derive(Debug)]
pub(crate) struct Floor {
    least: [Option<i64>; BUCKETS],
    current: i64,
    /// The minimum when the window was last not empty.
    level: i64,
}

impl Default for Floor {
    fn default() -> Self {
        Self { least: [None; BUCKETS], current: 0, level: 0 }
    }
}

impl Floor {
    /// The length of a bucket.
    pub(crate) const BUCKET_MS: i64 = 2_000;

    /// Clears the window, and adds a value.
    pub(crate) fn reset(&mut self, bucket: i64, value: i64) {
        *self = Self { current: bucket, level: value, ..Self::default() };
        self.push(bucket, value);
    }

    /// Adds a value to a bucket. Buckets are counted from 0; a smaller number than the last counts as the last.
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

    /// The minimum of the window.
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
    fn the_minimum_covers_the_last_buckets() {
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
