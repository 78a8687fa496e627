//! A configuration, and what the two say to it.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine};
use pullkeeper_core::provider::config::{self, Kubelet, Program, Programs, Source};
use pullkeeper_core::provider::folder::{self, Target};
use serde::Deserialize;
use serde_json::json;

use crate::reader_models::oracle::Oracle;

/// What is laid out for kubelet, of version 1.36.
#[derive(Clone)]
pub(crate) struct Case {
    /// The flag names the directory, and not the only file in it.
    pub(crate) directory: bool,
    pub(crate) files: Vec<Entry>,
    pub(crate) programs: Vec<Entry>,
    pub(crate) has_bin_dir: bool,
    pub(crate) tokens: bool,
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) content: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Program,
    Directory,
    Link,
    LinkToDirectory,
    Dangling,
}

impl Entry {
    pub(crate) fn new(name: &str, kind: Kind, content: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            content: content.to_owned(),
        }
    }

    fn json(&self) -> serde_json::Value {
        let kind = match self.kind {
            Kind::File => "file",
            Kind::Program => "program",
            Kind::Directory => "directory",
            Kind::Link => "link",
            Kind::LinkToDirectory => "link-to-directory",
            Kind::Dangling => "dangling",
        };
        json!({ "name": self.name, "kind": kind, "content": BASE64_STANDARD.encode(&self.content) })
    }
}

impl Case {
    /// One file, named by the flag, with the programs `ours` and `theirs` and what cannot be executed.
    pub(crate) fn single(name: &str, content: &[u8]) -> Self {
        let program = |name, kind| Entry::new(name, kind, b"#!/bin/sh\n");
        Self {
            directory: false,
            files: vec![Entry::new(name, Kind::File, content)],
            programs: vec![
                program("ours", Kind::Program),
                program("theirs", Kind::Link),
                program("a;b", Kind::Program),
                program("folder", Kind::Directory),
                program("folder-link", Kind::LinkToDirectory),
                program("plain", Kind::File),
                program("nowhere", Kind::Dangling),
            ],
            has_bin_dir: true,
            tokens: true,
        }
    }

    /// What kubelet does.
    pub(crate) fn ask(&self, oracle: &mut Oracle) -> Verdict {
        let entries = |entries: &[Entry]| entries.iter().map(Entry::json).collect::<Vec<_>>();
        let answer: Answer = oracle.exchange(&json!({
            "client": "provider-config",
            "provider": {
                "directory": self.directory,
                "files": entries(&self.files),
                "programs": entries(&self.programs),
                "no_bin_dir": !self.has_bin_dir,
                "tokens": self.tokens,
            },
        }));
        if !answer.error.is_empty() {
            return Verdict::Refused {
                stricter: false,
                why: vec![answer.error],
            };
        }
        Verdict::Loaded(Loaded {
            hash: answer.hash,
            providers: answer.providers.unwrap_or_default(),
        })
    }

    /// What the model says.
    pub(crate) fn judge(&self) -> Verdict {
        let programs: Programs = self
            .programs
            .iter()
            .map(|entry| {
                let program = match entry.kind {
                    Kind::Program | Kind::Link => Program::Executable,
                    Kind::File => Program::NotExecutable,
                    Kind::Directory | Kind::LinkToDirectory => Program::Directory,
                    Kind::Dangling => Program::Missing,
                };
                (entry.name.clone(), program)
            })
            .collect();
        let kubelet = Kubelet {
            minor: 36,
            tokens: self.tokens,
        };
        let names = match self.directory {
            true => folder::read(self.files.iter().map(|entry| {
                let found = match entry.kind {
                    Kind::File | Kind::Program => folder::Entry::File,
                    Kind::Directory => folder::Entry::Directory,
                    Kind::Link => folder::Entry::Link(Target::File),
                    Kind::LinkToDirectory => folder::Entry::Link(Target::Directory),
                    Kind::Dangling => folder::Entry::Link(Target::Missing),
                };
                (entry.name.as_str(), found)
            })),
            false => Ok(vec![self.files[0].name.as_str()]),
        };
        let names = match names {
            Ok(names) => names,
            Err(unreadable) => {
                let why = unreadable.iter().map(ToString::to_string).collect();
                return Verdict::Refused {
                    stricter: false,
                    why,
                };
            }
        };
        let paths: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
        let files: Vec<_> = paths.iter().map(|path| self.file(path)).collect();
        let source = match self.directory {
            true => Source::Directory(&files),
            false => Source::File(files[0]),
        };
        match config::load(source, self.has_bin_dir.then_some(&programs), kubelet) {
            Ok(loaded) => Verdict::Loaded(loaded.into()),
            Err(faults) => Verdict::Refused {
                stricter: faults.iter().all(|fault| fault.what.is_stricter()),
                why: faults
                    .iter()
                    .map(|fault| format!("{fault}: {}", fault.what))
                    .collect(),
            },
        }
    }

    fn file<'c>(&'c self, path: &'c Path) -> config::File<'c> {
        let entry = self
            .files
            .iter()
            .find(|entry| Path::new(&entry.name) == path);
        let bytes = &entry.expect("listed").content;
        config::File { path, bytes }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            directory,
            tokens,
            has_bin_dir,
            ..
        } = self;
        writeln!(
            f,
            "directory {directory}, tokens {tokens}, bin dir {has_bin_dir}"
        )?;
        for Entry {
            name,
            kind,
            content,
        } in &self.files
        {
            writeln!(f, "{name:?} {kind:?} b\"{}\"", content.escape_ascii())?;
            writeln!(f, "{}", String::from_utf8_lossy(content))?;
        }
        Ok(())
    }
}

/// Whether kubelet starts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Loaded(Loaded),
    Refused {
        /// For reasons of our own alone.
        stricter: bool,
        why: Vec<String>,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Loaded {
    hash: String,
    providers: Vec<Provider>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    error: String,
    hash: String,
    providers: Option<Vec<Provider>>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Provider {
    name: String,
    api_version: String,
    match_images: Option<Vec<String>>,
    nanoseconds: u128,
    token: Option<Token>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Token {
    audience: String,
    cache_type: String,
    required: bool,
    keys: Option<Vec<String>>,
    optional: Option<Vec<String>>,
}

impl From<config::Loaded> for Loaded {
    fn from(loaded: config::Loaded) -> Self {
        // An empty list and none are one in Rust, and two in Go.
        let list = |list: Vec<String>| (!list.is_empty()).then_some(list);
        let providers = loaded.providers.into_iter().map(|provider| Provider {
            name: provider.name,
            api_version: provider.api_version,
            match_images: list(provider.match_images),
            nanoseconds: provider.default_cache_duration.as_nanos(),
            token: provider.token.map(|token| Token {
                audience: token.audience,
                cache_type: token.cache_type,
                required: token.require_service_account,
                keys: list(token.required_annotations),
                optional: list(token.optional_annotations),
            }),
        });
        Self {
            hash: loaded.hash,
            providers: providers.collect(),
        }
    }
}
