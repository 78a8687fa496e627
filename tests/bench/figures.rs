//! One line for each figure, and the file that keeps them.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

/// What was measured so far.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Figure>);

#[derive(Debug, Serialize)]
struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    goal: Option<f64>,
    better: &'static str,
    met: Option<bool>,
    how: String,
}

impl Figures {
    /// Adds a figure of which less is better, and prints it.
    pub(crate) fn lower(
        &mut self,
        name: &'static str,
        value: f64,
        unit: &'static str,
        goal: Option<f64>,
        how: impl Into<String>,
    ) {
        self.add(name, value, unit, goal, "lower", how.into());
    }

    /// Adds a figure of which more is better, and prints it.
    pub(crate) fn higher(
        &mut self,
        name: &'static str,
        value: f64,
        unit: &'static str,
        goal: Option<f64>,
        how: impl Into<String>,
    ) {
        self.add(name, value, unit, goal, "higher", how.into());
    }

    fn add(
        &mut self,
        name: &'static str,
        value: f64,
        unit: &'static str,
        goal: Option<f64>,
        better: &'static str,
        how: String,
    ) {
        // Three digits are more than one run can tell.
        let value = (value * 1000.0).round() / 1000.0;
        let lower = better == "lower";
        let met = goal.map(|goal| if lower { value <= goal } else { value >= goal });
        let sign = if lower { "<=" } else { ">=" };
        let verdict = match (goal, met) {
            (Some(goal), Some(true)) => format!("goal {sign} {goal}: met"),
            (Some(goal), _) => format!("goal {sign} {goal}: NOT MET"),
            (None, _) => "no goal".to_owned(),
        };
        println!("{name:<36} {value:>10} {unit:<9} {verdict}");
        self.0.push(Figure {
            name,
            value,
            unit,
            goal,
            better,
            met,
            how,
        });
    }

    /// Writes `target/bench/figures.json`.
    pub(crate) fn write(&self) -> Result<()> {
        let folder = Path::new("target/bench");
        std::fs::create_dir_all(folder)?;
        let path = folder.join("figures.json");
        let file = std::fs::File::create(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        serde_json::to_writer_pretty(file, &self.0)?;
        println!("written to {}", path.display());
        Ok(())
    }
}

/// The value below which `part` (0 to 1) of the samples lie.
pub(crate) fn percentile(samples: &mut [f64], part: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into at most some thousand samples"
    )]
    let at = ((samples.len() as f64 * part).ceil() as usize).clamp(1, samples.len());
    samples[at - 1]
}
