//! A drop-in that starts a service with further words on its command line (systemd.service(5), `ExecStart=`).

use std::fmt::Write as _;

/// The text of a drop-in that starts `argv` followed by `words`.
///
/// `argv` is as systemd's manager tells it: specifiers are replaced, variables are not, so that whatever sets them goes on to count.
pub fn drop_in(argv: &[String], words: &[String]) -> String {
    let mut text = String::from(
        "# Pullkeeper's. `pullkeeper kubelet-provider remove` takes it away. The rest of the command is that of the unit.\n\
         [Service]\nExecStart=\nExecStart=",
    );
    for (number, word) in argv.iter().chain(words).enumerate() {
        if number > 0 {
            text.push(' ');
        }
        push(&mut text, word);
    }
    text.push('\n');
    text
}

/// One word as systemd reads it back: `%` would be a specifier, and what is no plain word has to be quoted.
fn push(text: &mut String, word: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.,:+@%${}".contains(c);
    let quoted = word.is_empty() || !word.chars().all(plain);
    if quoted {
        text.push('"');
    }
    for c in word.chars() {
        match c {
            '%' => text.push_str("%%"),
            '"' | '\\' => {
                text.push('\\');
                text.push(c);
            }
            // Written so that a line stays a line. Writing to a String does not fail.
            c if c.is_control() => {
                for byte in c.to_string().bytes() {
                    let _infallible = write!(text, "\\x{byte:02x}");
                }
            }
            c => text.push(c),
        }
    }
    if quoted {
        text.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(argv: &[&str], words: &[&str]) -> String {
        let owned = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        let text = drop_in(&owned(argv), &owned(words));
        let last = text.trim_end().lines().last().unwrap_or_default();
        last.strip_prefix("ExecStart=").unwrap().to_owned()
    }

    #[test]
    fn variables_stay_variables() {
        let line = command(
            &[
                "/usr/bin/kubelet",
                "$KUBELET_KUBECONFIG_ARGS",
                "${HOME}",
                "--v=2",
            ],
            &["--image-credential-provider-bin-dir=/opt/x"],
        );
        assert_eq!(
            line,
            "/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS ${HOME} --v=2 --image-credential-provider-bin-dir=/opt/x"
        );
    }

    #[test]
    fn every_word_stays_the_same_word() {
        let line = command(&["/k", "a b", "100%", "c\"d\\e", "", ";", "x\ny", "'"], &[]);
        assert_eq!(line, r#"/k "a b" 100%% "c\"d\\e" "" ";" "x\x0ay" "'""#);
    }

    #[test]
    fn the_unit_s_own_command_is_not_started_as_well() {
        let text = drop_in(&["/k".to_owned()], &[]);
        assert!(
            text.contains("[Service]\nExecStart=\nExecStart=/k\n"),
            "{text}"
        );
    }
}
