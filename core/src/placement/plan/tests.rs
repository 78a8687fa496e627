use super::super::host::Command;
use super::*;

fn wish() -> Wish {
    Wish {
        directory: "/opt/pullkeeper/kubelet".to_owned(),
        helper: "/opt/pullkeeper/bin/docker-credential-pullkeeper".to_owned(),
        config: ours().into_bytes(),
    }
}

/// What a plan says, with a word for the version that its paths have.
fn shown(text: &str) -> String {
    let Some((before, rest)) = text.split_once("/config-") else {
        return text.to_owned();
    };
    format!("{before}/config-VERSION{}", shown(&rest[12..]))
}

fn ours() -> String {
    crate::provider::render::render(crate::provider::render::Ours {
        match_images: &["*.*".to_owned()],
        socket: None,
        timeout: None,
        token: None,
    })
}

/// A configuration with one provider of this name.
fn naming(name: &str) -> Vec<u8> {
    ours().replace(PROVIDER_NAME, name).into_bytes()
}

fn unit(argv: &[&str], files: &[&str]) -> Unit {
    let owned = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    Unit {
        name: "kubelet.service".to_owned(),
        exec_start: vec![Command {
            path: argv[0].to_owned(),
            argv: owned(argv),
            flags: Vec::new(),
        }],
        environment_files: owned(files),
        files: Vec::new(),
    }
}

fn host(minor: u32) -> Host {
    Host {
        minor: Some(minor),
        ..Host::default()
    }
}

fn vendor(config: &str, files: &[&str], programs: &[(&str, Program)]) -> Vendor {
    Vendor {
        config: Some(config.to_owned()),
        files: files
            .iter()
            .map(|path| ((*path).to_owned(), naming("ecr-credential-provider")))
            .collect(),
        directory: Some("/usr/libexec/providers".to_owned()),
        programs: programs
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), *kind))
            .collect(),
    }
}

fn texts(texts: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = texts
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    owned.collect()
}

fn planned(profile: Profile, unit: &Unit, files: &[(&str, &str)]) -> Result<Plan, Refusal> {
    plan(
        &wish(),
        profile,
        unit,
        &host(36),
        &Vendor::default(),
        &texts(files),
    )
}

const WORDS: &str = "--image-credential-provider-config=/opt/pullkeeper/kubelet/config-VERSION \
                     --image-credential-provider-bin-dir=/opt/pullkeeper/kubelet/bin";

#[test]
fn a_plain_kubelet_gets_a_folder_of_its_own() {
    let unit = unit(&["/usr/bin/kubelet", "$ARGS"], &[]);
    let plan = planned(Profile::Generic, &unit, &[]).unwrap();
    let files: Vec<_> = plan.files.keys().map(|path| shown(path)).collect();
    assert_eq!(
        files,
        [
            "/opt/pullkeeper/kubelet/bin/pullkeeper-credential-provider",
            "/opt/pullkeeper/kubelet/config-VERSION/50-pullkeeper.yaml",
        ]
    );
    assert!(plan.links.is_empty());
    assert_eq!(
        plan.switch.path,
        "/etc/systemd/system/kubelet.service.d/90-pullkeeper.conf"
    );
    let command = format!("ExecStart=\nExecStart=/usr/bin/kubelet $ARGS {WORDS}\n");
    assert!(
        shown(&plan.switch.content).ends_with(&command),
        "{}",
        plan.switch.content
    );
    assert!(plan.switch.ours && plan.switch.reload);
}

#[test]
fn what_a_vendor_has_is_linked_and_comes_first() {
    let programs = [
        ("ecr-credential-provider", Program::Executable),
        ("README", Program::NotExecutable),
        ("folder", Program::Directory),
        ("dangling", Program::Missing),
    ];
    let vendor = vendor("/etc/eks/config", &["/etc/eks/config"], &programs);
    let unit = unit(&["/usr/bin/kubelet"], &[]);
    let plan = plan(
        &wish(),
        Profile::Eks,
        &unit,
        &host(34),
        &vendor,
        &texts(&[]),
    )
    .unwrap();
    let expected = [
        (
            "/opt/pullkeeper/kubelet/bin/ecr-credential-provider",
            "/usr/libexec/providers/ecr-credential-provider",
        ),
        // Whatever it is called, kubelet reads it.
        (
            "/opt/pullkeeper/kubelet/config-VERSION/10-config.yaml",
            "/etc/eks/config",
        ),
    ];
    let links = plan
        .links
        .iter()
        .map(|(path, to)| (shown(path), to.clone()));
    assert_eq!(links.collect::<BTreeMap<_, _>>(), texts(&expected));
}

#[test]
fn an_older_kubelet_reads_one_file() {
    let unit = unit(&["/usr/bin/kubelet"], &[]);
    let none = Vendor::default();
    let alone = plan(
        &wish(),
        Profile::Generic,
        &unit,
        &host(33),
        &none,
        &texts(&[]),
    )
    .unwrap();
    assert_eq!(
        shown(&alone.flags[0]),
        "/opt/pullkeeper/kubelet/config-VERSION/50-pullkeeper.yaml"
    );
    let vendor = vendor("/etc/ecr.yaml", &["/etc/ecr.yaml"], &[]);
    let refused = plan(
        &wish(),
        Profile::Generic,
        &unit,
        &host(33),
        &vendor,
        &texts(&[]),
    );
    assert!(
        matches!(refused, Err(Refusal::OneFile { minor: 33, .. })),
        "{refused:?}"
    );
    let nobody_knows = plan(
        &wish(),
        Profile::Generic,
        &unit,
        &Host::default(),
        &none,
        &texts(&[]),
    );
    assert_eq!(nobody_knows, Err(Refusal::Version));
}

