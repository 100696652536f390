//! POSIX access control lists as the kernel hands them out, in the short text form of `getfacl(1)`.
//!
//! The value of `system.posix_acl_access` is a version (u32, 2) and entries of tag (u16), rights (u16) and id (u32), little-endian
//! (`include/uapi/linux/posix_acl_xattr.h`).

/// Whom an entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The owner of the object.
    Owner,
    /// This user.
    User(u32),
    /// The group of the object.
    OwningGroup,
    /// This group.
    Group(u32),
    /// The most that named users and groups get.
    Mask,
    /// Everybody else.
    Other,
}

/// One entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AclEntry {
    /// Whom it is for.
    pub who: Who,
    /// Read 4, write 2, execute 1.
    pub rights: u16,
}

/// The entries of a list; `None` for another version or a form that the kernel does not make.
pub fn parse(value: &[u8]) -> Option<Vec<AclEntry>> {
    let (version, entries) = value.split_first_chunk::<4>()?;
    let (entries, rest) = entries.as_chunks::<8>();
    if u32::from_le_bytes(*version) != 2 || !rest.is_empty() {
        return None;
    }
    entries.iter().copied().map(entry).collect()
}

fn entry(bytes: [u8; 8]) -> Option<AclEntry> {
    let [tag, tag_high, rights, rights_high, id @ ..] = bytes;
    let id = u32::from_le_bytes(id);
    let rights = u16::from_le_bytes([rights, rights_high]);
    let who = match u16::from_le_bytes([tag, tag_high]) {
        0x01 => Who::Owner,
        0x02 => Who::User(id),
        0x04 => Who::OwningGroup,
        0x08 => Who::Group(id),
        0x10 => Who::Mask,
        0x20 => Who::Other,
        _ => return None,
    };
    (rights <= 7).then_some(AclEntry { who, rights })
}

/// The list in short form, `u::rw-,u:alice:r--,g::r--,m::r--,o::---`, with users and groups as these functions call them; `None` as
/// for [`parse`].
pub fn text(value: &[u8], user: impl Fn(u32) -> String, group: impl Fn(u32) -> String) -> Option<String> {
    let entries = parse(value)?;
    let words = entries.iter().map(|entry| {
        let who = match entry.who {
            Who::Owner => "u:".to_owned(),
            Who::User(id) => format!("u:{}", user(id)),
            Who::OwningGroup => "g:".to_owned(),
            Who::Group(id) => format!("g:{}", group(id)),
            Who::Mask => "m:".to_owned(),
            Who::Other => "o:".to_owned(),
        };
        let right = |bit: u16, letter: char| if entry.rights & bit != 0 { letter } else { '-' };
        format!("{who}:{}{}{}", right(4, 'r'), right(2, 'w'), right(1, 'x'))
    });
    Some(words.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut out = 2_u32.to_le_bytes().to_vec();
        for (tag, rights, id) in entries {
            out.extend(tag.to_le_bytes());
            out.extend(rights.to_le_bytes());
            out.extend(id.to_le_bytes());
        }
        out
    }

    fn shown(value: &[u8]) -> Option<String> {
        text(value, |uid| format!("u{uid}"), |gid| format!("g{gid}"))
    }

    #[test]
    fn a_list_is_told_as_getfacl_tells_it() {
        let none = u32::MAX;
        let list = value(&[(1, 6, none), (2, 4, 33), (4, 4, none), (8, 7, 50), (16, 5, none), (32, 0, none)]);
        assert_eq!(shown(&list).unwrap(), "u::rw-,u:u33:r--,g::r--,g:g50:rwx,m::r-x,o::---");
        assert_eq!(shown(&value(&[])).unwrap(), "");
    }

    #[test]
    fn another_form_is_none() {
        for odd in [&b""[..], b"\x03\0\0\0", b"\x02\0\0\0\x01", &value(&[(3, 6, 0)]), &value(&[(1, 8, 0)])] {
            assert_eq!(shown(odd), None, "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn no_value_panics(value in proptest::collection::vec(any::<u8>(), 0..100)) {
            drop(shown(&value));
        }
    }
}
