//! Who looks after the credential helper on the node without a pause, from within.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use support::eventually;
use support::installation::HELPER;
use support::node::Node;
use support::process::Process;
use support::scratch::Scratch;

/// Executes it again and again. What it says when it is whole and has nobody to ask is known; the answer itself is printed nowhere.
const ASK: &str = r#"
while :; do
    read -r now _ </proc/uptime
    if answer=$(printf %s "$2" | "$1" get 2>/dev/null); then
        case $answer in *'"Username":"puller"'*) echo "$now answered" ;; *) echo "$now another answer" ;; esac
    else
        case $?:$answer in 1:*'no agent listens'*) echo "$now nobody listens" ;; *) echo "$now failed: $answer" ;; esac
    fi
done
"#;
/// Reads all of it again and again.
const READ: &str = r#"
while :; do
    sha256sum <"$1" || echo absent
done
"#;

/// What a sentry saw, and how often.
pub(super) type Seen = BTreeMap<String, usize>;

/// Both sentries, until this is dropped.
pub(super) struct Sentries {
    asking: Process,
    reading: Process,
    _folder: Scratch,
}

impl Sentries {
    /// Puts them up. Both have seen something on return.
    pub(super) async fn start(node: &Node, registry: &str) -> Result<Self> {
        let folder = Scratch::new("sentries")?;
        let start = |name: &str, script: &str| {
            let nice = node.inside(name, Path::new("/usr/bin/nice"))?;
            let nice = nice.args(["sh", "-uc", script, "sentry", HELPER, registry]);
            nice.spawn(folder.path())
        };
        let sentries = Self {
            asking: start("asking", ASK)?,
            reading: start("reading", READ)?,
            _folder: folder,
        };
        eventually("the sentries look", async || {
            let seen = sentries.asked().is_empty() || sentries.read().is_empty();
            anyhow::ensure!(!seen, "nothing yet");
            Ok(())
        })
        .await?;
        Ok(sentries)
    }

    /// What came of executing it.
    pub(super) fn asked(&self) -> Seen {
        let lines = self.asking.stdout();
        counted(whole(&lines).filter_map(|line| Some(line.split_once(' ')?.1)))
    }

    /// The longest time without an answer, in seconds.
    pub(super) fn longest_silence(&self) -> f64 {
        let (lines, mut longest, mut last) = (self.asking.stdout(), 0.0, None);
        let answers = whole(&lines).filter_map(|line| line.strip_suffix(" answered"));
        for at in answers.filter_map(|at| at.parse::<f64>().ok()) {
            longest = f64::max(longest, at - last.replace(at).unwrap_or(at));
        }
        longest
    }

    /// The digests of what was read.
    pub(super) fn read(&self) -> Seen {
        counted(whole(&self.reading.stdout()).map(|line| line.trim_end_matches([' ', '-'])))
    }
}

/// Without the last one, which may be half a line.
fn whole(lines: &str) -> std::str::Lines<'_> {
    lines
        .rsplit_once('\n')
        .map_or("", |(whole, _)| whole)
        .lines()
}

fn counted<'l>(lines: impl Iterator<Item = &'l str>) -> Seen {
    let mut seen = Seen::new();
    for line in lines {
        *seen.entry(line.to_owned()).or_default() += 1;
    }
    seen
}
