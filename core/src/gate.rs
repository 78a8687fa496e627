//! May this revision of a source go on to the node?

use crate::authfile::{Checked, Document, Finding, Reason, Severity};

/// What to do about revisions that are not flawless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether one bad entry costs the whole revision; otherwise it is left out and the others go on.
    pub strict: bool,
    /// Whether a source without one usable entry may take the place of one that had some.
    pub allow_empty: bool,
}

/// What becomes of a revision.
#[derive(Debug)]
pub enum Verdict {
    /// It is the source's good state now.
    Admitted(Document),
    /// The last good state stays; the finding says why.
    Refused(Finding),
}

impl Policy {
    /// Judges a checked revision. Its own findings are not repeated in the verdict.
    pub fn judge(self, checked: &mut Checked) -> Verdict {
        let flawed = checked
            .findings
            .iter()
            .any(|f| f.severity == Severity::Error);
        let refused =
            |detail: &'static str| Verdict::Refused(Finding::new(Reason::LastGoodKept, detail));
        let Some(document) = checked.document.take() else {
            return refused("the document cannot be used; the last good one stays");
        };
        if self.strict && flawed {
            return refused(
                "an entry is bad and the policy is to refuse; the last good document stays",
            );
        }
        if document.is_empty() && !self.allow_empty {
            return refused(
                "the document has no usable entry; the last good one stays unless `allow_empty` is set",
            );
        }
        Verdict::Admitted(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authfile::Shape;

    fn judge(policy: Policy, text: &str) -> bool {
        let mut checked = Document::check(text.as_bytes(), Shape::ConfigJson);
        matches!(policy.judge(&mut checked), Verdict::Admitted(_))
    }

    #[test]
    fn what_may_go_on_depends_on_the_policy() {
        let usual = Policy {
            strict: false,
            allow_empty: false,
        };
        let strict = Policy {
            strict: true,
            ..usual
        };
        let empty = Policy {
            allow_empty: true,
            ..usual
        };
        let good = r#"{"auths":{"a.example":{"auth":"dXNlcjpwYXNz"}}}"#;
        let mixed = r#"{"auths":{"a.example":{"auth":"dXNlcjpwYXNz"},"b.example":{"auth":"bar"}}}"#;
        let cases = [
            (good, [true, true, true]),
            (mixed, [true, false, true]),
            ("{}", [false, false, true]),
            ("{\"auths\":{}}", [false, false, true]),
            ("[]", [false, false, false]),
            ("{", [false, false, false]),
        ];
        for (text, expected) in cases {
            assert_eq!(
                [usual, strict, empty].map(|policy| judge(policy, text)),
                expected,
                "{text}"
            );
        }
    }
}
