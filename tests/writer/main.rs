//! The agent's write path in a process of its own, to be killed and to be fed errors.
//!
//! ```text
//! install-writer replace   TARGET CONTENT  [mode=0600] [owner=UID:GID] [directory=0700]
//! install-writer update    TARGET CONTENT  [mode=0600] [owner=UID:GID] [directory=0700]
//! install-writer read      TARGET
//! install-writer sweep     TARGET          [owner=UID:GID]
//! install-writer alternate TARGET OLD NEW  [mode=0600] [owner=UID:GID] [cycles=N]
//! ```
//!
//! `update` replaces only what it has read just before. `alternate` sweeps, says so with one byte
//! on standard output, and then writes the content of NEW and OLD by turns, `cycles` times or for
//! as long as its parent lives.
//!
//! Exit status 0: done. 3: the target refused and the old file stays. 4: the same after the
//! rename. Either comes with "kind=KIND step=STEP" on standard output and the message on standard
//! error. 1: anything else. The calls of the path lie between two calls that look for [`BEGIN`]
//! and [`END`], so that a system call trace shows where they are.

use std::env::args;
use std::fs;
use std::io::{Write, stderr, stdout};
use std::os::unix::process::parent_id;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use pullkeeper_daemon::install::{Options, Owner, Target, TargetError};
use support::writer::{BEGIN, END, REFUSED, REFUSED_AFTER_RENAME};

fn main() -> ExitCode {
    match run(&args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr(), "{error:#}");
            match error.downcast_ref::<TargetError>() {
                Some(error) => {
                    let step = error.step().as_str();
                    let _ = writeln!(stdout(), "kind={} step={step}", error.kind());
                    ExitCode::from(if error.renamed() {
                        REFUSED_AFTER_RENAME
                    } else {
                        REFUSED
                    })
                }
                None => ExitCode::FAILURE,
            }
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    let (words, settings): (Vec<_>, Vec<_>) = args
        .iter()
        .map(String::as_str)
        .partition(|arg| !arg.contains('='));
    let mut options = Options::default();
    let mut cycles = u64::MAX;
    for setting in settings {
        match setting.split_once('=').unwrap_or((setting, "")) {
            ("mode", mode) => options.mode = u32::from_str_radix(mode, 8)?,
            ("owner", owner) => options.owner = Some(parse_owner(owner)?),
            ("directory", mode) => options.create_directory = Some(u32::from_str_radix(mode, 8)?),
            ("cycles", number) => cycles = number.parse()?,
            (name, _) => bail!("unknown setting {name}"),
        }
    }
    match *words {
        ["replace", target, content] => replace(&Target::new(target, options)?, content),
        ["update", target, content] => update(&Target::new(target, options)?, content),
        ["read", target] => read(&Target::new(target, options)?),
        ["sweep", target] => sweep(&Target::new(target, options)?),
        ["alternate", target, old, new] => {
            alternate(&Target::new(target, options)?, [new, old], cycles)
        }
        _ => bail!("unknown command line {args:?}"),
    }
}

fn parse_owner(text: &str) -> Result<Owner> {
    let (uid, gid) = text.split_once(':').context("an owner is UID:GID")?;
    Ok(Owner {
        uid: uid.parse()?,
        gid: gid.parse()?,
    })
}

fn replace(target: &Target, content: &str) -> Result<()> {
    let bytes = fs::read(content)?;
    marked(|| target.replace(&bytes))?;
    Ok(())
}

fn update(target: &Target, content: &str) -> Result<()> {
    let bytes = fs::read(content)?;
    marked(|| {
        let current = target.read()?;
        target.replace_if(current.as_ref().map(|current| &current.identity), &bytes)
    })?;
    Ok(())
}

fn read(target: &Target) -> Result<()> {
    let current = marked(|| target.read())?;
    writeln!(stdout(), "{current:?}")?;
    Ok(())
}

fn sweep(target: &Target) -> Result<()> {
    let removed = marked(|| target.sweep())?;
    writeln!(stdout(), "removed={removed}")?;
    Ok(())
}

fn marked<T>(work: impl FnOnce() -> T) -> T {
    let _ = fs::read_link(BEGIN);
    let answer = work();
    let _ = fs::read_link(END);
    answer
}

fn alternate(target: &Target, contents: [&str; 2], cycles: u64) -> Result<()> {
    let contents = [fs::read(contents[0])?, fs::read(contents[1])?];
    target.sweep()?;
    stdout().write_all(b".")?;
    stdout().flush()?;
    // Nobody is left to kill it once the suite is gone.
    let suite = parent_id();
    for cycle in 0..cycles {
        if parent_id() != suite {
            break;
        }
        target.replace(&contents[usize::from(cycle % 2 == 1)])?;
    }
    Ok(())
}
