//! One request that never gets an answer, so that whoever sent it can be killed right there.

use crate::http::Method;

/// Whether it is this request: by its method, its path and query, and its body.
type Takes = Box<dyn Fn(&Method, &str, &str) -> bool + Send>;

/// What holds the first request that it takes.
pub struct Trap {
    side: Side,
    takes: Takes,
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
    /// Holds the next request that `takes` says yes to: it gets the method, path and query, and the body.
    pub fn new(side: Side, takes: impl Fn(&Method, &str, &str) -> bool + Send + 'static) -> Self {
        Self {
            side,
            takes: Box::new(takes),
        }
    }

    pub(super) fn side(&self) -> Side {
        self.side
    }

    pub(super) fn takes(&self, method: &Method, uri: &str, body: &[u8]) -> bool {
        (self.takes)(method, uri, &String::from_utf8_lossy(body))
    }
}
