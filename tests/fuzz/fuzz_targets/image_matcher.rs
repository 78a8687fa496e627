//! Any image against any document: nothing panics in any reader model.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pullkeeper_core::authfile::Shape;
use pullkeeper_core::image::ImageRef;
use pullkeeper_core::json::Text;
use pullkeeper_core::reader::{self, Reader};

fuzz_target!(|data: &[u8]| {
    let (image, document) = data.split_at(data.iter().position(|&b| b == b'\n').unwrap_or(data.len()));
    let Ok(image) = std::str::from_utf8(image) else { return };
    let Ok(image) = ImageRef::parse(image) else { return };
    let text = Text::new(document);
    for shape in [Shape::ConfigJson, Shape::DockerCfg] {
        for reader in Reader::ALL {
            if let Ok(view) = reader::read(reader, &text, shape) {
                let _ = view.lookup(&image);
            }
        }
    }
});
