//! Which files of a folder kubelet reads as its provider configuration, from 1.34 on.

/// Whether kubelet reads a file of this name. Hidden ones count (`pkg/credentialprovider/plugin/config.go`).
pub fn is_read(name: &str) -> bool {
    [".json", ".yaml", ".yml"]
        .iter()
        .any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_name_decides() {
        assert!(is_read("a.yaml") && is_read(".b.yml") && is_read("c.json"));
        assert!(!is_read("a.yaml.tmp") && !is_read("yaml") && !is_read("a.YAML"));
    }
}