#[test]
fn kubeadm_s_file_for_administrators_is_added_to() {
    let files = ["/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet"];
    let unit = unit(&["/usr/bin/kubelet", "$KUBELET_EXTRA_ARGS"], &files);
    let fresh = planned(Profile::Kubeadm, &unit, &[]).unwrap();
    assert_eq!(fresh.switch.path, "/etc/default/kubelet");
    assert_eq!(
        shown(&fresh.switch.content),
        format!("# Pullkeeper's, with the next line.\nKUBELET_EXTRA_ARGS={WORDS}\n")
    );
    let has = [("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--v=2\n")];
    let added = planned(Profile::Kind, &unit, &has).unwrap();
    assert_eq!(
        shown(&added.switch.content),
        format!("KUBELET_EXTRA_ARGS=--v=2 {WORDS}\n")
    );
    assert!(!added.switch.ours && !added.switch.reload);
    let odd = [("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=\"--v=2\n")];
    let refused = planned(Profile::Kubeadm, &unit, &odd);
    assert!(
        matches!(refused, Err(Refusal::ExtraArgs { .. })),
        "{refused:?}"
    );
}

#[test]
fn k3s_has_a_file_beside_its_own() {
    let unit = Unit {
        name: "k3s.service".to_owned(),
        ..Unit::default()
    };
    let plan = planned(
        Profile::K3s,
        &unit,
        &[("/etc/rancher/k3s/config.yaml", "token: x\n")],
    )
    .unwrap();
    assert_eq!(
        plan.switch.path,
        "/etc/rancher/k3s/config.yaml.d/90-pullkeeper.yaml"
    );
    assert!(
        plan.switch
            .content
            .contains("\nimage-credential-provider-bin-dir: \"/opt/pullkeeper/kubelet/bin\"\n")
    );
    let other = [(
        "/etc/rancher/k3s/config.yaml",
        "image-credential-provider-config: /x\n",
    )];
    let refused = planned(Profile::K3s, &unit, &other);
    assert!(
        matches!(refused, Err(Refusal::OtherFile { .. })),
        "{refused:?}"
    );
    let again = [(
        "/etc/rancher/rke2/config.yaml.d/90-pullkeeper.yaml",
        plan.switch.content.as_str(),
    )];
    assert!(
        planned(Profile::Rke2, &unit, &again).is_ok(),
        "our own is none of others"
    );
}

#[test]
fn an_unusual_command_is_left_alone() {
    let plain = unit(&["/usr/bin/kubelet"], &[]);
    let mut several = plain.clone();
    several.exec_start.push(Command::default());
    let mut special = plain.clone();
    special.exec_start[0].flags = vec!["no-env-expand".to_owned()];
    let mut renamed = plain;
    renamed.exec_start[0].path = "/usr/bin/hyperkube".to_owned();
    for (unit, word) in [
        (several, "2 commands"),
        (special, "no-env-expand"),
        (renamed, "another name"),
    ] {
        let refused = planned(Profile::Generic, &unit, &[]).unwrap_err();
        assert!(refused.to_string().contains(word), "{refused}");
    }
}

#[test]
fn half_of_the_flags_and_our_own_name_are_refused() {
    let unit = unit(&["/usr/bin/kubelet"], &[]);
    let half = Vendor {
        config: Some("/x".to_owned()),
        ..Vendor::default()
    };
    let refused = plan(
        &wish(),
        Profile::Generic,
        &unit,
        &host(36),
        &half,
        &texts(&[]),
    );
    assert_eq!(refused, Err(Refusal::OneFlag(FLAGS[0])));
    let taken = vendor("/x", &["/x"], &[(PROVIDER_NAME, Program::Executable)]);
    let refused = plan(
        &wish(),
        Profile::Generic,
        &unit,
        &host(36),
        &taken,
        &texts(&[]),
    );
    assert!(
        matches!(refused, Err(Refusal::NameTaken { .. })),
        "{refused:?}"
    );
}

#[test]
fn what_kubelet_would_not_read_is_not_planned() {
    let unit = unit(&["/usr/bin/kubelet"], &[]);
    let planned = |vendor: &Vendor| {
        plan(
            &wish(),
            Profile::Generic,
            &unit,
            &host(36),
            vendor,
            &texts(&[]),
        )
    };
    let good = vendor(
        "/x",
        &["/x"],
        &[("ecr-credential-provider", Program::Executable)],
    );
    let loaded = planned(&good).unwrap().loaded;
    let names: Vec<_> = loaded
        .providers
        .iter()
        .map(|provider| provider.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["ecr-credential-provider", PROVIDER_NAME],
        "the vendor's is asked first"
    );

    let gone = vendor("/x", &["/x"], &[]);
    let refused = planned(&gone).unwrap_err();
    assert!(matches!(refused, Refusal::Vendor(_)), "{refused}");
    assert!(
        refused.to_string().contains("ecr-credential-provider"),
        "{refused}"
    );
    let mut broken = good.clone();
    broken
        .files
        .insert("/x".to_owned(), b"providers: [".to_vec());
    assert!(matches!(planned(&broken), Err(Refusal::Vendor(_))));

    let mut twice = good;
    twice.files.insert("/x".to_owned(), naming(PROVIDER_NAME));
    twice
        .programs
        .insert(PROVIDER_NAME.to_owned(), Program::NotExecutable);
    assert!(matches!(
        planned(&twice),
        Err(Refusal::Vendor(_) | Refusal::NameTaken { .. })
    ));
}
