//! The products that are joined with a browser, one folder each.

pub(crate) mod google_meet;
