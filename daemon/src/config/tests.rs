use std::{
    ffi::OsString,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    keys::{KEYS, Key},
    *,
};

mod arbitrary;

/// A directory with a configuration, and an environment.
struct Case {
    directory: tempfile::TempDir,
    variables: Vec<(&'static str, &'static str)>,
    flags: Vec<FlagValue>,
}

impl Case {
    fn new(config: &str) -> Self {
        let case = Self {
            directory: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
            flags: Vec::new(),
        };
        case.write("config.toml", config.as_bytes());
        case
    }

    fn drop_in(self, name: &str, text: &str) -> Self {
        fs::create_dir_all(self.path("conf.d")).unwrap();
        self.write(&format!("conf.d/{name}"), text.as_bytes());
        self
    }

    fn variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    fn flag(mut self, flag: &str, value: &str) -> Self {
        let named = |key: &&Key| key.flag.is_some_and(|(name, _)| name == flag);
        let key = KEYS.iter().find(named).unwrap();
        self.flags.push(FlagValue {
            key,
            value: value.into(),
        });
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &[u8]) {
        fs::File::create(self.path(name))
            .unwrap()
            .write_all(text)
            .unwrap();
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        let variables = self.variables.clone();
        let environment = move |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        load(Some(&self.path("config.toml")), &self.flags, &environment)
    }

    fn settings(&self) -> Settings {
        self.load().unwrap().settings
    }

    /// The problems, with the directory left out of their places.
    fn problems(&self) -> Vec<String> {
        let directory = format!("{}/", self.directory.path().display());
        let error = self.load().unwrap_err();
        error
            .problems()
            .iter()
            .map(|problem| problem.to_string().replace(&directory, ""))
            .collect()
    }
}

pub(super) fn load_text(text: &str) -> Result<Loaded, ConfigError> {
    Case::new(text).load()
}

fn names(settings: &Settings) -> Vec<&str> {
    settings
        .sources
        .iter()
        .map(|source| source.name.as_str())
        .collect()
}

#[test]
fn nothing_at_all_is_a_configuration() {
    let missing = Path::new("/nonexistent/config.toml");
    let loaded = load_with_default(missing, None, &[], &|_| None).unwrap();
    assert!(loaded.files.is_empty());
    let wanted = Settings {
        node_name: None,
        state_dir: "/var/lib/pullkeeper".into(),
        resync_interval: Duration::from_secs(60),
        sources: vec![SourceSettings {
            name: "secret:openshift-config/pull-secret".to_owned(),
            origin: Origin::Secret {
                namespace: "openshift-config".to_owned(),
                name: "pull-secret".to_owned(),
                key: None,
            },
            scope: SourceScope::Node,
        }],
        targets: vec![TargetSettings {
            kind: TargetKind::Kubelet,
            path: "/var/lib/kubelet/config.json".into(),
            mode: 0o600,
            owner: None,
            merge: MergePolicy::Merge,
        }],
        validation: ValidationSettings {
            bad_entry: BadEntry::Skip,
            allow_empty: false,
            required_registries: Vec::new(),
            required_action: RequiredAction::Warn,
        },
        admin: AdminSettings {
            listen: Listen::Tcp("127.0.0.1:9409".parse().unwrap()),
        },
        broker: BrokerSettings {
            listen: Listen::Off,
            allowed_users: vec![0],
            allowed_groups: Vec::new(),
            store: StorePolicy::Ignore,
            exchange_cache: "/run/pullkeeper/exchange".into(),
        },
        credential_helper: None,
        kubelet_provider: ProviderSettings {
            management: Management::Unmanaged,
            profile: None,
            host_root: "/".into(),
            directory: "/opt/pullkeeper/kubelet".into(),
            helper: "/opt/pullkeeper/bin/docker-credential-pullkeeper".into(),
            match_images: ["*.*", "*.*.*", "*.*.*.*", "*.*.*.*.*", "*.*.*.*.*.*"]
                .map(str::to_owned)
                .to_vec(),
            token_audience: None,
            timeout: Duration::from_secs(180),
            settle: Duration::from_secs(30),
            health_url: None,
        },
        delegations: Vec::new(),
        log: LogSettings {
            format: LogFormat::Auto,
            level: "info".to_owned(),
        },
        kubernetes: KubernetesSettings {
            kubeconfig: None,
            events: true,
            rollouts: false,
            watch_timeout: Duration::from_secs(45),
            request_timeout: Duration::from_secs(10),
        },
        activation: ActivationSettings {
            units: Vec::new(),
            timeout: Duration::from_secs(120),
            settle: Duration::from_secs(10),
            health_url: None,
        },
        coordinator: CoordinatorSettings {
            lease_namespace: "pullkeeper".to_owned(),
            lease_name: "pullkeeper-coordinator".to_owned(),
            lease_duration: Duration::from_secs(60),
        },
    };
    assert_eq!(loaded.settings, wanted);
}

