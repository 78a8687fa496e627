//! Any bytes as an auth file: nothing panics, and what is rendered reads back as itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pullkeeper_core::authfile::{
    Contribution, Document, Foreign, HashKey, Ledger, Rules, Shape, Wanted, merge,
};
use pullkeeper_core::json::Text;
use pullkeeper_core::reader::{self, Reader};

fuzz_target!(|data: &[u8]| {
    let (wanted, disk) = data.split_at(data.iter().position(|&b| b == 0).unwrap_or(data.len()));
    for shape in [Shape::ConfigJson, Shape::DockerCfg] {
        let Some(document) = Document::check(wanted, shape).document else { continue };
        let rendered = document.render();
        let again = Document::check(&rendered, Shape::ConfigJson).document.expect("renders to a document");
        assert_eq!(again.render(), rendered);
        let text = Text::new(&rendered);
        for reader in Reader::ALL {
            assert!(reader::read(reader, &text, Shape::ConfigJson).is_ok(), "{reader:?} loses the document");
        }

        let source = [Contribution { source: "fuzz", document: Some(&document), broken: &[] }];
        let wanted = Wanted::join(&source, &mut Vec::new());
        let disk = Document::check(disk, Shape::ConfigJson).document;
        let rules = Rules { readers: &Reader::ALL, foreign: Foreign::Keep };
        let once = merge(&wanted, disk.as_ref(), &Ledger::new(HashKey::new([0; 32])), rules);
        let disk = Document::check(&once.bytes, Shape::ConfigJson).document;
        let twice = merge(&wanted, disk.as_ref(), &once.ledger, rules);
        assert!(twice.changes.is_empty() && twice.bytes == once.bytes, "merging again changes something");
    }
});
