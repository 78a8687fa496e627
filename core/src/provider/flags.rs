//! Values of flags on kubelet's command line, as it reads them (spf13/pflag, `FlagSet.Parse`, and component-base,
//! `cli/flag.WordSepNormalizeFunc`).

/// The flag that names the configuration file, or directory.
pub const CONFIG: &str = "image-credential-provider-config";
/// The flag that names the directory of the programs.
pub const BIN_DIR: &str = "image-credential-provider-bin-dir";

/// What the two flags of a running kubelet name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paths<'a> {
    /// The configuration file, or directory.
    pub config: &'a str,
    /// The directory of the programs.
    pub bin_dir: &'a str,
}

/// The paths on a command line; `None` when kubelet has no credential providers.
///
/// An empty value is none. One flag needs the other: kubelet ends at its start without, and so none of a running one
/// is empty alone.
pub fn paths(arguments: &[String]) -> Option<Paths<'_>> {
    let paths = Paths {
        config: value(arguments, CONFIG).unwrap_or_default(),
        bin_dir: value(arguments, BIN_DIR).unwrap_or_default(),
    };
    (!paths.config.is_empty() || !paths.bin_dir.is_empty()).then_some(paths)
}

/// The value that counts for a flag, which is the last one; `None` when it is not on the command line.
///
/// `name` is without its dashes. Not for flags whose values are joined, such as `feature-gates`: see [`values`].
pub fn value<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    values(arguments, name).last()
}

/// All values of a flag that takes one, in order.
///
/// `arguments` are those of a running kubelet, its program's name included. `--name value` and `--name=value` count,
/// with `_` for `-` too; nothing counts behind `--`. With one dash kubelet would not run. What follows another flag is
/// taken for that flag's value unless it begins with `--`, which kubelet sees alike as long as nobody gives a flag
/// such a value.
pub fn values<'a>(arguments: &'a [String], name: &str) -> impl Iterator<Item = &'a str> {
    let mut rest = arguments.iter().skip(1).map(String::as_str);
    std::iter::from_fn(move || {
        loop {
            let flag = match rest.next()?.strip_prefix("--") {
                Some("") => {
                    rest.by_ref().for_each(drop);
                    return None;
                }
                Some(flag) => flag,
                None => continue,
            };
            let (found, value) = match flag.split_once('=') {
                Some((found, value)) => (found, Some(value)),
                None => (flag, None),
            };
            if found.replace('_', "-") == name {
                return value.or_else(|| rest.next());
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_last_value_counts() {
        for (line, config) in [
            ("kubelet", None),
            ("kubelet --image-credential-provider-config=/a", Some("/a")),
            ("kubelet --image-credential-provider-config /a", Some("/a")),
            ("kubelet --image-credential-provider-config=", Some("")),
            (
                "kubelet --image-credential-provider-config=/a --v=2 --image-credential-provider-config /b",
                Some("/b"),
            ),
            (
                "kubelet --image-credential-provider-config=/a -- --image-credential-provider-config=/b",
                Some("/a"),
            ),
            (
                "kubelet --image_credential_provider_config=/a=b",
                Some("/a=b"),
            ),
            ("kubelet -image-credential-provider-config=/a", None),
            ("kubelet --image-credential-provider-config", None),
            ("kubelet --image-credential-provider-config-x=/a", None),
            (
                "kubelet --fail-swap-on --image-credential-provider-config=/a",
                Some("/a"),
            ),
            (
                "kubelet --oom-score-adj -999 --image-credential-provider-config=/a",
                Some("/a"),
            ),
            (
                "kubelet --image-credential-provider-config --image-credential-provider-config=/a",
                Some("--image-credential-provider-config=/a"),
            ),
            ("--image-credential-provider-config=/program", None),
        ] {
            assert_eq!(value(&argv(line), CONFIG), config, "{line}");
        }
    }

    #[test]
    fn both_paths_are_told_or_none() {
        let line = argv(
            "kubelet --image-credential-provider-config=/c --image-credential-provider-bin-dir /b",
        );
        let paths = paths(&line).unwrap();
        assert_eq!((paths.config, paths.bin_dir), ("/c", "/b"));
        let none = argv("kubelet --image-credential-provider-config= --v=2");
        assert_eq!(super::paths(&none), None);
    }

    #[test]
    fn all_values_are_told_in_order() {
        let line = argv("kubelet --feature-gates=A=true --x --feature_gates B=false,C=true");
        let gates: Vec<_> = values(&line, "feature-gates").collect();
        assert_eq!(gates, ["A=true", "B=false,C=true"]);
        assert_eq!(value(&line, BIN_DIR), None);
    }
}
