//! A plain file, wherever links lead.

use std::{fs, path::PathBuf};

use nix::fcntl::AT_FDCWD;
use pullkeeper_core::authfile::Shape;

use super::{
    Context, Payload,
    directory::{self, Reader, Reading},
    join::Slot,
    regular, shape,
    volume::DATA,
};

/// As many links as Linux itself follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Keeps the slot's observation that of the file. A configured shape wins over the file's name,
/// and the name over what the content looks like.
pub(super) async fn follow(slot: Slot, path: PathBuf, shape: Option<Shape>, context: Context) {
    let id = format!("file:{}", path.display());
    let shape = shape.or_else(|| shape::of_name(&path));
    directory::follow(slot, id, FileReader { path, shape }, context).await;
}

struct FileReader {
    path: PathBuf,
    shape: Option<Shape>,
}

impl Reader for FileReader {
    /// The file and every link on the way to it, and the link that a volume swaps, in case the
    /// file is in one. Links among the *directories* of the path are left to the poll.
    fn places(&self) -> Vec<PathBuf> {
        let mut places = vec![self.path.clone(), self.path.with_file_name(DATA)];
        let mut link = self.path.clone();
        for _ in 0..MOST_LINKS {
            let Ok(target) = fs::read_link(&link) else {
                break;
            };
            link = match link.parent() {
                Some(directory) => directory.join(target),
                None => target,
            };
            places.push(link.clone());
        }
        places
    }

    fn read(&self) -> Reading {
        match regular::read(AT_FDCWD, &self.path, &self.path) {
            Ok(regular::Regular { bytes, revision }) => {
                let shape = self.shape.unwrap_or_else(|| Shape::of_content(&bytes));
                Reading {
                    revision: Some(revision),
                    content: Ok(Payload::new(shape, bytes)),
                }
            }
            Err(error) => Reading::failed(error),
        }
    }
}

#[cfg(test)]
mod tests;
