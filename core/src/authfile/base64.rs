//! The base64 of the `auth` field, as Go's encoding/base64 decodes it.
//!
//! All readers take the standard alphabet, skip CR and LF wherever they stand, refuse any other
//! white space and do not look at the unused bits of the last character. They differ in the
//! padding.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use thiserror::Error;
use zeroize::Zeroizing;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
const PADDED: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    LENIENT.with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);
const UNPADDED: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    LENIENT.with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// What a reader does about the `=` at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// It may be missing (kubelet: `RawStdEncoding` unless the text ends in `=`).
    Optional,
    /// It must be there (containers/image and docker/cli: `StdEncoding`).
    Required,
}

/// The text is not base64. Says nothing about what the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not standard base64")]
pub struct NotBase64;

/// Decodes `text`. The result is wiped on drop.
pub fn decode(text: &str, padding: Padding) -> Result<Zeroizing<Vec<u8>>, NotBase64> {
    if text.contains(['\r', '\n']) {
        let mut joined = Zeroizing::new(String::with_capacity(text.len()));
        joined.extend(text.split(['\r', '\n']));
        return decode_line(&joined, padding);
    }
    decode_line(text, padding)
}

fn decode_line(line: &str, padding: Padding) -> Result<Zeroizing<Vec<u8>>, NotBase64> {
    let engine = match padding {
        Padding::Optional if !line.ends_with('=') => UNPADDED,
        Padding::Optional | Padding::Required => PADDED,
    };
    // One buffer of the full size, because growing would leave an unwiped copy behind.
    let mut decoded = Zeroizing::new(vec![0; base64::decoded_len_estimate(line.len())]);
    let length = engine
        .decode_slice(line, &mut decoded)
        .map_err(|_| NotBase64)?;
    decoded.truncate(length);
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn both(text: &str) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        let decode = |padding| decode(text, padding).ok().map(|decoded| decoded.to_vec());
        (decode(Padding::Optional), decode(Padding::Required))
    }

    #[test]
    fn padding_is_what_readers_differ_in() {
        let abc = || Some(b"a:b".to_vec());
        let abcd = || Some(b"a:bc".to_vec());
        assert_eq!(both("YTpi"), (abc(), abc()));
        assert_eq!(both("YTpiYw=="), (abcd(), abcd()));
        assert_eq!(both("YTpiYw"), (abcd(), None));
        assert_eq!(both("YTpiYw="), (None, None));
        assert_eq!(both("YTpiYw==="), (None, None));
        assert_eq!(both(""), (Some(vec![]), Some(vec![])));
        assert_eq!(both("="), (None, None));
        assert_eq!(both("A"), (None, None));
    }

    #[test]
    fn line_ends_are_skipped_and_other_white_space_is_not() {
        let abcd = Some(b"a:bc".to_vec());
        assert_eq!(both("YTpi\r\nYw=\n=\n"), (abcd.clone(), abcd.clone()));
        assert_eq!(both("YT\npiYw\r\n"), (abcd, None));
        for text in [
            " YTpi",
            "YTpi ",
            "YT pi",
            "YTpi\t",
            "YTpiYw== ",
            "YTpi\u{a0}",
        ] {
            assert_eq!(both(text), (None, None), "{text:?}");
        }
        assert_eq!(both("\n"), (Some(vec![]), Some(vec![])));
    }

    #[test]
    fn only_the_standard_alphabet_counts_and_unused_bits_do_not() {
        assert_eq!(both("_-__"), (None, None));
        assert_eq!(both("/+//").1, Some(vec![255, 239, 255]));
        assert_eq!(both("YTpiYx=="), both("YTpiYw=="));
        assert_eq!(both("YTpi====").1, None);
        assert_eq!(both("YQ==YQ=="), (None, None));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_with_any_line_ends(bytes in prop::collection::vec(any::<u8>(), 0..40), at in 0..60_usize) {
            let mut text = PADDED.encode(&bytes);
            text.insert_str(at.min(text.len()), "\r\n");
            prop_assert_eq!(both(&text), (Some(bytes.clone()), Some(bytes.clone())));
            let unpadded = UNPADDED.encode(&bytes);
            prop_assert_eq!(both(&unpadded).0, Some(bytes));
        }

        #[test]
        fn any_text_is_decoded_or_refused(text in ".{0,24}") {
            both(&text);
        }
    }
}
