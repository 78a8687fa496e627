//! `user:password` as it is written in the field `auth`, in every dialect that cannot be mistaken for another.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::finding::Reason;

/// Decodes what any tool may have written; what is *accepted* is decided after decoding.
const FORGIVING: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_FORGIVING: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, FORGIVING);
const URL_SAFE_FORGIVING: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, FORGIVING);

/// Where credentials are decoded, one after the other. Wiped when it goes, and before it grows.
#[derive(Default)]
pub(super) struct Scratch(Zeroizing<Vec<u8>>);

impl Scratch {
    fn lend(&mut self, length: usize) -> &mut [u8] {
        if self.0.len() < length {
            self.0 = Zeroizing::new(vec![0; length.next_power_of_two()]);
        }
        &mut self.0[..length]
    }
}

/// `user:password` as bytes, with at least a user.
pub(super) struct Pair<'s> {
    pub(super) bytes: &'s [u8],
    colon: usize,
    /// The text it was decoded from is the one that encoding it gives.
    pub(super) canonical: bool,
    pub(super) repaired: bool,
}

impl<'s> Pair<'s> {
    fn new(bytes: &'s [u8], repaired: bool) -> Result<Self, &'static str> {
        // kubelet keeps trailing NULs that the other clients trim.
        let length = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        let repaired = repaired || length < bytes.len();
        let bytes = &bytes[..length];
        match bytes.iter().position(|&b| b == b':') {
            None => Err(
                "`auth` decodes to text without a colon, which costs kubelet and docker the whole file",
            ),
            Some(0) => Err("the user name is empty, which costs docker the whole file"),
            Some(colon) => Ok(Self {
                bytes,
                colon,
                canonical: false,
                repaired,
            }),
        }
    }

    /// Reads `auth` in every dialect that cannot be mistaken for another.
    pub(super) fn decode(auth: &str, scratch: &'s mut Scratch) -> Result<Self, &'static str> {
        let bytes = scratch.lend(base64::decoded_len_estimate(auth.len()));
        // Strict, and nearly always enough: what passes needs no other encoding.
        if let Ok(length) = STANDARD.decode_slice(auth, bytes) {
            let pair = Self::new(&bytes[..length], false)?;
            return Ok(Self {
                canonical: !pair.repaired,
                ..pair
            });
        }
        let mut repaired = false;
        let mut text = Zeroizing::new(String::new());
        let wrapped = auth.bytes().any(|b| b.is_ascii_whitespace());
        if wrapped {
            // At once as large as it can get: growing would leave copies behind.
            text.reserve_exact(auth.len());
            text.extend(auth.chars().filter(|c| !c.is_ascii_whitespace()));
            repaired = true;
        }
        let plain = if wrapped { text.as_str() } else { auth };
        let url_safe = plain.contains(['-', '_']);
        repaired |= url_safe || plain.len() % 4 != 0;
        let engine = if url_safe {
            &URL_SAFE_FORGIVING
        } else {
            &STANDARD_FORGIVING
        };
        let length = engine
            .decode_slice(plain, bytes)
            .map_err(|_| "`auth` is not base64, which costs kubelet and docker the whole file")?;
        Self::new(&bytes[..length], repaired)
    }

    /// Puts together what stands in two fields. Such a pair always has to be written anew.
    pub(super) fn of(
        username: &str,
        password: &str,
        scratch: &'s mut Scratch,
    ) -> Result<Self, &'static str> {
        if username.contains(':') {
            return Err("`username` holds a colon, which no client can carry");
        }
        let bytes = scratch.lend(username.len() + 1 + password.len());
        let (user, rest) = bytes.split_at_mut(username.len());
        user.copy_from_slice(username.as_bytes());
        rest[0] = b':';
        rest[1..].copy_from_slice(password.as_bytes());
        Self::new(bytes, true)
    }

    fn user(&self) -> &'s [u8] {
        &self.bytes[..self.colon]
    }

    fn password(&self) -> &'s [u8] {
        &self.bytes[self.colon + 1..]
    }

    /// Whether fields beside `auth` say something else than it; empty ones say nothing.
    pub(super) fn contradicts(&self, username: &str, password: &str) -> bool {
        let differs = |field: &str, own: &[u8]| !field.is_empty() && field.as_bytes() != own;
        differs(username, self.user()) || differs(password, self.password())
    }

    /// What the author of the pair may want to know.
    pub(super) fn remarks(&self, report: &mut impl FnMut(Reason, &'static str)) {
        if self.repaired {
            report(
                Reason::Repaired,
                "the entry was rewritten as one padded base64 `auth`, which every client reads",
            );
        }
        if std::str::from_utf8(self.bytes).is_err() {
            report(
                Reason::NotUtf8,
                "the credential is not UTF-8; kubelet cannot hand it to the runtime",
            );
        }
        if self.password().ends_with(b"\n") {
            report(
                Reason::SuspiciousPassword,
                "the password ends in a line break, which is sent with it; `echo` adds one, `printf %s` does not",
            );
        } else if self.bytes.iter().any(u8::is_ascii_control) {
            report(
                Reason::SuspiciousPassword,
                "the credential holds a control character",
            );
        }
    }
}
