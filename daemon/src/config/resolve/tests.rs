use super::super::tests::load_text;

pub(crate) fn problems(text: &str) -> Vec<String> {
    let error = load_text(text).unwrap_err();
    let of_line = |problem: &super::Problem| {
        let text = problem.to_string();
        text.split_once("config.toml:")
            .map_or(text.clone(), |(_, line)| line.to_owned())
    };
    error.problems().iter().map(of_line).collect()
}

#[test]
fn every_bad_value_is_reported() {
    let text = "node_name = 'Worker_0'
resync_interval = '500ms'
[[source]]
secret = 'pull-secret'
key = '../x'
[[target]]
kind = 'kubelet'
mode = '0644'
owner = 'root:root'
merge = 'merg'
[validation]
bad_entry = 'ignore'
required_registries = ['quay.io', 'https://ghcr.io']
[admin]
listen = 'localhost:9409'
[log]
level = 'inof'
[kubernetes]
kubeconfig = 'kubeconfig'
watch_timeout = '10.5s'
request_timeout = '1h'
";
    let lines: Vec<String> = problems(text)
        .iter()
        .map(|problem| problem.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "1: `node_name`",
            "2: `resync_interval`",
            "5: `source.key`",
            "4: `source.secret`",
            "8: `target.mode`",
            "9: `target.owner`",
            "10: `target.merge`",
            "12: `validation.bad_entry`",
            "13: `validation.required_registries`",
            "15: `admin.listen`",
            "17: `log.level`",
            "19: `kubernetes.kubeconfig`",
            "20: `kubernetes.watch_timeout`",
            "21: `kubernetes.request_timeout`",
        ]
    );
    assert_eq!(
        problems("resync_interval = '25h'"),
        ["1: `resync_interval` must be from 1s to 24h"]
    );
}

#[test]
fn a_source_has_one_origin_and_what_fits_it() {
    let more = "1: `source` must have exactly one of `secret`, `file`, `volume`, `label_selector`, and has more than one";
    assert_eq!(
        problems("source = [{ secret = 'a/b', file = '/c' }]"),
        [more]
    );
    let none = "1: `source` must have exactly one of `secret`, `file`, `volume`, `label_selector`, and has none";
    assert_eq!(problems("[[source]]\nname = 'x'"), [none]);
    assert_eq!(
        problems("[[source]]\nfile = '/c'\nkey = 'k'\nnamespace = 'n'"),
        [
            "3: `source.key` can only be used with `secret` or `volume`",
            "4: `source.namespace` can only be used with `label_selector`",
        ]
    );
    assert_eq!(
        problems("[[source]]\nvolume = '/c'\nshape = 'dockercfg'"),
        ["3: `source.shape` can only be used with `file`"]
    );
    let project = "[[source]]\nfile = '/c'\nscope = 'namespace'";
    assert_eq!(
        problems(project),
        ["3: `source.scope` can be `namespace` only with `secret` or `label_selector`"]
    );
    assert!(load_text(&project.replace("file = '/c'", "secret = 'team/pull'")).is_ok());
    assert_eq!(
        problems("[[source]]\nlabel_selector = 'a=b'"),
        ["1: `source.namespace` is missing"]
    );
}

#[test]
fn a_target_needs_a_kind() {
    assert_eq!(
        problems("\n[[target]]\npath = '/x'"),
        ["2: `target.kind` is missing"]
    );
    assert_eq!(problems("[[target]]"), ["1: `target.kind` is missing"]);
}

#[test]
fn names_and_paths_are_unique() {
    let names = problems("source = [{ name = 'a', file = '/x' },\n{ name = 'a', file = '/y' }]");
    assert!(
        names[0].starts_with("2: `source.name` is taken by another source ("),
        "{names:?}"
    );
    assert!(names[0].ends_with("config.toml:1)"), "{names:?}");
    let names = problems("[[source]]\nfile = '/x'\n[[source]]\nfile = '/x'");
    assert_eq!(names.len(), 1);
    let paths = problems(
        "[[target]]\nkind = 'docker'\n[[target]]\nkind = 'kubelet'\npath = '/root//.docker/config.json'",
    );
    assert!(
        paths[0].starts_with("3: `target.path` is the file of another target ("),
        "{paths:?}"
    );
}

#[test]
fn the_credential_helper_has_a_place_of_its_own() {
    let source = "/usr/bin/docker-credential-pullkeeper";
    let off = load_text("[credential_helper]\nsource = '/x'").unwrap();
    assert_eq!(off.settings.credential_helper, None);
    let on = load_text("[credential_helper]\ndirectory = '/opt/pullkeeper/bin'").unwrap();
    let helper = on.settings.credential_helper.unwrap();
    assert_eq!(helper.source.to_str(), Some(source));
    let path = "/opt/pullkeeper/bin/docker-credential-pullkeeper";
    assert_eq!(helper.path().to_str(), Some(path));

    let itself = problems("[credential_helper]\ndirectory = '/usr/bin'");
    assert!(
        itself[0]
            .starts_with("2: `credential_helper.directory` is where `credential_helper.source` is"),
        "{itself:?}"
    );
    let target = problems(&format!(
        "target = [{{ kind = 'docker', path = '{path}' }}]\ncredential_helper.directory = '/opt/pullkeeper/bin'"
    ));
    assert!(
        target[0].starts_with("1: `target.path` is where the credential helper goes ("),
        "{target:?}"
    );
    let relative = problems("[credential_helper]\ndirectory = 'opt'\nsource = '/usr/bin/'");
    assert_eq!(relative.len(), 2, "{relative:?}");
}

#[test]
fn a_target_is_not_read_by_a_source() {
    let file =
        problems("source = [{ file = '/a/b' }]\ntarget = [{ kind = 'docker', path = '/a/./b' }]");
    assert!(
        file[0].starts_with("2: `target.path` is read by a source ("),
        "{file:?}"
    );
    let volume =
        problems("source = [{ volume = '/a' }]\ntarget = [{ kind = 'docker', path = '/a/b' }]");
    assert!(
        volume[0].starts_with("2: `target.path` is read by a source ("),
        "{volume:?}"
    );
}

#[test]
fn verbatim_needs_one_document() {
    let text = "[[source]]\nlabel_selector = 'a'\nnamespace = 'n'\n[[target]]\nkind = 'kubelet'\nmerge = 'verbatim'";
    let found = problems(text);
    assert!(
        found[0].starts_with("4: `target.merge` cannot be verbatim"),
        "{found:?}"
    );
    assert!(
        load_text(&text.replace("label_selector = 'a'\nnamespace = 'n'", "file = '/x'")).is_ok()
    );
    // What is a project's own is not what files are made of.
    let project = "[[source]]\nlabel_selector = 'a'\nnamespace = 'n'\nscope = 'namespace'\n";
    let text = text.replace("label_selector = 'a'\nnamespace = 'n'", "file = '/x'");
    assert!(load_text(&format!("{project}{text}")).is_ok());
}
