//! The search of everything that the suites made the product print. `tests/run` runs it last and alone.

use anyhow::{Context as _, Result, ensure};
use support::evidence::{self, Kind};
use support::fixture::traces;

#[test]
fn nothing_that_was_printed_holds_a_secret() -> Result<()> {
    let folder = evidence::folder()?;
    let files = std::fs::read_dir(&folder).with_context(|| {
        format!(
            "no evidence in {}; run the whole suite first (make test)",
            folder.display()
        )
    })?;
    let traces = traces();
    let mut seen = [0_usize; Kind::ALL.len()];
    let mut bytes = 0;
    for file in files {
        let path = file?.path();
        let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
        bytes += text.len();
        for trace in &traces {
            ensure!(
                !text.contains(trace),
                "{} holds a fixture's secret ({trace})",
                path.display()
            );
        }
        for (kind, seen) in Kind::ALL.iter().zip(&mut seen) {
            let is_kind = path.extension().is_some_and(|found| found == kind.as_str());
            *seen += usize::from(is_kind && !text.is_empty());
        }
    }
    println!("searched {bytes} bytes: {:?} of {:?}", seen, Kind::ALL);
    for (kind, seen) in Kind::ALL.iter().zip(seen) {
        ensure!(
            seen > 0,
            "there was no {kind:?} to search; run the whole suite first (make test)"
        );
    }
    Ok(())
}
