//! Access control lists, capabilities, labels, other extended attributes and inode flags in words; neutralised, for they hold what
//! anybody likes.

use crate::{
    model::{
        escape::{escape_name_cut, hex},
        file::{
            acl,
            attribute::Attribute,
            capability::Capabilities,
            entry::Attributes,
            inode_flags,
            xattr::{ACCESS, DEFAULT, XattrItem, attribute_of, digest, items, part},
        },
        format::{VALUE_LIMIT, digits16, length, number},
    },
    sys::users::Names,
};

/// Most differing extended attributes that are named in one item.
const MOST_NAMED: usize = 10;

/// Most bytes of a value that is shown in hexadecimal digits.
const MOST_HEX: usize = 32;

/// The words for `attribute`, one of those kept as extended attributes or the flags; `None` when there is nothing.
pub(crate) fn words(attribute: Attribute, seen: &Attributes, names: &Names) -> Option<String> {
    let all: Vec<String> = match attribute {
        Attribute::Flags => inode_flags::words(seen.flags.unwrap_or_default()),
        attribute => items(seen.xattrs.as_deref().unwrap_or_default())
            .filter(|item| item.attribute() == attribute)
            .map(|item| one(item, names))
            .collect(),
    };
    (!all.is_empty()).then(|| cut(all.join(" ")))
}

/// Cuts what is neutralised already.
fn cut(mut text: String) -> String {
    let end = text.floor_char_boundary(VALUE_LIMIT);
    let left = text.len() - end;
    if left > 0 {
        text.truncate(end);
        text.push_str(&format!("… +{} bytes", length(left)));
    }
    text
}

/// What has become of `attribute`: `old → new`, or for extended attributes one for each name.
pub(crate) fn differences(attribute: Attribute, old: &Attributes, new: &Attributes, names: &Names) -> Vec<String> {
    if attribute == Attribute::Xattrs {
        return xattr_differences(old, new, names);
    }
    let said = |seen| words(attribute, seen, names).unwrap_or_else(|| "none".to_owned());
    let (mut was, mut is) = (said(old), said(new));
    if was == is {
        // Two forms of the same, or different behind the cut.
        let exact = |seen: &Attributes| digits16(&digest(&part(seen.xattrs.as_deref().unwrap_or_default(), attribute)));
        was = format!("{was} ({})", exact(old));
        is = format!("{is} ({})", exact(new));
    }
    vec![format!("{} {was} → {is}", attribute.name())]
}

fn xattr_differences(old: &Attributes, new: &Attributes, names: &Names) -> Vec<String> {
    let others = |seen: &Attributes| part(seen.xattrs.as_deref().unwrap_or_default(), Attribute::Xattrs);
    let (old, new) = (others(old), others(new));
    let (was, is): (Vec<XattrItem<'_>>, Vec<XattrItem<'_>>) = (items(&old).collect(), items(&new).collect());
    let mut keys: Vec<&[u8]> = was.iter().chain(&is).map(XattrItem::name).collect();
    keys.sort_unstable();
    keys.dedup();
    let of = |list: &[XattrItem<'_>], key: &[u8]| {
        let at = list.binary_search_by(|item| item.name().cmp(key)).ok();
        at.and_then(|at| list.get(at)).map_or_else(|| "none".to_owned(), |item| brief(item, names))
    };
    let mut out: Vec<String> = Vec::new();
    let mut left = 0;
    for key in keys {
        let (was, is) = (of(&was, key), of(&is, key));
        if was == is {
            continue;
        }
        if out.len() >= MOST_NAMED {
            left += 1;
            continue;
        }
        out.push(match key {
            b"" => format!("xattrs {was} → {is}"),
            key => format!("xattr {} {was} → {is}", quoted(key)),
        });
    }
    if left > 0 {
        out.push(format!("and {} more xattrs", length(left)));
    }
    if out.is_empty() {
        // Their digests begin alike.
        out.push(Attribute::Xattrs.name().to_owned());
    }
    out
}

/// One item, with its name where the words do not tell it.
fn one(item: XattrItem<'_>, names: &Names) -> String {
    match (item, item.attribute()) {
        (XattrItem::Rest { .. }, _) => brief(&item, names),
        (_, Attribute::Xattrs) => format!("{} {}", quoted(item.name()), brief(&item, names)),
        _ => brief(&item, names),
    }
}

/// In quotes that nothing within can close.
fn quoted(value: &[u8]) -> String {
    format!("\"{}\"", escape_name_cut(value, VALUE_LIMIT).replace('"', "\\x22"))
}

/// What is told of a value: what it means, or its length and digest.
fn brief(item: &XattrItem<'_>, names: &Names) -> String {
    match *item {
        XattrItem::Whole { name, value } => meaning(name, value, names),
        XattrItem::Long { length, digest, .. } => format!("{} B {}", number(length), digits16(&digest)),
        XattrItem::Unreadable { .. } => "unreadable".to_owned(),
        XattrItem::Rest { count: 0, .. } => "too many to be listed".to_owned(),
        XattrItem::Rest { count, length, digest } => {
            format!("{} of {} B, only their digest {} is kept", number(count), number(length), digits16(&digest))
        }
    }
}

fn meaning(name: &[u8], value: &[u8], names: &Names) -> String {
    let list = |value| acl::text(value, |uid| names.user(uid), |gid| names.group(gid));
    let known = match (name, attribute_of(name)) {
        (ACCESS, _) => list(value),
        (DEFAULT, _) => {
            list(value).map(|text| text.split(',').map(|entry| format!("d:{entry}")).collect::<Vec<_>>().join(","))
        }
        (_, Attribute::Caps) => Capabilities::parse(value).map(|all| all.text()),
        (_, Attribute::Selinux) => Some(quoted(value.strip_suffix(b"\0").unwrap_or(value))),
        (_, Attribute::Acl) => None,
        _ if value.is_empty() => Some("empty".to_owned()),
        _ => Some(format!("{} B {}", length(value.len()), digits16(&digest(value)))),
    };
    known.unwrap_or_else(|| format!("of an unknown form, {} B {}", length(value.len()), digits(value)))
}

