//! What a process takes, from `/proc`.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::time::{ClockId, clock_gettime};

/// `sysconf(_SC_CLK_TCK)` is 100 on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of a process, in seconds; a tick of 10 ms is the least it tells.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    // utime is field 14, stime 15.
    Ok((field(pid, 14)? + field(pid, 15)?) / TICKS_PER_SECOND)
}

/// The time that the threads which a process has now were on a processor, in seconds: for what takes less than a tick.
pub(crate) fn thread_seconds(pid: u32) -> Result<f64> {
    let mut nanoseconds = 0.0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let schedule = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let running = schedule.split_whitespace().next();
        nanoseconds += running.context("an empty schedstat")?.parse::<f64>()?;
    }
    Ok(nanoseconds / 1e9)
}

/// The memory that a process has, in MiB.
pub(crate) fn resident_mib(pid: u32) -> Result<f64> {
    memory(pid, "VmRSS:")
}

/// The part of it that is no file's, in MiB: what is neither code nor constants.
pub(crate) fn anonymous_mib(pid: u32) -> Result<f64> {
    memory(pid, "RssAnon:")
}

fn memory(pid: u32, kind: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mut lines = status.lines();
    let size = lines.find_map(|line| line.strip_prefix(kind));
    let kibibytes = size.with_context(|| format!("no {kind}"))?.trim();
    Ok(kibibytes.trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// How long a process has been there, to a tick.
pub(crate) fn age_seconds(pid: u32) -> Result<f64> {
    let now = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
    Ok(now.as_secs_f64() - field(pid, 22)? / TICKS_PER_SECOND)
}

fn field(pid: u32, number: usize) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // After the name in brackets, which may hold blanks, comes field 3.
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let field = fields.split_whitespace().nth(number - 3);
    Ok(field.context("a short stat")?.parse()?)
}
