use std::io::Write as _;
use std::os::unix::fs::symlink;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;

/// Two roots of directories, as of the user and of the system.
struct Place {
    folder: TempDir,
    trust: Trust,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let trust = Trust {
            system: Arc::new(RootCertStore::empty()),
            ca_file: None,
            directories: vec![folder.path().join("user"), folder.path().join("system")],
        };
        Self { folder, trust }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(&path)
            .unwrap()
            .write_all(content.as_ref())
            .unwrap();
        path
    }

    fn at(&self, url: &str) -> Result<Found, TrustError> {
        self.trust.at(&Origin::parse(url).unwrap())
    }

    /// How many authorities an origin has.
    fn authorities(&self, url: &str) -> usize {
        self.at(url).unwrap().authorities.len()
    }
}

/// A certificate and its key.
fn pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["r.example".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn a_directory_counts_for_its_host_and_port_alone() {
    let place = Place::new();
    place.write("system/r.example/ca.crt", pair().0);
    place.write("system/r.example:5000/ca.crt", pair().0 + &pair().0);
    place.write("system/full.example:443/ca.crt", pair().0);
    for (url, count) in [
        ("https://r.example", 1),
        ("https://r.example:443", 1),
        ("https://R.Example", 1),
        ("https://r.example:5000", 2),
        ("https://full.example", 1),
        ("https://r.example:5001", 0),
        ("https://sub.r.example", 0),
        ("https://example", 0),
        ("https://full.example:5000", 0),
    ] {
        assert_eq!(place.authorities(url), count, "{url}");
    }
    assert_eq!(place.at("https://example").unwrap(), Found::default());
}

#[test]
fn of_several_directories_the_first_counts_and_the_file_always() {
    let mut place = Place::new();
    place.write("system/r.example/ca.crt", pair().0);
    place.write("system/r.example/other.crt", pair().0);
    assert_eq!(place.authorities("https://r.example"), 2);
    place.write("user/r.example/ca.crt", pair().0);
    assert_eq!(place.authorities("https://r.example"), 1);
    place.trust.ca_file = Some(place.write("file.pem", pair().0));
    assert_eq!(place.authorities("https://r.example"), 2);
    assert_eq!(place.authorities("https://other.example"), 1);
}

#[test]
fn what_changed_is_noticed_and_what_did_not_is_the_same() {
    let place = Place::new();
    place.write("system/r.example/ca.crt", pair().0);
    let first = place.at("https://r.example").unwrap();
    assert_eq!(first, place.at("https://r.example").unwrap());
    place.write("system/r.example/ca.crt", pair().0);
    let second = place.at("https://r.example").unwrap();
    assert_ne!(first, second);
    let (certificate, key) = pair();
    place.write("system/r.example/node.cert", certificate);
    place.write("system/r.example/node.key", key);
    let third = place.at("https://r.example").unwrap();
    assert_ne!(second, third);
    assert!(
        place
            .trust
            .tls(&third)
            .unwrap()
            .client_auth_cert_resolver
            .has_certs()
    );
    assert!(
        !place
            .trust
            .tls(&second)
            .unwrap()
            .client_auth_cert_resolver
            .has_certs()
    );
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let (certificate, key) = pair();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let half = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    let long = "x".repeat((1 << 20) + 1);
    for (files, culprit, words) in [
        (
            &[("ca.crt", "")][..],
            "ca.crt",
            "no certificate in PEM form",
        ),
        (&[("ca.crt", &key)], "ca.crt", "no certificate in PEM form"),
        (&[("ca.crt", half)], "ca.crt", "no PEM"),
        (&[("ca.crt", broken)], "ca.crt", "a broken one"),
        (&[("ca.crt", &long)], "ca.crt", "at most 1 MiB"),
        (
            &[("a.cert", &certificate)],
            "a.cert",
            "no .key of this name",
        ),
        (&[("a.key", &key)], "a.key", "no .cert of this name"),
        (
            &[("a.cert", &certificate), ("a.key", &certificate)],
            "a.key",
            "no private key in PEM form",
        ),
        (
            &[("a.cert", &certificate), ("a.key", &pair().1)],
            "a.cert",
            "does not fit its key",
        ),
        (
            &[
                ("a.cert", &certificate),
                ("a.key", &key),
                ("b.cert", &certificate),
                ("b.key", &key),
            ],
            "b.cert",
            "leave one of them",
        ),
    ] {
        let place = Place::new();
        for (name, content) in files {
            place.write(&format!("system/r.example/{name}"), content);
        }
        let found = place.at("https://r.example");
        let error = found.and_then(|found| place.trust.tls(&found)).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains(&format!("system/r.example/{culprit} ")),
            "{error}"
        );
        assert!(error.contains(words), "{words}: {error}");
        assert!(!error.contains("PRIVATE KEY"), "{error}");
        // Nobody else is concerned.
        assert_eq!(place.authorities("https://other.example"), 0);
    }
}

#[test]
fn what_is_no_certificate_does_not_disturb() {
    let place = Place::new();
    let file = place.write("system/r.example/ca.crt", pair().0);
    place.write("system/r.example/README", "nothing");
    place.write("system/r.example/old.crt.bak", "nothing");
    let directory = file.parent().unwrap();
    symlink("gone", directory.join("gone.crt")).unwrap();
    symlink("ca.crt", directory.join("linked.crt")).unwrap();
    assert_eq!(place.authorities("https://r.example"), 2);
    // Whoever opens a pipe waits for somebody else.
    nix::unistd::mkfifo(&directory.join("pipe.crt"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let error = place.at("https://r.example").unwrap_err().to_string();
    assert!(error.contains("pipe.crt"), "{error}");
}