fn digits(value: &[u8]) -> String {
    match value.get(..MOST_HEX) {
        Some(first) if value.len() > MOST_HEX => format!("{}… {}", hex(first), digits16(&digest(value))),
        _ => hex(value),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::file::{
            entry::FileKind,
            xattr::{CAPABILITY, SELINUX, Writer},
        },
        report::render::test_events::look,
    };

    fn with(list: &[(&[u8], &[u8])]) -> Attributes {
        let mut writer = Writer::default();
        for (name, value) in list {
            writer.add(name, Some(value));
        }
        Attributes { xattrs: Some(writer.finish()), ..look(FileKind::Regular, 0o644, 1, 1).attributes }
    }

    fn told(attribute: Attribute, old: &[(&[u8], &[u8])], new: &[(&[u8], &[u8])]) -> String {
        let names = Names::parse(b"alice:x:33:33::/:/bin/sh", b"staff:x:50:");
        differences(attribute, &with(old), &with(new), &names).join("\n")
    }

    const ACL: &[u8] = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\x21\0\0\0\x08\0\x07\0\x32\0\0\0";
    const RAW: &[u8] = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

    #[test]
    fn each_is_told_in_the_words_of_its_own_tool() {
        let long = vec![7; 65_536];
        let lines = [
            told(Attribute::Acl, &[], &[(ACCESS, ACL)]),
            told(Attribute::Acl, &[(DEFAULT, ACL)], &[]),
            told(Attribute::Acl, &[(ACCESS, ACL)], &[(ACCESS, b"\x03\0\0\0odd")]),
            told(Attribute::Caps, &[], &[(CAPABILITY, RAW)]),
            told(Attribute::Caps, &[(CAPABILITY, RAW)], &[(CAPABILITY, &long[..40])]),
            told(Attribute::Selinux, &[(SELINUX, b"u:r:bin_t:s0\0")], &[(SELINUX, b"u:r:\x1b[2Jtmp_t:s0\0")]),
            told(
                Attribute::Xattrs,
                &[(b"user.a", b""), (b"user.same", b"x")],
                &[(b"user.a", b"v"), (b"user.same", b"x")],
            ),
            told(Attribute::Xattrs, &[(b"user.big", &long)], &[]),
            told(Attribute::Xattrs, &[], &[("user.\u{202e}\n\" none → x".as_bytes(), b"")]),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r#"
        acl none → u::rw-,u:alice:r--,g:staff:rwx
        acl d:u::rw-,d:u:alice:r--,d:g:staff:rwx → none
        acl u::rw-,u:alice:r--,g:staff:rwx → of an unknown form, 7 B 030000006f6464
        caps none → cap_net_raw=ep
        caps cap_net_raw=ep → of an unknown form, 40 B 0707070707070707070707070707070707070707070707070707070707070707… 0291d5e81a685daf
        selinux "u:r:bin_t:s0" → "u:r:\x1b[2Jtmp_t:s0"
        xattr "user.a" empty → 1 B fbf7129093429293
        xattr "user.big" 65,536 B 7dc416a3b30cfde6 → none
        xattr "user.\u{202e}\n\x22 none → x" none → empty
        "#);
    }

    #[test]
    fn flags_are_words() {
        let (mut old, mut new) = (with(&[]), with(&[]));
        (old.flags, new.flags) = (None, Some(0x30));
        let said = differences(Attribute::Flags, &old, &new, &Names::default());
        assert_eq!(said, ["flags none → immutable append-only"]);
        assert_eq!(words(Attribute::Flags, &old, &Names::default()), None);
    }

    #[test]
    fn what_only_looks_the_same_is_told_apart() {
        let said = told(Attribute::Selinux, &[(SELINUX, b"a")], &[(SELINUX, b"a\0")]);
        assert!(said.starts_with("selinux \"a\" (") && said.contains(") → \"a\" ("), "{said}");
    }

    #[test]
    fn many_are_counted() {
        let names: Vec<String> = (0..5000).map(|number| format!("user.{number:04}")).collect();
        let list: Vec<(&[u8], &[u8])> = names.iter().map(|name| (name.as_bytes(), &b"v"[..])).collect();
        let said = told(Attribute::Xattrs, &[], &list);
        assert_eq!(said.lines().count(), 11);
        assert!(said.ends_with("and 4,990 more xattrs"), "{said}");
        let long = vec![1; 65_536];
        let list: Vec<(&[u8], &[u8])> = names.iter().take(5).map(|name| (name.as_bytes(), long.as_slice())).collect();
        let said = told(Attribute::Xattrs, &list, &[]);
        assert!(said.starts_with("xattrs 5 of 327,725 B, only their digest "), "{said}");
    }

    proptest! {
        #[test]
        fn nothing_in_them_breaks_a_line(
            form in proptest::collection::vec(any::<u8>(), 0..300),
            list in proptest::collection::btree_map(
                proptest::collection::vec(1_u8.., 1..20), proptest::collection::vec(any::<u8>(), 0..60), 0..5),
        ) {
            let list: Vec<(&[u8], &[u8])> = list.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
            let (mut old, new) = (with(&[]), with(&list));
            old.xattrs = Some(form);
            for attribute in Attribute::ALL {
                for line in differences(*attribute, &old, &new, &Names::default()) {
                    prop_assert!(!line.chars().any(crate::model::escape::is_hidden), "{line:?}");
                }
            }
        }
    }
}
