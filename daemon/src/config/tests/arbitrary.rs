//! Whatever is written, given or set, there is an answer and no panic.

use std::os::unix::ffi::OsStringExt as _;

use proptest::prelude::*;

use super::*;

fn toml_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "\"[ -!#-\\[\\]-~]{0,24}\"",
        "'[ -&(-~]{0,24}'",
        any::<i64>().prop_map(|number| number.to_string()),
        any::<bool>().prop_map(|bool| bool.to_string()),
        prop::sample::select(vec![
            "'60s'",
            "'a/b'",
            "'/a/b'",
            "'kubelet'",
            "'0600'",
            "'0:0'",
            "'verbatim'",
            "'a in (b)'",
            "[]",
            "[[]]",
            "{}",
            "[{}]",
            "1979-05-27",
            "['quay.io']",
            "'off'",
            "'unix:/x'",
            "nan",
        ])
        .prop_map(str::to_owned),
    ]
}

/// Lines that look like a configuration: known keys with any value, and noise.
fn toml_line() -> impl Strategy<Value = String> {
    let paths: Vec<&str> = KEYS.iter().map(|key| key.path).collect();
    let fields: Vec<&str> = KEYS
        .iter()
        .map(|key| key.path.rsplit('.').next().unwrap())
        .collect();
    prop_oneof![
        (prop::sample::select(paths), toml_value())
            .prop_map(|(path, value)| format!("{path} = {value}")),
        (prop::sample::select(fields), toml_value())
            .prop_map(|(field, value)| format!("{field} = {value}")),
        prop::sample::select(vec![
            "[[source]]",
            "[[target]]",
            "[log]",
            "[x]",
            "[[source.key]]"
        ])
        .prop_map(str::to_owned),
        ".{0,20}",
    ]
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = load_text(&text);
    }

    #[test]
    fn no_configuration_makes_it_panic(lines in prop::collection::vec(toml_line(), 0..12)) {
        // One by one, as most combinations fail as a whole; and then together.
        for line in &lines {
            let _ = load_text(line);
        }
        let _ = load_text(&lines.join("\n"));
    }

    #[test]
    fn no_flag_or_variable_makes_it_panic(
        index in 0..KEYS.len(),
        bytes in prop::collection::vec(any::<u8>(), 0..24),
    ) {
        let key = &KEYS[index];
        let value = OsString::from_vec(bytes);
        let missing = Path::new("/nonexistent/config.toml");
        let variable = key.environment();
        let environment = |name: &str| (Some(name) == variable.as_deref()).then(|| value.clone());
        let _ = load_with_default(missing, None, &[], &environment);
        if key.flag.is_some() {
            let flags = [FlagValue { key, value: value.clone() }];
            let _ = load_with_default(missing, None, &flags, &|_| None);
        }
    }
}
