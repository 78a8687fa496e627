//! The protocols by which clients execute the helper: what stands on standard input, and what to print.
//!
//! Both are pure, so that the helper and `pullkeeper exchange` say the same to the letter.

pub mod docker;
pub mod kubelet;

use std::fmt;

use zeroize::Zeroizing;

/// How a helper ends: what it prints, and its exit status.
#[derive(Clone, PartialEq, Eq)]
pub struct Output {
    /// For the client. May hold a credential, and then the status is 0: on failure clients quote it in their errors.
    pub stdout: Zeroizing<String>,
    /// For people; may be empty. Holds no credential.
    pub stderr: String,
    /// The exit status.
    pub status: u8,
}

impl Output {
    fn success(stdout: String) -> Self {
        Self {
            stdout: Zeroizing::new(stdout),
            stderr: String::new(),
            status: 0,
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// One line of bounded length without control characters, fit for any client's error text.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 512;
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST)
        .collect()
}
