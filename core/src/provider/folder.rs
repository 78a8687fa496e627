//! Which files of a directory kubelet reads (`readCredentialProviderConfig` in config.go, since Kubernetes 1.34).

use thiserror::Error;

/// What a directory has under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, and what it leads to in the end.
    Link(Target),
    /// A pipe, socket or device.
    Special,
}

/// What a symbolic link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Nothing, or itself.
    Missing,
    /// A pipe, socket or device.
    Special,
}

/// An entry that kubelet opens and cannot read, so that it does not start.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("kubelet would not start with {name:?} in the directory: it {why}; remove or rename it")]
pub struct Unreadable {
    /// The entry's name.
    pub name: String,
    /// What is wrong with it.
    pub why: Why,
}

/// Why kubelet cannot read an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Why {
    /// A link that leads nowhere.
    #[error("is a link that leads nowhere")]
    Dangling,
    /// A link to a directory; directories themselves are skipped.
    #[error("is a link to a directory")]
    Directory,
    /// Reading it may never end.
    #[error("is no regular file")]
    Special,
}

/// The names of the files that kubelet reads, in the order in which it reads them.
///
/// Those count that end in `.json`, `.yaml` or `.yml`, hidden ones too. Directories are skipped, not entered. An empty
/// file is read, and then refused by [`super::config::load`]; so is a directory without any file. Names that are not
/// UTF-8 are for the caller to refuse: kubelet would read them.
///
/// # Errors
/// All entries that kubelet would open in vain.
pub fn read<'n>(
    entries: impl IntoIterator<Item = (&'n str, Entry)>,
) -> Result<Vec<&'n str>, Vec<Unreadable>> {
    let mut names = Vec::new();
    let mut unreadable = Vec::new();
    for (name, entry) in entries {
        if !counts(name) {
            continue;
        }
        let why = match entry {
            Entry::Directory => continue,
            Entry::File | Entry::Link(Target::File) => {
                names.push(name);
                continue;
            }
            Entry::Link(Target::Missing) => Why::Dangling,
            Entry::Link(Target::Directory) => Why::Directory,
            Entry::Link(Target::Special) | Entry::Special => Why::Special,
        };
        let name = name.to_owned();
        unreadable.push(Unreadable { name, why });
    }
    if !unreadable.is_empty() {
        unreadable.sort_by(|one, other| one.name.cmp(&other.name));
        return Err(unreadable);
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether kubelet takes an entry of this name for a file of its configuration, if it is no directory.
pub fn counts(name: &str) -> bool {
    [".json", ".yaml", ".yml"]
        .iter()
        .any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_taken_by_their_suffix_in_the_order_of_their_bytes() {
        let listing = [
            ("b.yaml", Entry::File),
            ("a.json", Entry::Link(Target::File)),
            ("B.yml", Entry::File),
            (".hidden.yaml", Entry::File),
            (".yaml", Entry::File),
            ("c.yaml.tmp", Entry::File),
            ("C.YAML", Entry::File),
            ("README", Entry::Link(Target::Missing)),
            ("d.yaml", Entry::Directory),
            ("..data", Entry::Link(Target::Directory)),
        ];
        assert_eq!(
            read(listing).unwrap(),
            [".hidden.yaml", ".yaml", "B.yml", "a.json", "b.yaml"]
        );
        assert_eq!(read([]).unwrap(), [""; 0]);
    }

    #[test]
    fn entries_that_cannot_be_read_are_all_told() {
        let listing = [
            ("z.yaml", Entry::Link(Target::Missing)),
            ("good.yaml", Entry::File),
            ("b.yml", Entry::Link(Target::Directory)),
            ("a.json", Entry::Special),
        ];
        let found = read(listing).unwrap_err();
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.name.as_str(), one.why))
            .collect();
        assert_eq!(
            found,
            [
                ("a.json", Why::Special),
                ("b.yml", Why::Directory),
                ("z.yaml", Why::Dangling)
            ]
        );
    }
}
