//! The extended attributes of one object in the one form that is stored, hashed into the chain and compared.
//!
//! Everything in them may come from an attacker: any name, 64 KiB of value, thousands of them. The form is a sequence of items, each
//! led by its kind (u8); numbers are big-endian. What the system itself acts upon (access control lists, capabilities, the label) is
//! kept whole and never crowded out by the rest. A long value of the rest is kept as its length and BLAKE3 digest, and when names
//! and values of the rest are more than 256 KiB together, only one digest over all of them is kept.

use crate::model::file::attribute::Attribute;

/// Most bytes of names and values that are kept one by one.
const MOST: u64 = 256 * 1024;

/// Up to this size, in bytes, a value is kept whole: without a meaning to us, and with one.
const LONG: usize = 1024;
const LONG_KNOWN: usize = 16 * 1024;

/// Values by name that are always asked for when the list of names cannot be had.
pub const KNOWN: [&[u8]; 5] = [ACCESS, DEFAULT, CAPABILITY, SELINUX, b"system.nfs4_acl"];

/// Who may do what with the object, `acl(5)`.
pub const ACCESS: &[u8] = b"system.posix_acl_access";
/// What is given to new objects in the directory, `acl(5)`.
pub const DEFAULT: &[u8] = b"system.posix_acl_default";
/// File capabilities, `capabilities(7)`.
pub const CAPABILITY: &[u8] = b"security.capability";
/// The SELinux label.
pub const SELINUX: &[u8] = b"security.selinux";

const WHOLE: u8 = 1;
const LONG_VALUE: u8 = 2;
const UNREADABLE: u8 = 3;
const REST: u8 = 4;

/// The attribute that an extended attribute of this name belongs to.
pub fn attribute_of(name: &[u8]) -> Attribute {
    match name {
        CAPABILITY => Attribute::Caps,
        SELINUX => Attribute::Selinux,
        // Of all file systems: posix_acl_*, nfs4_acl, cifs_acl, richacl.
        name if name.starts_with(b"system.") && name.windows(3).any(|part| part == b"acl") => Attribute::Acl,
        _ => Attribute::Xattrs,
    }
}

/// What is kept of one extended attribute, or of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XattrItem<'a> {
    /// A value, whole.
    Whole {
        /// Its name.
        name: &'a [u8],
        /// The value, which may be empty.
        value: &'a [u8],
    },
    /// A long value.
    Long {
        /// Its name.
        name: &'a [u8],
        /// The bytes of the value.
        length: u64,
        /// The BLAKE3 digest of the value.
        digest: [u8; 32],
    },
    /// A value that could not be read.
    Unreadable {
        /// Its name.
        name: &'a [u8],
    },
    /// So many that they were not kept one by one.
    Rest {
        /// How many; 0 when there are too many to be listed.
        count: u64,
        /// Bytes of names and values.
        length: u64,
        /// One BLAKE3 digest of all of them.
        digest: [u8; 32],
    },
}

impl<'a> XattrItem<'a> {
    /// Its name; empty for many.
    pub const fn name(&self) -> &'a [u8] {
        match *self {
            Self::Whole { name, .. } | Self::Long { name, .. } | Self::Unreadable { name } => name,
            Self::Rest { .. } => b"",
        }
    }

    /// The attribute it belongs to.
    pub fn attribute(&self) -> Attribute {
        attribute_of(self.name())
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (kind, name) = match self {
            Self::Whole { name, .. } => (WHOLE, *name),
            Self::Long { name, .. } => (LONG_VALUE, *name),
            Self::Unreadable { name } => (UNREADABLE, *name),
            Self::Rest { .. } => (REST, &[][..]),
        };
        out.push(kind);
        out.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend(name.iter().take(usize::from(u16::MAX)));
        match self {
            Self::Whole { value, .. } => {
                out.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
                out.extend_from_slice(value);
            }
            Self::Long { length, digest, .. } => {
                out.extend(length.to_be_bytes());
                out.extend(digest);
            }
            Self::Unreadable { .. } => {}
            Self::Rest { count, length, digest } => {
                out.extend(count.to_be_bytes());
                out.extend(length.to_be_bytes());
                out.extend(digest);
            }
        }
    }
}

