//! The process that is kubelet, or has it inside, as the host's procfs shows it.

use std::io;

use pullkeeper_core::placement::plan::FLAGS;
use pullkeeper_core::provider::flags;

use super::root::Root;

/// A running process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Its words.
    pub(super) argv: Vec<String>,
}

impl Process {
    /// Whether it is kubelet, and not something that has it inside.
    pub(super) fn is_kubelet(&self) -> bool {
        rank(&self.argv) == Some(0)
    }

    /// The values of both flags, in the order of [`FLAGS`].
    pub(super) fn flags(&self) -> [Option<String>; 2] {
        FLAGS.map(|flag| flags::value(&self.argv, flag).map(str::to_owned))
    }
}

/// What kubelet runs as, the ones that have it inside last.
const PROGRAMS: [&str; 3] = ["kubelet", "k3s", "microshift"];

/// Kubelet's process. Those of containers, such as the nodes of a kind cluster, are not the host's.
pub(super) fn kubelet(root: &Root) -> io::Result<Option<Process>> {
    let mut found = Vec::new();
    for name in root.list("/proc")?.into_keys() {
        let Ok(pid) = name.parse::<u32>() else {
            continue;
        };
        // One that has ended meanwhile is none.
        if let Ok(Some(process)) = read(root, pid)
            && let Some(rank) = rank(&process.argv)
            && is_own(root, pid)
        {
            found.push((rank, process));
        }
    }
    found.sort_by_key(|(rank, process)| (*rank, process.pid));
    Ok(found.into_iter().next().map(|(_, process)| process))
}

/// The process with this ID, if there is one.
pub(super) fn read(root: &Root, pid: u32) -> io::Result<Option<Process>> {
    let bytes = root.read(&format!("/proc/{pid}/cmdline"))?;
    let words = bytes.filter(|bytes| !bytes.is_empty()).map(|bytes| {
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        let words = bytes.split(|byte| *byte == 0);
        words
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect()
    });
    Ok(words.map(|argv| Process { pid, argv }))
}

fn rank(argv: &[String]) -> Option<usize> {
    // k3s writes its subcommand into the same word.
    let mut words = argv
        .first()?
        .split_whitespace()
        .chain(argv.get(1).map(String::as_str));
    let program = words.next()?.rsplit('/').next()?;
    let rank = PROGRAMS.iter().position(|name| *name == program)?;
    // `k3s kubectl` and the like are nobody's kubelet.
    let command = words.next().unwrap_or_default();
    let runs = match program {
        "k3s" => ["server", "agent"].contains(&command),
        "microshift" => command == "run",
        _ => true,
    };
    runs.then_some(rank)
}

/// Whether a process is in the PID namespace that this procfs shows, and not in one below it (proc_pid_status(5), `NSpid`).
fn is_own(root: &Root, pid: u32) -> bool {
    let status = root.text(&format!("/proc/{pid}/status")).ok().flatten();
    let status = status.unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    ids.is_some_and(|ids| ids.split_whitespace().count() == 1)
}

#[cfg(test)]
mod tests {
    use std::fs::{File, create_dir_all};
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_host_s_kubelet_is_found_among_others() {
        let folder = tempfile::tempdir().unwrap();
        let process = |pid: u32, words: &str, ids: &str| {
            let directory = folder.path().join(format!("proc/{pid}"));
            create_dir_all(&directory).unwrap();
            let file = |name: &str, text: &str| {
                let mut file = File::create(directory.join(name)).unwrap();
                file.write_all(text.as_bytes()).unwrap();
            };
            file("cmdline", words);
            file("status", &format!("Name:\tx\nNSpid:\t{ids}\n"));
        };
        let root = Root::new(folder.path());
        process(1, "/lib/systemd/systemd\0", "1");
        process(2, "", "2");
        process(3, "/usr/bin/kubelet\0--v=2\0", "3\t77");
        process(4, "/usr/local/bin/k3s\0kubectl\0", "4");
        process(5, "vi\0kubelet\0", "5");
        assert_eq!(kubelet(&root).unwrap(), None);
        process(10, "/usr/local/bin/k3s server\0", "10");
        assert_eq!(kubelet(&root).unwrap().unwrap().pid, 10);
        process(11, "/usr/bin/kubelet\0--v=2\0\0", "11");
        let found = kubelet(&root).unwrap().unwrap();
        assert_eq!(
            (found.pid, found.argv.join("|").as_str()),
            (11, "/usr/bin/kubelet|--v=2|")
        );
    }
}
