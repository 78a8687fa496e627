//! `KUBELET_EXTRA_ARGS` in an environment file of kubelet's unit, as kubeadm's packages and kind have it (systemd.exec(5),
//! `EnvironmentFile=`).

use thiserror::Error;

/// The variable whose words come last on kubelet's command line.
pub const VARIABLE: &str = "KUBELET_EXTRA_ARGS";

/// An environment file that cannot be added to without a guess at what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ExtraArgsError {
    /// The value has quotes within, a backslash, or goes on in the next line.
    #[error(
        "line {0}: {VARIABLE} is quoted in parts, or has a backslash; write it as one plain or one quoted value first"
    )]
    Quoting(usize),
}

/// The file's text with words added at the end of the variable's value, and every other byte as it was.
///
/// Where several lines set the variable the last one counts, for systemd too; where none does, one is added. The words must need
/// no quotes.
///
/// # Errors
/// Where the value is written in a form that has to be understood first.
pub fn with(text: &str, words: &str) -> Result<String, ExtraArgsError> {
    let Some(place) = last_assignment(text)? else {
        let end = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        return Ok(format!("{text}{end}{}", line(words)));
    };
    let space = if place.is_empty { "" } else { " " };
    let (before, after) = text.split_at(place.end);
    Ok(format!("{before}{space}{words}{after}"))
}

/// The file's text without those words, and every other byte as it is now; as it is where the variable does not have them. What
/// was added as a line goes as one.
///
/// # Errors
/// As [`with`].
pub fn without(text: &str, words: &str) -> Result<String, ExtraArgsError> {
    let Some(place) = last_assignment(text)? else {
        return Ok(text.to_owned());
    };
    let value = &text[place.start..place.end];
    let begins = |at: &usize| *at == 0 || value[..*at].ends_with(' ');
    let found = value.match_indices(words).map(|(at, _)| at).find(begins);
    let Some(at) = found.map(|at| place.start + at) else {
        return Ok(text.to_owned());
    };
    let ours = line(words);
    if let Some((before, after)) = text.split_once(&ours) {
        return Ok(format!("{before}{after}"));
    }
    let space = usize::from(at > place.start);
    let before = &text[..at - space];
    Ok(format!("{before}{}", &text[at + words.len()..]))
}

/// The lines that are added where no line sets the variable.
fn line(words: &str) -> String {
    format!("# Pullkeeper's, with the next line.\n{VARIABLE}={words}\n")
}

/// Where a value is, in bytes of the text, without its quotes.
struct Place {
    start: usize,
    end: usize,
    is_empty: bool,
}

