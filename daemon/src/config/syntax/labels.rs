//! Label selectors, by the grammar of `labels.Parse` in apimachinery.

/// A selector with at least one requirement, as the API takes it.
///
/// The API server would refuse a bad one on every watch; here it is refused once, at start. An empty
/// selector is valid there and means every Secret of the namespace: too much to ask for by accident.
pub(crate) fn selector(text: &str) -> Result<String, String> {
    for requirement in split(text)? {
        check(requirement.trim())?;
    }
    Ok(text.trim().to_owned())
}

/// Splits at the commas outside of parentheses.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let mut parts = Vec::new();
    let (mut start, mut inside) = (0, false);
    for (at, character) in text.char_indices() {
        match character {
            '(' if !inside => inside = true,
            ')' if inside => inside = false,
            '(' | ')' => return Err(why("a parenthesis that does not fit")),
            ',' if !inside => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if inside {
        return Err(why("a parenthesis that is not closed"));
    }
    parts.push(&text[start..]);
    Ok(parts)
}

fn check(requirement: &str) -> Result<(), String> {
    if let Some(key) = requirement.strip_prefix('!') {
        return check_key(key.trim());
    }
    // Two-character operators first: `!=` and `==` contain `=`.
    for operator in ["!=", "==", "="] {
        if let Some((key, value)) = requirement.split_once(operator) {
            check_key(key.trim())?;
            return check_value(value.trim());
        }
    }
    for operator in ['<', '>'] {
        if let Some((key, number)) = requirement.split_once(operator) {
            check_key(key.trim())?;
            let number = number.trim().parse::<i64>();
            return number
                .map(|_| ())
                .map_err(|_| why("a comparison with something else than a number"));
        }
    }
    let Some((key, set)) = requirement.split_once(char::is_whitespace) else {
        return check_key(requirement);
    };
    check_key(key)?;
    let set = set.trim();
    let set = set.strip_prefix("notin").or_else(|| set.strip_prefix("in"));
    let values = set
        .and_then(|set| set.trim().strip_prefix('(')?.strip_suffix(')'))
        .ok_or_else(|| why("a key followed by something else than an operator"))?;
    values
        .split(',')
        .try_for_each(|value| check_value(value.trim()))
}

fn check_key(key: &str) -> Result<(), String> {
    let name = match key.split_once('/') {
        Some((prefix, name)) => {
            super::dns_subdomain(prefix).map_err(|_| why("a key whose prefix is no DNS name"))?;
            name
        }
        None => key,
    };
    if name.is_empty() || !is_qualified(name) {
        return Err(why("a key that is no label key"));
    }
    Ok(())
}

fn check_value(value: &str) -> Result<(), String> {
    if value.is_empty() || is_qualified(value) {
        return Ok(());
    }
    Err(why("a value that is no label value"))
}

fn is_qualified(text: &str) -> bool {
    let end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && end(text.bytes().next())
        && end(text.bytes().last())
}

fn why(what: &str) -> String {
    format!("must be a label selector such as `team=web,stage in (test,prod)`; it has {what}")
}