#[test]
fn a_named_file_must_exist_and_the_default_need_not() {
    let named = Path::new("/nonexistent/config.toml");
    let wanted = "/nonexistent/config.toml: cannot read the configuration: No such file or directory (os error 2)";
    let error = load(Some(named), &[], &|_| None).unwrap_err();
    assert_eq!(error.problems()[0].to_string(), wanted);
    let variable = |name: &str| (name == FILE_VARIABLE).then(|| OsString::from(named));
    assert_eq!(
        load(None, &[], &variable).unwrap_err().problems()[0].to_string(),
        wanted
    );
    let empty = |name: &str| (name == FILE_VARIABLE).then(OsString::new);
    assert!(load_with_default(named, None, &[], &empty).is_ok());
    // A link that leads nowhere is not a missing file: somebody meant something by it.
    let case = Case::new("");
    let link = case.path("link.toml");
    std::os::unix::fs::symlink("/nonexistent/elsewhere", &link).unwrap();
    assert!(load_with_default(&link, None, &[], &|_| None).is_err());
}

#[test]
fn drop_ins_are_read_beside_a_missing_default_file() {
    let case = Case::new("").drop_in("10-log.toml", "log.level = 'debug'");
    let missing = case.path("absent.toml");
    let loaded = load_with_default(&missing, None, &[], &|_| None).unwrap();
    assert_eq!(loaded.settings.log.level, "debug");
    assert_eq!(loaded.files, [case.path("conf.d/10-log.toml")]);
}

#[test]
fn file_drop_in_environment_flag_win_in_this_order() {
    let mut case = Case::new("log.level = 'error'\nnode_name = 'file'");
    assert_eq!(case.settings().log.level, "error");
    case = case
        .drop_in("20.toml", "log.level = 'warn'")
        .drop_in("10.toml", "log.level = 'off'");
    assert_eq!(case.settings().log.level, "warn");
    case = case
        .drop_in(".30.toml", "broken")
        .drop_in("40.toml~", "broken");
    assert_eq!(case.settings().log.level, "warn");
    case = case.variable("PULLKEEPER_LOG_LEVEL", "info");
    assert_eq!(case.settings().log.level, "info");
    case = case.flag("log-level", "debug");
    assert_eq!(case.settings().log.level, "debug");

    assert_eq!(case.settings().node_name.as_deref(), Some("file"));
    case = case.variable("NODE_NAME", "downward");
    assert_eq!(case.settings().node_name.as_deref(), Some("downward"));
    case = case.variable("PULLKEEPER_NODE_NAME", "own");
    assert_eq!(case.settings().node_name.as_deref(), Some("own"));
    case = case.flag("node-name", "flag");
    assert_eq!(case.settings().node_name.as_deref(), Some("flag"));
}

