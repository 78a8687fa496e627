//! What the API server says to an eviction.

use std::time::Duration;

use super::blocker::clipped;

/// After a lost race for a budget, where the server does not say how long to wait.
const RACE: Duration = Duration::from_secs(10);

/// What became of an eviction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The pod has been told to end, and is there until it has.
    Accepted,
    /// There is no such pod.
    Gone,
    /// Another pod has this name now. If a budget was asked it has lost one disruption to this, for two minutes.
    Replaced,
    /// A budget allows nobody to go, or nobody has counted its pods yet.
    Budget {
        /// When to ask again, if the server says so.
        retry_after: Option<Duration>,
    },
    /// The server has too much to do.
    Busy {
        /// When to ask again, if the server says so.
        retry_after: Option<Duration>,
    },
    /// The pod has more than one budget.
    TooManyBudgets,
    /// Others have changed the budget all the time.
    Raced {
        /// When to ask again.
        retry_after: Duration,
    },
    /// No eviction is ever made in this namespace again.
    NamespaceTerminating,
    /// Somebody has said no: an admission webhook or policy, or the server itself.
    Refused {
        /// Why.
        message: String,
    },
    /// Nobody can tell whether it was done.
    Unanswered,
}

/// A `Status` that says no, as the API server sends it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failure<'a> {
    /// The HTTP status.
    pub code: u16,
    /// `message`.
    pub message: &'a str,
    /// `details.causes`, of each the `reason`.
    pub causes: &'a [&'a str],
    /// `details.retryAfterSeconds`.
    pub retry_after_seconds: u32,
}

impl Answer {
    /// What a refusal means.
    pub fn of(failure: &Failure<'_>) -> Self {
        let refused = || Self::Refused {
            message: clipped(failure.message),
        };
        // Webhooks choose their codes themselves, which mean nothing but no.
        if failure.message.starts_with("admission webhook") {
            return refused();
        }
        let has = |cause| failure.causes.contains(&cause);
        let seconds = Duration::from_secs(failure.retry_after_seconds.into());
        let retry_after = (!seconds.is_zero()).then_some(seconds);
        match failure.code {
            403 if has("NamespaceTerminating") => Self::NamespaceTerminating,
            404 => Self::Gone,
            409 => Self::Replaced,
            429 if has("DisruptionBudget") => Self::Budget { retry_after },
            429 => Self::Busy { retry_after },
            500 if failure
                .message
                .contains("more than one PodDisruptionBudget") =>
            {
                Self::TooManyBudgets
            }
            504 if failure.message.contains("PodDisruptionBudget") => Self::Raced {
                retry_after: retry_after.unwrap_or(RACE),
            },
            // Said by something in between, or by a server that has given up waiting.
            408 | 502..=504 => Self::Unanswered,
            _ => refused(),
        }
    }

    /// One word for machines.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Gone => "gone",
            Self::Replaced => "replaced",
            Self::Budget { .. } => "budget",
            Self::Busy { .. } => "busy",
            Self::TooManyBudgets => "many_budgets",
            Self::Raced { .. } => "raced",
            Self::NamespaceTerminating => "namespace_terminating",
            Self::Refused { .. } => "refused",
            Self::Unanswered => "unanswered",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: u16, message: &str, causes: &[&str], retry_after_seconds: u32) -> Answer {
        Answer::of(&Failure {
            code,
            message,
            causes,
            retry_after_seconds,
        })
    }

    #[test]
    fn answers_are_told_apart() {
        let budget = "Cannot evict pod as it would violate the pod's disruption budget.";
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(of(404, "pods \"a\" not found", &[], 0), Answer::Gone);
        assert_eq!(
            of(409, "the UID in the precondition", &[], 0),
            Answer::Replaced
        );
        let got = of(429, budget, &["DisruptionBudget"], 0);
        assert_eq!(got, Answer::Budget { retry_after: None });
        let got = of(429, budget, &["x", "DisruptionBudget"], 10);
        let retry_after = seconds(10);
        assert_eq!(got, Answer::Budget { retry_after });
        let got = of(429, "Too many requests, please try again later.", &[], 1);
        let retry_after = seconds(1);
        assert_eq!(got, Answer::Busy { retry_after });
        let many = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        assert_eq!(of(500, many, &[], 0), Answer::TooManyBudgets);
        let raced = "couldn't update PodDisruptionBudget \"front\" due to conflicts";
        let retry_after = Duration::from_secs(10);
        assert_eq!(of(504, raced, &[], 0), Answer::Raced { retry_after });
        let got = of(403, "web is being terminated", &["NamespaceTerminating"], 0);
        assert_eq!(got, Answer::NamespaceTerminating);
    }

    #[test]
    fn whoever_says_no_is_quoted_in_one_line() {
        for (code, message) in [
            (403, "pod disruption budget front has been violated"),
            (422, "ValidatingAdmissionPolicy 'x' denied request"),
            (500, "boom"),
            (401, "Unauthorized"),
            (429, "admission webhook \"vm\" denied the request: it moves"),
            (409, "admission webhook \"vm\" denied the request: it moves"),
        ] {
            let message = message.to_owned();
            assert_eq!(of(code, &message, &[], 0), Answer::Refused { message });
        }
        let Answer::Refused { message } = of(400, &"a\nb".repeat(300), &[], 0) else {
            panic!("refused")
        };
        assert_eq!(message.chars().count(), 200);
        assert!(!message.contains('\n'));
    }

    #[test]
    fn who_is_in_between_cannot_tell() {
        for code in [408, 502, 503, 504] {
            assert_eq!(of(code, "gateway", &[], 0), Answer::Unanswered, "{code}");
        }
    }
}
