//! The first bytes of content: a byte order mark is skipped, and what is no UTF-8 text is named.

use super::malformed::Malformed;

/// As many bytes tell all of what is looked for here.
pub const BYTES: usize = 6;

/// UTF-8's, as spreadsheets write it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Formats of packed content, by their first bytes.
const PACKED: [(&str, &[u8]); 5] = [
    ("gzip", b"\x1f\x8b"),
    ("zip", b"PK\x03\x04"),
    ("zstd", b"\x28\xb5\x2f\xfd"),
    ("bzip2", b"BZh"),
    ("xz", b"\xfd7zXZ\0"),
];

/// The text without its byte order mark; `beginning` is the first [`BYTES`] of the content or more, or all of it.
///
/// # Errors
/// When it is in another encoding, or packed: what it is, and what would be accepted.
pub fn text(beginning: &[u8]) -> Result<&[u8], Malformed> {
    if let Some((name, _)) = PACKED.iter().find(|(_, bytes)| beginning.starts_with(bytes)) {
        let message = format!(
            "the content is packed with {name}; expected text, or text packed once with gzip and the header \
             Content-Encoding: gzip"
        );
        return Err(Malformed::new(None, message));
    }
    // All three formats begin with an ASCII character: beside it UTF-16 and UTF-32 have a zero byte.
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [_, 0, ..] = beginning {
        return Err(Malformed::new(
            None,
            "the content is in UTF-16 or UTF-32; expected UTF-8",
        ));
    }
    Ok(beginning.strip_prefix(BYTE_ORDER_MARK).unwrap_or(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_skipped_once() {
        assert_eq!(text("\u{feff}[]".as_bytes()).unwrap(), b"[]");
        assert_eq!(text("\u{feff}".as_bytes()).unwrap(), b"");
        assert_eq!(text(b"").unwrap(), b"");
        assert_eq!(
            text("\u{feff}\u{feff}".as_bytes()).unwrap(),
            "\u{feff}".as_bytes()
        );
    }

    #[test]
    fn what_is_no_utf_8_text_is_named() {
        for (content, name) in [
            (&b"\xff\xfe[\0]\0"[..], "UTF-16"),
            (b"\xfe\xff\0[\0]", "UTF-16"),
            (b"[\0]\0", "UTF-16"),
            (b"\0[\0]", "UTF-16"),
            (b"\0\0\xfe\xff", "UTF-32"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"PK\x03\x04", "zip"),
            (b"\x28\xb5\x2f\xfd", "zstd"),
            (b"BZh91A", "bzip2"),
            (b"\xfd7zXZ\0", "xz"),
        ] {
            let error = text(content).unwrap_err();
            assert!(error.message.contains(name), "{error}");
            assert!(error.message.contains("expected"), "{error}");
        }
    }
}
