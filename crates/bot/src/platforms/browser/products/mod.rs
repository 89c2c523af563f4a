//! The products that are joined with a browser, a folder each.

pub(crate) mod google_meet;
