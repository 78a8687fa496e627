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
    if answer=$(printf %s "$2" | "$1" get 2>/dev/null); then
        case $answer in *'"Username":"puller"'*) echo answered ;; *) echo another answer ;; esac
    else
        case $?:$answer in 1:*'no agent listens'*) echo nobody listens ;; *) echo "failed: $answer" ;; esac
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
        counted(&self.asking.stdout())
    }

    /// The digests of what was read.
    pub(super) fn read(&self) -> Seen {
        counted(&self.reading.stdout())
    }
}

fn counted(lines: &str) -> Seen {
    let mut seen = Seen::new();
    // The last line may be half a line.
    let whole = lines.rsplit_once('\n').map_or("", |(whole, _)| whole);
    for line in whole.lines() {
        *seen
            .entry(line.trim_end_matches([' ', '-']).to_owned())
            .or_default() += 1;
    }
    seen
}