/// The items of a stored form, in ascending order of their names; what cannot be read ends them. Never panics.
pub fn items(mut form: &[u8]) -> impl Iterator<Item = XattrItem<'_>> {
    std::iter::from_fn(move || {
        let (item, rest) = read_item(form)?;
        form = rest;
        Some(item)
    })
}

fn read_item(form: &[u8]) -> Option<(XattrItem<'_>, &[u8])> {
    let (kind, rest) = form.split_first()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let number = |rest: &'_ [u8]| rest.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
    match *kind {
        WHOLE => {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (value, rest) = rest.split_at_checked(length)?;
            Some((XattrItem::Whole { name, value }, rest))
        }
        LONG_VALUE => {
            let length = number(rest)?;
            let (digest, rest) = rest.get(8..)?.split_first_chunk::<32>()?;
            Some((XattrItem::Long { name, length, digest: *digest }, rest))
        }
        UNREADABLE => Some((XattrItem::Unreadable { name }, rest)),
        REST => {
            let count = number(rest)?;
            let length = number(rest.get(8..)?)?;
            let (digest, rest) = rest.get(16..)?.split_first_chunk::<32>()?;
            Some((XattrItem::Rest { count, length, digest: *digest }, rest))
        }
        _ => None,
    }
}

/// The part of a stored form that belongs to `attribute`, in the same form.
pub fn part(form: &[u8], attribute: Attribute) -> Vec<u8> {
    let mut out = Vec::new();
    for item in items(form).filter(|item| item.attribute() == attribute) {
        item.write(&mut out);
    }
    out
}

/// The value of `name`, where it was kept whole.
pub fn value<'a>(form: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    items(form).find_map(|item| match item {
        XattrItem::Whole { name: known, value } if known == name => Some(value),
        _ => None,
    })
}

/// Whether both hold the same of `attribute`.
pub fn is_same(old: &[u8], new: &[u8], attribute: Attribute) -> bool {
    old == new || part(old, attribute) == part(new, attribute)
}

/// The BLAKE3 digest of a value, by which long ones are told.
pub fn digest(value: &[u8]) -> [u8; 32] {
    *blake3::hash(value).as_bytes()
}

/// Makes the form from names in ascending order.
#[derive(Debug, Default)]
pub struct Writer {
    known: Vec<u8>,
    others: Vec<u8>,
    count: u64,
    /// Bytes of names and values of the others.
    length: u64,
    all: Option<Box<blake3::Hasher>>,
    is_unlisted: bool,
}

impl Writer {
    /// Adds a value; `None` when it could not be read.
    pub fn add(&mut self, name: &[u8], value: Option<&[u8]>) {
        let is_known = attribute_of(name) != Attribute::Xattrs;
        let most = if is_known { LONG_KNOWN } else { LONG };
        let item = match value {
            None => XattrItem::Unreadable { name },
            Some(value) if value.len() <= most => XattrItem::Whole { name, value },
            Some(value) => XattrItem::Long { name, length: as_u64(value.len()), digest: digest(value) },
        };
        if is_known {
            item.write(&mut self.known);
            return;
        }
        let length = value.map_or(0, <[u8]>::len);
        self.count += 1;
        self.length = self.length.saturating_add(as_u64(name.len())).saturating_add(as_u64(length));
        let all = self.all.get_or_insert_default();
        all.update(&as_u64(name.len()).to_be_bytes()).update(name);
        all.update(&[u8::from(value.is_some())]).update(&as_u64(length).to_be_bytes());
        all.update(value.unwrap_or_default());
        if self.length <= MOST {
            item.write(&mut self.others);
        }
    }

    /// Notes that there are more names than the kernel can list (64 KiB).
    pub const fn note_unlisted(&mut self) {
        self.is_unlisted = true;
    }

    /// The form; empty when nothing was added.
    pub fn finish(self) -> Vec<u8> {
        let Self { known: mut out, others, count, length, all, is_unlisted } = self;
        if is_unlisted {
            XattrItem::Rest { count: 0, length: 0, digest: [0; 32] }.write(&mut out);
        } else if length <= MOST {
            out.extend(others);
        } else if let Some(all) = all {
            XattrItem::Rest { count, length, digest: *all.finalize().as_bytes() }.write(&mut out);
        }
        out
    }
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(list: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut writer = Writer::default();
        for (name, value) in list {
            writer.add(name, Some(value));
        }
        writer.finish()
    }

