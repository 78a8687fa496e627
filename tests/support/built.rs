//! Where the scripts `tests/*/build` put what they make.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

/// The path of a program that `tests/MODULE/build` has built from its Go module.
///
/// # Errors
/// When it has not; the message says what to run.
pub(crate) fn program(module: &str, name: &str) -> Result<PathBuf> {
    let path = folder(module, "go.sum")?.join("bin").join(name);
    ensure!(
        path.is_file(),
        "{} does not exist; run `tests/{module}/build {name}`",
        path.display()
    );
    Ok(path)
}

/// What `tests/PART/build` makes for the present content of `pin`, a file beside it. It need not
/// exist.
pub(crate) fn folder(part: &str, pin: &str) -> Result<PathBuf> {
    let pin = Path::new(env!("CARGO_MANIFEST_DIR")).join(part).join(pin);
    let pinned = std::fs::read(&pin).with_context(|| format!("cannot read {}", pin.display()))?;
    let key: String = Sha256::digest(pinned)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(cache()?.join(part).join(key))
}

fn cache() -> Result<PathBuf> {
    let from = |name| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    from("PULLKEEPER_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|dir| dir.join("pullkeeper")))
        .or_else(|| from("HOME").map(|dir| dir.join(".cache/pullkeeper")))
        .context("neither PULLKEEPER_CACHE nor XDG_CACHE_HOME nor HOME is set")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_the_command_that_builds_it() {
        let error = program("registry", "teapot").unwrap_err().to_string();
        assert!(
            error.ends_with("run `tests/registry/build teapot`"),
            "{error}"
        );
    }
}
