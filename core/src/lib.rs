//! Pure decisions of Pullkeeper.

pub mod authfile;
