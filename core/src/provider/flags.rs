//! The values of kubelet's flags, read from its command line as kubelet does (spf13/pflag: long flags, the last one wins).

/// The value of the flag `name`; `None` where the command line does not have it.
///
/// `--name=value` and `--name value` are the same. After `--` there are no flags. What follows a flag of which it is not known
/// whether it takes a value is looked at as well, so that a value that looks like this flag would be taken for it.
pub fn value<'a>(argv: &'a [String], name: &str) -> Option<&'a str> {
    let mut found = None;
    let mut words = argv.iter().skip(1);
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        }
        let rest = word
            .strip_prefix("--")
            .and_then(|word| word.strip_prefix(name));
        match rest.map(|rest| (rest, rest.strip_prefix('='))) {
            Some((_, Some(value))) => found = Some(value),
            Some(("", None)) => found = words.next().map(String::as_str),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(argv: &str, value_of_x: Option<&str>) {
        let argv: Vec<_> = argv.split(' ').map(str::to_owned).collect();
        assert_eq!(value(&argv, "x"), value_of_x);
    }

    #[test]
    fn the_last_one_wins_in_either_form() {
        is("kubelet --v=2", None);
        is("kubelet --x=/a", Some("/a"));
        is("kubelet --x /a --v=2", Some("/a"));
        is("kubelet --x=/a --x /b", Some("/b"));
        is("kubelet --xy=/a --x=", Some(""));
        is("kubelet -- --x=/a", None);
        is("--x=/a", None);
    }
}
