//! One request that never gets an answer, so that whoever sent it can be killed right there.

use crate::http::Method;

/// Which request it is: the next one with all of these.
#[derive(Clone, Debug)]
pub struct Trap {
    /// Its method.
    pub method: Method,
    /// A part of its path and query.
    pub uri: &'static str,
    /// A part of its body.
    pub body: &'static str,
    /// When it is held.
    pub side: Side,
}

/// On which side of the API server a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before the API server has seen it.
    Before,
    /// After it has done what was asked.
    After,
}

impl Trap {
    pub(super) fn takes(&self, method: &Method, uri: &str, body: &[u8]) -> bool {
        *method == self.method
            && uri.contains(self.uri)
            && String::from_utf8_lossy(body).contains(self.body)
    }
}