#[test]
fn every_flag_and_every_variable_reaches_its_setting() {
    let samples = [
        ("node-name", "worker-1", "node_name = \"worker-1\""),
        ("state-dir", "/x/state", "state_dir = \"/x/state\""),
        ("resync-interval", "90s", "resync_interval = \"90s\""),
        ("source-secret", "a/b", "secret = \"a/b\""),
        ("source-file", "/x/in.json", "file = \"/x/in.json\""),
        ("source-volume", "/x/volume", "volume = \"/x/volume\""),
        ("target", "docker=/x/out.json", "path = \"/x/out.json\""),
        ("bad-entry", "refuse", "bad_entry = \"refuse\""),
        ("allow-empty", "true", "allow_empty = true"),
        (
            "required-registry",
            "quay.io",
            "required_registries = [\"quay.io\"]",
        ),
        (
            "required-action",
            "enforce",
            "required_action = \"enforce\"",
        ),
        ("admin-listen", "off", "listen = \"off\""),
        ("broker-listen", "systemd", "listen = \"systemd\""),
        ("broker-allowed-user", "1000", "allowed_users = [\"1000\"]"),
        ("broker-allowed-group", "7", "allowed_groups = [\"7\"]"),
        ("broker-store", "refuse", "store = \"refuse\""),
        (
            "credential-helper-directory",
            "/x/bin",
            "directory = \"/x/bin\"",
        ),
        (
            "credential-helper-source",
            "/x/helper",
            "source = \"/x/helper\"",
        ),
        (
            "kubelet-provider-management",
            "managed",
            "management = \"managed\"",
        ),
        ("kubelet-provider-profile", "k3s", "profile = \"k3s\""),
        (
            "kubelet-provider-host-root",
            "/host",
            "host_root = \"/host\"",
        ),
        (
            "kubelet-provider-directory",
            "/x/kubelet",
            "directory = \"/x/kubelet\"",
        ),
        ("kubelet-provider-helper", "/x/y", "helper = \"/x/y\""),
        (
            "kubelet-provider-match-images",
            "quay.io",
            "match_images = [\"quay.io\"]",
        ),
        ("log-format", "json", "format = \"json\""),
        ("log-level", "trace", "level = \"trace\""),
        (
            "kubeconfig",
            "/x/kubeconfig",
            "kubeconfig = \"/x/kubeconfig\"",
        ),
        ("kubernetes-events", "false", "events = false"),
        ("kubernetes-rollouts", "false", "rollouts = false"),
        ("watch-timeout", "30s", "watch_timeout = \"30s\""),
        ("request-timeout", "5s", "request_timeout = \"5s\""),
    ];
    let known: Vec<&str> = KEYS
        .iter()
        .filter_map(|key| key.flag.map(|(flag, _)| flag))
        .collect();
    assert_eq!(known, samples.map(|(flag, ..)| flag));
    for (flag, value, wanted) in samples {
        let key = KEYS
            .iter()
            .find(|key| key.flag.is_some_and(|(name, _)| name == flag))
            .unwrap();
        let variable: &'static str = key.environment().unwrap().leak();
        for (case, place) in [
            (Case::new("").flag(flag, value), format!("# flag --{flag}")),
            (
                Case::new("").variable(variable, value),
                format!("# environment {variable}"),
            ),
        ] {
            let mut report = Vec::new();
            case.load().unwrap().write_to(&mut report).unwrap();
            let report = String::from_utf8(report).unwrap();
            let line = report
                .lines()
                .find(|line| line.starts_with(wanted))
                .expect(&report);
            assert!(line.ends_with(&place), "{line}");
        }
    }
}

#[test]
fn sources_of_files_are_joined_by_name_and_targets_by_path() {
    let case = Case::new(
        "source = [{ name = 'a', secret = 'n/a' }, { secret = 'n/b' }]
         target = [{ kind = 'kubelet' }, { kind = 'docker', mode = '0640' }]",
    )
    .drop_in(
        "10.toml",
        "source = [{ file = '/c' }, { secret = 'n/b', key = 'k' }, { name = 'a', secret = 'n/z' }]
         target = [{ kind = 'containers', path = '//root/.docker/config.json' }]",
    );
    let settings = case.settings();
    assert_eq!(names(&settings), ["a", "secret:n/b", "file:/c"]);
    let secret = |name: &str, key: Option<&str>| Origin::Secret {
        namespace: "n".to_owned(),
        name: name.to_owned(),
        key: key.map(str::to_owned),
    };
    assert_eq!(settings.sources[0].origin, secret("z", None));
    assert_eq!(settings.sources[1].origin, secret("b", Some("k")));
    assert_eq!(settings.targets.len(), 2);
    assert_eq!(settings.targets[1].kind, TargetKind::Containers);
    assert_eq!(
        settings.targets[1].path,
        Path::new("/root/.docker/config.json")
    );
    assert_eq!(
        settings.targets[1].mode, 0o600,
        "nothing of the former table is kept"
    );
}