fn last_assignment(text: &str) -> Result<Option<Place>, ExtraArgsError> {
    let (mut found, mut at, mut continued) = (None, 0, false);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let start = at;
        at += line.len();
        let content = line.trim_end_matches(['\n', '\r']);
        let is_comment = content.trim_start().starts_with(['#', ';']);
        // A comment does not go on in the next line; whatever else ends so does.
        let continues = content.ends_with('\\') && !is_comment;
        let first = !std::mem::replace(&mut continued, continues);
        let Some((name, value)) = content.split_once('=').filter(|_| first && !is_comment) else {
            continue;
        };
        if name.trim() != VARIABLE {
            continue;
        }
        let begin = start + name.len() + 1 + (value.len() - value.trim_start().len());
        let value = value.trim();
        let quoted = |mark: char| {
            let inner = value.strip_prefix(mark)?.strip_suffix(mark)?;
            (value.len() > 1).then_some(inner)
        };
        let (inner, skipped) = match quoted('"').or_else(|| quoted('\'')) {
            Some(inner) => (inner, 1),
            None => (value, 0),
        };
        if inner.contains(['"', '\'', '\\']) {
            return Err(ExtraArgsError::Quoting(number + 1));
        }
        let begin = begin + skipped;
        found = Some(Place {
            start: begin,
            end: begin + inner.len(),
            is_empty: inner.is_empty(),
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OURS: &str = "--a=/x --b=/y";

    #[track_caller]
    fn becomes(before: &str, after: &str) {
        assert_eq!(with(before, OURS).as_deref(), Ok(after));
        assert_eq!(without(after, OURS).as_deref(), Ok(before));
    }

    #[test]
    fn the_words_come_last_and_go_again_without_a_trace() {
        becomes(
            "",
            "# Pullkeeper's, with the next line.\nKUBELET_EXTRA_ARGS=--a=/x --b=/y\n",
        );
        becomes(
            "KUBELET_EXTRA_ARGS=\n",
            "KUBELET_EXTRA_ARGS=--a=/x --b=/y\n",
        );
        becomes(
            "A=b\n# KUBELET_EXTRA_ARGS=no\n",
            "A=b\n# KUBELET_EXTRA_ARGS=no\n# Pullkeeper's, with the next line.\nKUBELET_EXTRA_ARGS=--a=/x --b=/y\n",
        );
        becomes(
            "KUBELET_EXTRA_ARGS=--runtime-cgroups=/system.slice/containerd.service\nA=b",
            "KUBELET_EXTRA_ARGS=--runtime-cgroups=/system.slice/containerd.service --a=/x --b=/y\nA=b",
        );
        becomes(
            "KUBELET_EXTRA_ARGS=\"--v=2\"",
            "KUBELET_EXTRA_ARGS=\"--v=2 --a=/x --b=/y\"",
        );
        becomes(
            "KUBELET_EXTRA_ARGS=''\n",
            "KUBELET_EXTRA_ARGS='--a=/x --b=/y'\n",
        );
        becomes(
            "KUBELET_EXTRA_ARGS=--v=1\nKUBELET_EXTRA_ARGS=--v=2  \r\n",
            "KUBELET_EXTRA_ARGS=--v=1\nKUBELET_EXTRA_ARGS=--v=2 --a=/x --b=/y  \r\n",
        );
    }

    #[test]
    fn a_file_without_a_last_newline_gets_one() {
        assert_eq!(
            with("A=b", OURS).unwrap(),
            "A=b\n# Pullkeeper's, with the next line.\nKUBELET_EXTRA_ARGS=--a=/x --b=/y\n"
        );
    }

    #[test]
    fn what_somebody_changed_since_stays() {
        let changed = "KUBELET_EXTRA_ARGS=--v=4 --a=/x --b=/y --new\nB=c\n";
        assert_eq!(
            without(changed, OURS).unwrap(),
            "KUBELET_EXTRA_ARGS=--v=4 --new\nB=c\n"
        );
        assert_eq!(without("B=c\n", OURS).unwrap(), "B=c\n");
        assert_eq!(
            without("KUBELET_EXTRA_ARGS=--v=4\n", OURS).unwrap(),
            "KUBELET_EXTRA_ARGS=--v=4\n"
        );
    }

    #[test]
    fn nobody_guesses_at_quotes() {
        for text in [
            "A=b\nKUBELET_EXTRA_ARGS=--v=2 \"--x=a b\"\n",
            "A=b\nKUBELET_EXTRA_ARGS=--v=2 \\\n  --w\n",
            "A=b\nKUBELET_EXTRA_ARGS=\"--v=2\n",
        ] {
            let refused = with(text, OURS);
            assert_eq!(refused, Err(ExtraArgsError::Quoting(2)), "{text}");
            assert_eq!(without(text, OURS), refused);
        }
        let hidden = "A=b \\\nKUBELET_EXTRA_ARGS=no\n";
        assert!(
            with(hidden, OURS)
                .unwrap()
                .ends_with(&format!("\n{VARIABLE}={OURS}\n"))
        );
    }

    proptest! {
        #[test]
        fn who_adds_can_take_away(lines in proptest::collection::vec(
            prop_oneof![
                Just("KUBELET_EXTRA_ARGS=--v=1".to_owned()),
                "KUBELET_EXTRA_ARGS=[\"']?[a-z= -]{0,8}[\"']?",
                "[#;A-Z=\\\\ ]{0,9}",
            ],
            0..5,
        )) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            if let Ok(added) = with(&text, OURS) {
                prop_assert_eq!(without(&added, OURS).unwrap(), text);
            }
        }
    }
}
