use std::{
    fs,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use tracing::{debug, error, info, subscriber::with_default, trace, warn};

use super::*;

/// Set for the process that a test starts from its own binary.
const CHILD: &str = "PULLKEEPER_TEST_CHILD";

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

fn build(style: Style, level: &str) -> (impl Subscriber + Send + Sync, LogControl, Lines) {
    let lines = Lines::default();
    let writer = lines.clone();
    let (subscriber, control) = super::build(style, level, move || writer.clone()).unwrap();
    (subscriber, control, lines)
}

#[test]
fn auto_chooses_by_surroundings() {
    let nowhere = Surroundings::default();
    let pod = Surroundings {
        pod: true,
        ..Surroundings::default()
    };
    let shell_in_pod = Surroundings {
        pod: true,
        terminal: true,
        ..Surroundings::default()
    };
    let host = Surroundings {
        journal: true,
        ..Surroundings::default()
    };
    for (format, surroundings, style) in [
        (LogFormat::Auto, &nowhere, Style::Plain),
        (LogFormat::Auto, &pod, Style::Json),
        (LogFormat::Auto, &shell_in_pod, Style::Plain),
        (LogFormat::Auto, &host, Style::Journal),
        (LogFormat::Text, &pod, Style::Plain),
        (LogFormat::Text, &host, Style::Journal),
        (LogFormat::Json, &host, Style::Json),
        (LogFormat::Json, &shell_in_pod, Style::Json),
    ] {
        assert_eq!(
            Style::choose(format, surroundings),
            style,
            "{format:?} {surroundings:?}"
        );
    }
}

#[test]
fn surroundings_come_from_the_environment() {
    let none = Surroundings::of_process(&|_| None);
    assert!(!none.pod && !none.journal);
    let pod =
        Surroundings::of_process(&|name| (name == "KUBERNETES_SERVICE_HOST").then(|| "x".into()));
    assert!(pod.pod && !pod.journal);
}

#[test]
fn the_journal_is_known_by_device_and_inode() {
    let file = tempfile::tempfile().unwrap();
    let metadata = file.metadata().unwrap();
    let (device, inode) = (metadata.dev(), metadata.ino());
    assert!(journal::is_stream(&format!("{device}:{inode}"), &file));
    for other in [
        format!("{device}:{}", inode + 1),
        format!("{}:{inode}", device + 1),
        String::new(),
        ":".to_owned(),
        format!("{device}"),
        "x:y".to_owned(),
    ] {
        assert!(!journal::is_stream(&other, &file), "{other}");
    }
}

#[test]
fn journal_lines_have_a_priority_and_no_time() {
    let (subscriber, _, lines) = build(Style::Journal, "trace");
    with_default(subscriber, || {
        error!(path = "/x", "one");
        warn!("two");
        info!("three");
        debug!("four");
        trace!("five");
    });
    let target = module_path!();
    let wanted = [
        format!("<3>{target}: one path=\"/x\""),
        format!("<4>{target}: two"),
        format!("<6>{target}: three"),
        format!("<7>{target}: four"),
        format!("<7>{target}: five"),
    ];
    assert_eq!(lines.take().lines().collect::<Vec<_>>(), wanted);
}

#[test]
fn json_lines_are_flat_objects() {
    let (subscriber, _, lines) = build(Style::Json, "info");
    with_default(subscriber, || {
        info!(source = "global", entries = 3, "installed")
    });
    let line: serde_json::Value = serde_json::from_str(&lines.take()).unwrap();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["message"], "installed");
    assert_eq!(line["source"], "global");
    assert_eq!(line["entries"], 3);
    assert!(line["timestamp"].is_string());
}

#[test]
fn plain_lines_begin_with_the_time() {
    let (subscriber, _, lines) = build(Style::Plain, "info");
    with_default(subscriber, || info!("installed"));
    let line = lines.take();
    assert!(
        line.starts_with("20") && line.contains("Z  INFO "),
        "{line}"
    );
    assert!(!line.contains('\x1b'), "{line}");
}

#[test]
fn the_filter_changes_while_running() {
    let (subscriber, control, lines) = build(Style::Journal, "warn");
    with_default(subscriber, || {
        info!("hidden");
        control.set_level("info").unwrap();
        info!("shown");
        assert!(control.set_level("info,kube=loud").is_err());
        info!("still");
        control.set_level("off").unwrap();
        error!("gone");
    });
    let shown = lines.take();
    let messages: Vec<&str> = shown
        .lines()
        .filter_map(|line| line.rsplit(' ').next())
        .collect();
    assert_eq!(messages, ["shown", "still"]);
}

#[test]
fn a_panic_shows_its_place_and_not_its_message() {
    if let Some(mode) = std::env::var_os(CHILD) {
        install_panic_hook();
        if mode == "logging" {
            let settings = LogSettings {
                format: LogFormat::Json,
                level: "info".to_owned(),
            };
            start(&settings, &|_| None).unwrap();
            assert!(matches!(
                start(&settings, &|_| None),
                Err(TelemetryError::Started(_))
            ));
        }
        panic!("dXNlcjpodW50ZXIy");
    }
    for (mode, wanted) in [
        ("bare", "pullkeeper: panicked at "),
        ("logging", "\"message\":\"panicked\""),
    ] {
        let log = tempfile::NamedTempFile::new().unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "telemetry::tests::a_panic_shows_its_place_and_not_its_message",
            ])
            .env(CHILD, mode)
            .stdout(Stdio::null())
            .stderr(fs::File::create(log.path()).unwrap())
            .status()
            .unwrap();
        assert!(!status.success());
        let mut shown = String::new();
        fs::File::open(log.path())
            .unwrap()
            .read_to_string(&mut shown)
            .unwrap();
        assert!(shown.contains(wanted), "{shown}");
        assert!(shown.contains("telemetry/tests.rs:"), "{shown}");
        assert!(!shown.contains("dXNlcjpodW50ZXIy"), "{shown}");
        assert_eq!(shown.lines().count(), 1, "{shown}");
    }
}