#[test]
fn flags_and_environment_replace_lists() {
    let mut case = Case::new("source = [{ file = '/a' }]\ntarget = [{ kind = 'docker' }]");
    case = case
        .variable("PULLKEEPER_SOURCE_SECRET", "n/b, n/c")
        .variable("PULLKEEPER_TARGET", "");
    assert_eq!(names(&case.settings()), ["secret:n/b", "secret:n/c"]);
    assert_eq!(case.settings().targets[0].kind, TargetKind::Docker);
    case = case
        .flag("source-volume", "/v")
        .flag("source-secret", "n/d")
        .flag("source-volume", "/w")
        .flag("target", "containers")
        .flag("target", "kubelet=/k/config.json");
    assert_eq!(
        names(&case.settings()),
        ["volume:/v", "secret:n/d", "volume:/w"]
    );
    let paths: Vec<PathBuf> = case
        .settings()
        .targets
        .into_iter()
        .map(|target| target.path)
        .collect();
    assert_eq!(
        paths,
        ["/etc/containers/auth.json", "/k/config.json"].map(PathBuf::from)
    );
}

#[test]
fn an_empty_list_is_none() {
    let case = Case::new("source = [{ file = '/a' }]").drop_in("10.toml", "source = []");
    assert_eq!(names(&case.settings()), ["file:/a"]);
    assert_eq!(
        names(&load_text("source = []").unwrap().settings)[0],
        "secret:openshift-config/pull-secret"
    );
}

#[test]
fn relative_paths_are_for_flags_only() {
    let current = std::env::current_dir().unwrap();
    let case = Case::new("")
        .flag("source-file", "in.json")
        .flag("target", "docker=./out.json");
    let settings = case.settings();
    let path = current.join("in.json");
    assert_eq!(
        settings.sources[0].origin,
        Origin::File { path, shape: None }
    );
    assert_eq!(settings.targets[0].path, current.join("out.json"));

    let case = Case::new("source = [{ file = 'in.json' }]").variable("PULLKEEPER_STATE_DIR", "x");
    assert_eq!(
        case.problems(),
        [
            "environment PULLKEEPER_STATE_DIR: `state_dir` must be an absolute path, beginning with '/'",
            "config.toml:1: `source.file` must be an absolute path, beginning with '/'",
        ]
    );
}

#[test]
fn everything_that_is_wrong_with_the_form_is_reported_at_once() {
    let case = Case::new(
        "resync_intervall = '60s'
state_dir = 5
interval = '60s'
level = 'info'
frobnicate = 1
source = 'x'

[log]
levle = 'info'
[validation]
allow-empty = true
required_registries = ['quay.io', 1]
[admin]
listen = ['127.0.0.1:1']
[[target]]
kind = 'kubelet'
mode = 0o600
",
    )
    .drop_in("10.toml", "[[source]]\nnamed = 'x'\n[admin\n")
    .drop_in("20.toml", "admin = true")
    .variable("PULLKEEPER_ALLOW_EMPTY", "yes");
    assert_eq!(
        case.problems(),
        [
            "config.toml:1: unknown key `resync_intervall`; did you mean `resync_interval`?",
            "config.toml:2: `state_dir` must be a string with an absolute path, not a number",
            "config.toml:3: unknown key `interval`; did you mean `resync_interval`?",
            "config.toml:4: unknown key `level`; did you mean `log.level`?",
            "config.toml:5: unknown key `frobnicate`; known here: `node_name`, `state_dir`, `resync_interval`, \
             `source`, `target`, `validation`, `activation`, `admin`, `broker`, `credential_helper`, `kubelet_provider`, `delegation`, `log`, `kubernetes`, `coordinator`",
            "config.toml:6: `source` must be an array of tables, written with a header in double brackets, not a string",
            "config.toml:9: unknown key `log.levle`; did you mean `log.level`?",
            "config.toml:11: unknown key `validation.allow-empty`; did you mean `validation.allow_empty`?",
            "config.toml:12: `validation.required_registries` must be an array of strings, such as [\"quay.io\"], not a number",
            "config.toml:14: `admin.listen` must be a string, in quotes, not an array",
            "config.toml:17: `target.mode` must be a string, in quotes, not a number",
            "conf.d/10.toml:3: not valid TOML: unclosed table, expected `]`",
            "conf.d/20.toml:1: `admin` must be a table, not a boolean",
            "environment PULLKEEPER_ALLOW_EMPTY: `validation.allow_empty` must be true or false, not a string",
        ]
    );
    let error = case.load().unwrap_err();
    assert_eq!(error.problems()[0].kind(), "unknown_key");
    assert!(
        error
            .to_string()
            .starts_with("cannot use the configuration: ")
    );
    assert!(!error.to_string().contains('\n'));
}

