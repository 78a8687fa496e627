//! When the agent is ready: named conditions, in the form of the API server's `/readyz?verbose`.

use std::fmt::Write as _;

use crate::status::{Status, TargetState};

/// Whether every condition holds, and one line for each.
///
/// A bad pull secret does not make an agent unready: its last good file serves the node, and an unready
/// fleet would stop the very update that mends it. That is for the findings and their alerts.
pub fn report(status: &Status) -> (bool, String) {
    let conditions = [
        condition("sources-read", || {
            let waiting: Vec<_> = status
                .sources
                .iter()
                .filter(|source| source.standing == "pending")
                .map(|source| source.source.as_str())
                .collect();
            // What is on disk already serves the node; only a node without it has to wait.
            let served = !status.targets.is_empty()
                && status
                    .targets
                    .iter()
                    .all(|target| target.state == TargetState::InSync);
            (!waiting.is_empty() && !served)
                .then(|| format!("not read yet: {}", waiting.join(", ")))
        }),
        condition("targets-known", || {
            let unknown = status
                .targets
                .iter()
                .find(|target| target.state == TargetState::Pending);
            unknown.map(|target| format!("nothing good is known yet for {}", target.path))
        }),
        condition("targets-writable", || {
            let failed = status
                .targets
                .iter()
                .find_map(|target| target.error.as_ref());
            failed.map(|failure| failure.message.clone())
        }),
    ];
    let mut text = String::new();
    for (name, problem) in &conditions {
        let _infallible = match problem {
            None => writeln!(text, "[+]{name} ok"),
            Some(problem) => writeln!(text, "[-]{name} failed: {problem}"),
        };
    }
    let ready = conditions.iter().all(|(_, problem)| problem.is_none());
    text.push_str(if ready {
        "readyz check passed\n"
    } else {
        "readyz check failed\n"
    });
    (ready, text)
}

fn condition(
    name: &'static str,
    problem: impl FnOnce() -> Option<String>,
) -> (&'static str, Option<String>) {
    (name, problem())
}
