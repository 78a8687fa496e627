//! The program that kubelet's configuration names. It is there before anything else, so that kubelet's start depends on nothing.

/// A script that becomes the helper where that is installed, and otherwise answers with no credentials at all.
///
/// The answer is that of `credentialprovider.kubelet.k8s.io/v1`. `helper` must need no quotes.
pub fn script(helper: &str) -> String {
    format!(
        "#!/bin/sh\n\
         # Pullkeeper's. kubelet does not start without this file; `pullkeeper kubelet-provider remove` takes it away.\n\
         [ -x {helper} ] && exec {helper} credential-provider\n\
         echo '{EMPTY}'\n"
    )
}

/// The answer without credentials. It is not kept: the helper may be there at the next pull.
const EMPTY: &str = "{\"kind\":\"CredentialProviderResponse\",\"apiVersion\":\"credentialprovider.kubelet.k8s.io/v1\",\
                     \"cacheKeyType\":\"Image\",\"cacheDuration\":\"0s\",\"auth\":{}}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_one_that_kubelet_reads() {
        let answer: serde_json::Value = serde_json::from_str(EMPTY).unwrap();
        assert_eq!(answer["apiVersion"], "credentialprovider.kubelet.k8s.io/v1");
        assert!(!EMPTY.contains('\''));
    }

    #[test]
    fn it_names_the_helper_and_nothing_else() {
        let text = script("/opt/pullkeeper/bin/docker-credential-pullkeeper");
        assert!(text.starts_with("#!/bin/sh\n"));
        assert_eq!(text.matches("docker-credential-pullkeeper").count(), 2);
    }
}