#[test]
fn files_that_are_no_text_are_named() {
    let case = Case::new("");
    case.write("config.toml", b"node_name = '\xff'");
    assert_eq!(
        case.problems(),
        ["config.toml: cannot read the configuration: stream did not contain valid UTF-8"]
    );
    case.write("config.toml", &[b'#'; (1 << 20) + 1]);
    assert_eq!(
        case.problems(),
        ["config.toml: cannot read the configuration: more than 1 MiB"]
    );
    let case = Case::new("");
    fs::create_dir_all(case.path("conf.d/10.toml")).unwrap();
    assert_eq!(
        case.problems(),
        ["conf.d/10.toml: cannot read the configuration: Is a directory (os error 21)"]
    );
}

#[test]
fn a_credential_in_the_wrong_place_is_not_repeated() {
    const SECRET: &str = "dXNlcjpodW50ZXIy";
    let document: &'static str = r#"{"auths":{"quay.io":{"auth":"dXNlcjpodW50ZXIy"}}}"#;
    let mut errors = Vec::new();
    errors.push(Case::new(document).load().unwrap_err());
    errors.push(
        Case::new("")
            .variable("PULLKEEPER_SOURCE_SECRET", document)
            .load()
            .unwrap_err(),
    );
    for (flag, _) in KEYS.iter().filter_map(|key| key.flag) {
        for value in [SECRET, document] {
            errors.extend(Case::new("").flag(flag, value).load().err());
        }
    }
    for key in KEYS.iter().filter(|key| key.path.starts_with("source.")) {
        let name = key.path.strip_prefix("source.").unwrap();
        let text = format!("[[source]]\n{name} = '{document}'\nsecret = 'a/b' = '{SECRET}'");
        errors.push(Case::new(&text).load().unwrap_err());
        errors.extend(
            Case::new(&format!("[[source]]\n{name} = '{document}'"))
                .load()
                .err(),
        );
    }
    assert!(errors.len() > 30, "{}", errors.len());
    for error in errors {
        assert!(!error.to_string().contains(SECRET), "{error}");
        assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
    }
}

#[test]
fn the_report_is_a_configuration_that_means_the_same() {
    let case = Case::new(
        "node_name = 'worker-0'
         source = [
            { name = 'global', secret = 'openshift-config/pull-secret', key = 'k' },
            { file = '/in \"x\" # y.json', shape = 'dockercfg' },
            { volume = '/v' },
            { label_selector = 'a in (b,c)', namespace = 'n' },
         ]
         target = [{ kind = 'docker', owner = '0:5', mode = '0640' }, { kind = 'kubelet', merge = 'observe' }]",
    )
    .drop_in("10.toml", "[validation]\nrequired_registries = ['quay.io', '[::1]:5000/a']")
    .variable("PULLKEEPER_KUBECONFIG", "/kube")
    .flag("admin-listen", "unix:/run/pullkeeper/admin.sock");
    let loaded = case.load().unwrap();
    let mut report = Vec::new();
    loaded.write_to(&mut report).unwrap();
    let report = String::from_utf8(report).unwrap();
    assert!(
        report.contains(&format!("# read {}", case.path("conf.d/10.toml").display())),
        "{report}"
    );
    assert_eq!(
        load_text(&report).unwrap().settings,
        loaded.settings,
        "{report}"
    );
}
