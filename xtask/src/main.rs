//! The project's own commands: test, check, update, bench.
fn main() {}
