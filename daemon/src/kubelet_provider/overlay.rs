//! The files and links of ours. Whatever is interrupted is begun anew; nothing here has an effect before kubelet has its flags.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::Path;

use pullkeeper_core::placement::plan::{CONFIGS, NodeFile, Plan};
use thiserror::Error;

use super::root::Root;
use crate::install::{Options, Target, TargetError};

/// Why they are not as they are to be.
#[derive(Debug, Error)]
pub(super) enum OverlayError {
    /// A directory.
    #[error("cannot make {path}; mount it, or choose another `kubelet_provider.directory`")]
    Directory {
        /// Which one.
        path: String,
        /// What came.
        #[source]
        source: io::Error,
    },
    /// A file.
    #[error(transparent)]
    File(#[from] TargetError),
    /// A link, or something that is none of ours any more.
    #[error("cannot replace {path}")]
    Link {
        /// Which one.
        path: String,
        /// What came.
        #[source]
        source: io::Error,
    },
}

/// Makes directories, files and links of the plan. What a kubelet has that runs with another plan stays.
pub(super) fn write(root: &Root, plan: &Plan) -> Result<(), OverlayError> {
    let paths = plan.files.keys().chain(plan.links.keys());
    for directory in paths.map(|path| parent(path)).collect::<BTreeSet<_>>() {
        for path in [parent(directory), directory] {
            make(root, path)?;
        }
    }
    for (path, to) in &plan.links {
        link(&root.seen(path), to).map_err(failed(path))?;
    }
    for (
        path,
        NodeFile {
            content,
            executable,
        },
    ) in &plan.files
    {
        let target = target(root, path, if *executable { 0o755 } else { 0o644 })?;
        let current = target.read()?;
        let same = current.as_ref().is_some_and(|current| {
            current.bytes.as_slice() == content.as_slice() && target.conforms(current)
        });
        if !same {
            target.replace(content)?;
        }
        target.sweep()?;
    }
    Ok(())
}

/// Removes what is ours and not in the plan, once kubelet runs with it: configurations of former plans, and links to programs
/// that the vendor does not have any more.
pub(super) fn sweep(root: &Root, plan: &Plan) -> Result<(), OverlayError> {
    let [_, programs] = &plan.flags;
    for name in names(root, programs)? {
        let path = format!("{programs}/{name}");
        if !plan.files.contains_key(&path) && !plan.links.contains_key(&path) {
            fs::remove_file(root.seen(&path)).map_err(failed(&path))?;
        }
    }
    let directory = parent(programs);
    let own = |name: &String| {
        let path = format!("{directory}/{name}/");
        plan.files.keys().any(|file| file.starts_with(&path))
    };
    for name in names(root, directory)? {
        if name.starts_with(CONFIGS) && !own(&name) {
            let path = format!("{directory}/{name}");
            remove(root, &path).map_err(failed(&path))?;
        }
    }
    Ok(())
}

fn names(root: &Root, directory: &str) -> Result<Vec<String>, OverlayError> {
    let entries = root.list(directory).map_err(failed(directory))?;
    Ok(entries.into_keys().collect())
}

/// One file of ours on the host.
pub(super) fn target(root: &Root, path: &str, mode: u32) -> Result<Target, TargetError> {
    Target::new(root.seen(path), Options::ours(mode))
}

/// Makes a directory that is ours, not the one above it: that may be a mount that has not come yet.
pub(super) fn make(root: &Root, path: &str) -> Result<(), OverlayError> {
    match DirBuilder::new().mode(0o755).create(root.seen(path)) {
        Err(source) if source.kind() != ErrorKind::AlreadyExists => {
            let path = path.to_owned();
            Err(OverlayError::Directory { path, source })
        }
        _ => Ok(()),
    }
}

/// Replaced by a rename: kubelet executes what is behind it at any moment.
fn link(path: &Path, to: &str) -> io::Result<()> {
    if fs::read_link(path).is_ok_and(|now| now == Path::new(to)) {
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.new"));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(to, &new)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "a link has no content that has to be durable before its name"
    )]
    fs::rename(new, path)
}

fn failed(path: &str) -> impl FnOnce(io::Error) -> OverlayError + use<> {
    let path = path.to_owned();
    move |source| OverlayError::Link { path, source }
}

pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Removes a directory that may be others' as well, if nothing is in it.
pub(super) fn remove_empty(root: &Root, directory: &str) -> io::Result<()> {
    match fs::remove_dir(root.seen(directory)) {
        Err(error)
            if !matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// Removes a directory of ours with all that is in it, if it is there.
pub(super) fn remove(root: &Root, directory: &str) -> io::Result<()> {
    match fs::remove_dir_all(root.seen(directory)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
