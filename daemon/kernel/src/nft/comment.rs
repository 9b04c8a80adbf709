//! Comments in the user data of rules and elements, as `nft` writes and shows them.

/// `NFTNL_UDATA_RULE_COMMENT`, and `NFTNL_UDATA_SET_ELEM_COMMENT` alike.
const COMMENT: u8 = 0;
/// Longest comment, bytes (`NFTNL_UDATA_COMMENT_MAXLEN`).
pub(super) const COMMENT_MAX: usize = 128;

/// User data that is a comment of at most [`COMMENT_MAX`] bytes.
pub(super) fn userdata(comment: &str) -> Vec<u8> {
    let length = u8::try_from(comment.len() + 1).unwrap_or(u8::MAX);
    let mut bytes = vec![COMMENT, length];
    bytes.extend_from_slice(comment.as_bytes());
    bytes.push(0);
    bytes
}

/// The comment in user data; none if there is none.
pub(super) fn comment(mut userdata: &[u8]) -> Option<&str> {
    while let [kind, length, rest @ ..] = userdata {
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        if *kind == COMMENT {
            return std::str::from_utf8(value).ok().map(|text| text.trim_end_matches('\0'));
        }
        userdata = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_read_as_they_are_written() {
        assert_eq!(comment(&userdata("a comment")), Some("a comment"));
        assert_eq!(comment(&[1, 2, 9, 9, 0, 2, b'x', 0]), Some("x"));
        for broken in [&[][..], &[0], &[0, 5, b'x'], &[1, 1, 0]] {
            assert_eq!(comment(broken), None, "{broken:?}");
        }
    }
}
