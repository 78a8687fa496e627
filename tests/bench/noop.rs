//! The least that a static program can do: start and end. Built by `tests/bench/run` with rustc alone.
fn main() {}
