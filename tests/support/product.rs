//! The program under test.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};

use crate::process::Program;
use crate::scratch::profile_dir;

/// The name of the program.
pub const PULLKEEPER: &str = "pullkeeper";
/// The name of the credential helper.
pub const HELPER: &str = "docker-credential-pullkeeper";

/// `pullkeeper` of the build that this test belongs to, ready for arguments. Its environment is
/// empty but for `PATH`.
///
/// # Errors
/// When the program is missing or older than its sources; both say which command builds it, as
/// `cargo test -p` does not.
pub fn pullkeeper() -> Result<Program> {
    Ok(Program::new(PULLKEEPER, binary(PULLKEEPER)?))
}

/// `docker-credential-pullkeeper` of the same build.
///
/// # Errors
/// As [`pullkeeper`].
pub fn helper() -> Result<Program> {
    Ok(Program::new(HELPER, binary(HELPER)?))
}

fn binary(name: &str) -> Result<PathBuf> {
    let profile = profile_dir()?;
    let path = profile.join(name);
    let remedy = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "cargo build --workspace".to_owned(),
        Some(profile) => format!("cargo build --workspace --profile {profile}"),
    };
    ensure!(
        path.is_file(),
        "{} does not exist; run `{remedy}` first",
        path.display()
    );
    if let Some(source) = newer_source(&path)? {
        bail!(
            "{} is older than {}; run `{remedy}` first",
            path.display(),
            source.display()
        );
    }
    Ok(path)
}

// Cargo lists the sources of a program beside it, as a make rule: `program: source source…`, with
// blanks inside a path escaped by a backslash.
fn newer_source(program: &Path) -> Result<Option<PathBuf>> {
    let list = program.with_extension("d");
    let rule = std::fs::read_to_string(&list)
        .with_context(|| format!("cannot read {}", list.display()))?;
    let built = modified(program)?;
    let (_, sources) = rule
        .split_once(": ")
        .context("a list of sources without a target")?;
    let sources = sources.trim_end().replace("\\ ", "\0");
    Ok(sources
        .split_whitespace()
        .map(|source| PathBuf::from(source.replace('\0', " ")))
        .find(|source| !modified(source).is_ok_and(|at| at <= built)))
}

fn modified(path: &Path) -> Result<SystemTime> {
    let meta =
        std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(meta.modified()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_program_older_than_a_source_is_noticed() {
        let scratch = Scratch::new("unit").unwrap();
        let source = scratch.write("a source.rs", "").unwrap();
        let program = scratch.write("program", "").unwrap();
        let escaped = source.to_str().unwrap().replace(' ', "\\ ");
        let rule = format!("{}: {escaped}\n", program.display());
        scratch.write("program.d", rule).unwrap();
        let touch = |path: &Path, seconds| {
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            std::fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(at)
                .unwrap();
        };
        touch(&source, 1000);
        touch(&program, 2000);
        assert_eq!(newer_source(&program).unwrap(), None);
        touch(&source, 3000);
        assert_eq!(newer_source(&program).unwrap(), Some(source));
    }

    #[test]
    fn a_missing_program_names_the_command_that_builds_it() {
        let error = binary("no-such-program").unwrap_err().to_string();
        assert!(error.contains("run `cargo build"), "{error}");
    }
}
