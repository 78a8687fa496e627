//! What the comparison comes to, in `docs/`: a page and a plot.

use std::fmt::Write as _;

use anyhow::Result;

use super::contender::Contender;
use super::plot::{Row, plot};
use super::readiness::Readiness;
use super::report::Outcome;
use crate::figures::percentile;
use crate::page;

const PAGE: &str = "docs/usage/rotation.md";
const PLOT: &str = "docs/usage/rotation.svg";

impl Outcome<'_> {
    pub(super) fn pages(&self) -> Result<()> {
        let rows = [
            Row {
                name: "the file alone",
                seconds: &self.file_only.seconds,
            },
            Row {
                name: "file + kubelet restart",
                seconds: &self.restarted.seconds,
            },
            Row {
                name: "Pullkeeper",
                seconds: &self.pullkeeper.seconds,
            },
        ];
        page::write(PLOT, &plot(&rows))?;
        page::write(PAGE, &self.page())
    }

    fn page(&self) -> String {
        let (alone, restart, ours) = self.medians();
        let mut table = String::new();
        let mut row = |name: &str, value: fn(&Contender) -> String| {
            let all = [self.file_only, self.restarted, self.pullkeeper].map(value);
            let _infallible = writeln!(table, "| {name} | {} |", all.join(" | "));
        };
        row("rotations", |one| one.seconds.len().to_string());
        row("seconds until the new pod runs", |one| spread(&one.seconds));
        row("failed pulls", |one| one.failed.to_string());
        row("kubelet restarts", |one| one.restarts.to_string());
        row("seconds without kubelet", |one| spread(&one.away));
        row("times the node was not Ready", |one| {
            lapses(&one.node_ready)
        });
        row("times an older pod was not Ready", |one| {
            lapses(&one.pod_ready)
        });
        format!(
            "# What a rotation costs

The same rotations on three nodes of one cluster. The registry's password changes, the new credential arrives on the node, and at that
moment somebody creates a pod whose image has to be pulled. How long until it runs? `tests/bench/run rotation` measures that and writes
this page.

![Seconds until the new pod runs, for each of the three](rotation.svg)

| | the file alone | file + kubelet restart | Pullkeeper |
|---|---|---|---|
{table}
Of several values the median stands first, then the least and the most. In that run the restart took {restart:.1} times as long as
Pullkeeper, the file alone {alone:.0} times.

- **The file alone**: `/var/lib/kubelet/config.json` is replaced. kubelet goes on with what it has read for five minutes, and pauses
  longer and longer between two pulls that fail. It had read the file {age} s before the password changed; had that been longer ago, the wait
  would have been shorter.
- **File + kubelet restart**: the file is replaced, and kubelet is restarted at once, as HyperShift's syncer does. Not counted is how long
  the syncer takes to see a change, up to 30 s. The restart is a SIGTERM and a start, without systemd in between; kubelet counts as back
  when it says that it is healthy.
- **Pullkeeper**: kubelet asks its [credential provider](credential-helper.md#kubelet), which answers from what the agent holds.
  Nothing is restarted.

The older pod runs on all the time and has a readiness probe, each second. Measured with {versions}, on {cores} cores.
",
            restart = restart / ours,
            alone = alone / ours,
            age = self.age.as_secs(),
            versions = self.versions,
            cores = std::thread::available_parallelism().map_or(1, usize::from),
        )
    }
}

/// How often something was not Ready, and for how long at most.
fn lapses(readiness: &Readiness) -> String {
    let lapses = readiness.lapses();
    match lapses.iter().copied().reduce(f64::max) {
        Some(longest) => format!("{}, up to {longest:.2} s", lapses.len()),
        None => "0".to_owned(),
    }
}

/// The median of them, and between what they lie.
fn spread(values: &[f64]) -> String {
    let mut values = values.to_vec();
    match values[..] {
        [] => "–".to_owned(),
        [one] => format!("{one:.1}"),
        _ => {
            let median = percentile(&mut values, 0.5);
            let (least, most) = (values[0], values[values.len() - 1]);
            format!("{median:.2} ({least:.2} … {most:.2})")
        }
    }
}
