use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<Cli, Exit> {
    Cli::try_parse_from(line.split_whitespace()).map_err(|error| exit(&error))
}

fn agent(line: &str) -> AgentArgs {
    match parse(line).unwrap().command {
        Command::Agent(arguments) => *arguments,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn settings_keep_the_order_of_the_command_line() {
    let arguments = agent(
        "pullkeeper agent --source-file a --log-level debug --source-secret n/b --allow-empty --source-file c \
         --kubernetes-events=false --target kubelet",
    );
    let given: Vec<(&str, &str)> = arguments
        .settings
        .values
        .iter()
        .map(|flag| (flag.key.path, flag.value.to_str().unwrap()))
        .collect();
    assert_eq!(
        given,
        [
            ("source.file", "a"),
            ("log.level", "debug"),
            ("source.secret", "n/b"),
            ("validation.allow_empty", "true"),
            ("source.file", "c"),
            ("kubernetes.events", "false"),
            ("target", "kubelet"),
        ]
    );
    assert!(!arguments.check && !arguments.once && arguments.config.is_none());
}

#[test]
fn validate_and_explain_take_their_arguments() {
    let Command::Validate(validate) = parse("pullkeeper validate").unwrap().command else {
        panic!()
    };
    assert_eq!(validate.input, Input::Stdin);
    assert_eq!(
        (validate.shape, validate.output),
        (ShapeArg::Auto, OutputFormat::Table)
    );
    let line = "pullkeeper validate x.json --shape dockercfg --strict --output json \
                --required-registry quay.io --required-registry r.example:5000/team";
    let Command::Validate(validate) = parse(line).unwrap().command else {
        panic!()
    };
    assert_eq!(validate.input, Input::File("x.json".into()));
    assert_eq!(
        (validate.shape, validate.output),
        (ShapeArg::DockerCfg, OutputFormat::Json)
    );
    assert!(validate.strict);
    assert_eq!(
        validate.required_registries,
        ["quay.io", "r.example:5000/team"]
    );

    let line = "pullkeeper explain quay.io/a/b --file x --file y";
    let Command::Explain(explain) = parse(line).unwrap().command else {
        panic!()
    };
    assert_eq!(explain.image, "quay.io/a/b");
    assert_eq!(explain.files, [PathBuf::from("x"), PathBuf::from("y")]);
}

#[test]
fn mistakes_exit_with_64_and_questions_with_0() {
    for line in [
        "pullkeeper",
        "pullkeeper frob",
        "pullkeeper agent --frob",
        "pullkeeper agent --check --once",
        "pullkeeper agent --log-format xml",
        "pullkeeper agent --log-level info --log-level debug",
        "pullkeeper agent --allow-empty=perhaps",
        "pullkeeper validate --required-registry https://quay.io",
        "pullkeeper explain",
    ] {
        assert_eq!(parse(line).unwrap_err(), Exit::Usage, "{line}");
    }
    for line in [
        "pullkeeper --help",
        "pullkeeper --version",
        "pullkeeper help explain",
    ] {
        assert_eq!(parse(line).unwrap_err(), Exit::Ok, "{line}");
    }
}
