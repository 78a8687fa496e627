//! The `pullkeeper` binary.
fn main() {}
