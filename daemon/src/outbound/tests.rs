use std::fs::File;
use std::io::Write as _;

use super::*;

fn write(path: &Path, content: &str) {
    let file = File::create(path);
    file.unwrap().write_all(content.as_bytes()).unwrap();
}

/// How many sets of connections there are after these origins were looked at, twice each.
async fn sets(outbound: &Outbound, origins: &[&str]) -> usize {
    for origin in origins.iter().chain(origins) {
        let origin = Origin::parse(origin).unwrap();
        let found = outbound.found(&origin).await.unwrap();
        outbound.connections(&origin, &found).unwrap();
    }
    outbound.open.lock().unwrap().len()
}

#[tokio::test]
async fn origins_without_certificates_of_their_own_share_connections() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["r.example".to_owned()]).unwrap();
    write(&file, &params.self_signed(&key).unwrap().pem());
    let outbound = Outbound::new(Some(&file)).unwrap();
    assert_eq!(
        sets(&outbound, &["https://a.example", "https://b.example:8443"]).await,
        1
    );
    assert_eq!(
        sets(&outbound, &["http://127.0.0.1", "http://localhost:5000"]).await,
        2
    );
}

#[test]
fn a_file_that_cannot_be_used_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    for (content, words) in [
        (None, "No such file"),
        (Some(""), "no certificate in PEM form"),
    ] {
        if let Some(content) = content {
            write(&file, content);
        }
        let error = Outbound::new(Some(&file)).unwrap_err().to_string();
        assert!(error.contains(&file.display().to_string()), "{error}");
        assert!(error.contains(words), "{error}");
    }
}
