//! One task, one meeting: joins, records, decides when to leave, reports.