    #[test]
    fn every_name_belongs_to_one_attribute() {
        for (name, wanted) in [
            (&b"system.posix_acl_access"[..], Attribute::Acl),
            (b"system.posix_acl_default", Attribute::Acl),
            (b"system.nfs4_acl", Attribute::Acl),
            (b"security.capability", Attribute::Caps),
            (b"security.selinux", Attribute::Selinux),
            (b"security.ima", Attribute::Xattrs),
            (b"user.acl", Attribute::Xattrs),
            (b"", Attribute::Xattrs),
        ] {
            assert_eq!(attribute_of(name), wanted, "{name:?}");
        }
    }

    #[test]
    fn small_values_are_kept_and_long_ones_by_their_digest() {
        let long = vec![7; 65_536];
        let form = written(&[(CAPABILITY, b"\x01"), (b"user.a", b""), (b"user.b", &long), (b"user.\xff\n", b"v")]);
        let kept: Vec<XattrItem<'_>> = items(&form).collect();
        assert_eq!(
            kept,
            [
                XattrItem::Whole { name: CAPABILITY, value: b"\x01" },
                XattrItem::Whole { name: b"user.a", value: b"" },
                XattrItem::Long { name: b"user.b", length: 65_536, digest: digest(&long) },
                XattrItem::Whole { name: b"user.\xff\n", value: b"v" },
            ]
        );
        assert!(form.len() < 200, "{}", form.len());
        assert_eq!(value(&form, CAPABILITY), Some(&b"\x01"[..]));
        assert_eq!(part(&form, Attribute::Caps), written(&[(CAPABILITY, b"\x01")]));
    }

    #[test]
    fn beyond_the_bound_every_byte_still_counts_and_capabilities_stay_in_sight() {
        let names: Vec<Vec<u8>> = (0..5).map(|number| format!("user.{number}").into_bytes()).collect();
        let with = |last: u8| {
            let mut values = vec![vec![1; 65_536]; 5];
            values[4][65_535] = last;
            let mut list: Vec<(&[u8], &[u8])> = vec![(CAPABILITY, b"caps")];
            list.extend(names.iter().zip(&values).map(|(name, value)| (name.as_slice(), value.as_slice())));
            written(&list)
        };
        let form = with(1);
        assert_eq!(value(&form, CAPABILITY), Some(&b"caps"[..]));
        assert!(matches!(items(&form).nth(1), Some(XattrItem::Rest { count: 5, length: 327_710, .. })));
        assert_eq!(items(&form).count(), 2);
        assert!(!is_same(&form, &with(2), Attribute::Xattrs));
        assert!(is_same(&form, &with(2), Attribute::Caps));
    }

    #[test]
    fn an_absent_an_empty_and_an_unreadable_value_differ() {
        let mut unreadable = Writer::default();
        unreadable.add(b"user.a", None);
        let all = [written(&[]), written(&[(b"user.a", b"")]), unreadable.finish()];
        assert!(all[0].is_empty());
        assert!(!is_same(&all[0], &all[1], Attribute::Xattrs) && !is_same(&all[1], &all[2], Attribute::Xattrs));
    }

    proptest! {
        #[test]
        fn no_form_panics(form in proptest::collection::vec(any::<u8>(), 0..200)) {
            for attribute in Attribute::ALL {
                drop(part(&form, *attribute));
            }
        }

        #[test]
        fn what_was_written_is_read(list in proptest::collection::btree_map(
            proptest::collection::vec(1_u8.., 1..20), proptest::collection::vec(any::<u8>(), 0..1500), 0..9)) {
            let mut writer = Writer::default();
            for (name, value) in &list {
                writer.add(name, Some(value));
            }
            let form = writer.finish();
            let names: Vec<&[u8]> = items(&form).map(|item| item.name()).collect();
            prop_assert_eq!(names, list.keys().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }
}
