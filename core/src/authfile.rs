//! Registry auth files: the document, its validation, merge and rendering.

pub mod base64;
mod check;
pub mod credential;
mod document;
mod entry;
mod finding;
mod join;
pub mod key;
mod ledger;
mod merge;
mod pair;
mod render;
mod shape;

pub use credential::Credential;
pub use document::{Checked, Document};
pub use entry::Entry;
pub use finding::{Finding, Reason, Severity};
pub use join::{Contribution, Wanted};
pub use key::Key;
pub use ledger::{HashKey, Ledger, LedgerError};
pub use merge::{Changes, Foreign, Merged, Rules, merge};
pub use shape::Shape;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
