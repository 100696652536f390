//! The answer of `explain` for machines.

use serde_json::json;

use crate::{
    cli::explain::answer::{DueCheck, Explained, Stored, area_of, list},
    export::attribute_text,
    files::area::{membership::Membership, watched_areas::Exclusion},
    model::{
        escape::{escape_name, hex},
        file::{
            attribute::Attribute,
            entry::{Algorithm, HashState},
            inode_flags,
        },
    },
    sys::users::Names,
};

impl Explained<'_> {
    /// The answer as one object.
    pub(in crate::cli) fn json(&self) -> serde_json::Value {
        let area = area_of(&self.membership).map(|(at, watched)| {
            let block = self.effective.areas().nth(at);
            let items: serde_json::Map<String, serde_json::Value> = block
                .iter()
                .flat_map(|block| &block.rows)
                .map(|row| {
                    let values = row
                        .values
                        .iter()
                        .map(|given| json!({ "value": escape_name(&given.value), "source": given.source.to_string() }));
                    (row.key.name.to_owned(), values.collect())
                })
                .collect();
            json!({
                "path": escape_name(&watched.path),
                "outer": self.outer.iter().map(|path| escape_name(path)).collect::<Vec<_>>(),
                "settings": items,
                "compared": list(self.compared(watched)),
                "recipients": self.recipients(watched),
            })
        });
        let watched = area_of(&self.membership).is_some_and(|(_, watched)| {
            matches!(self.membership, Membership::Watched { .. }) && self.link_beneath(watched).is_none()
        });
        json!({
            "path": escape_name(&self.path),
            "watched": watched,
            "area": area,
            "left_out": self.left_out_json(),
            "link": self.link.as_ref().map(|link| json!({
                "at": escape_name(&link.at),
                "target": escape_name(&link.target),
                "real": link.real.as_deref().map(escape_name),
            })),
            "urgent": self.is_urgent,
            "database": !matches!(self.stored, Stored::NoDatabase(_)),
            "stored": self.stored_json(),
            "events": self.events.iter().map(|stored| stored.seq).collect::<Vec<_>>(),
        })
    }

    fn left_out_json(&self) -> serde_json::Value {
        match &self.membership {
            Membership::LeftOut { at, why, watched, area } => {
                let pattern = watched.settings.excludes.pattern_covering(at).filter(|_| *why == Exclusion::Excluded);
                let block = self.effective.areas().nth(*area);
                let given = block.and_then(|block| {
                    block.values("exclude").iter().find(|given| Some(given.value.as_slice()) == pattern)
                });
                let why = match why {
                    Exclusion::Excluded => "excluded",
                    Exclusion::Own => "own",
                    Exclusion::OtherArea => "other area",
                    Exclusion::NotEntered => "not entered",
                    Exclusion::TooLong => "path too long",
                };
                json!({
                    "at": escape_name(at),
                    "why": why,
                    "exclude": pattern.map(escape_name),
                    "source": given.map(|given| given.source.to_string()),
                })
            }
            Membership::Barred { mount, .. } => {
                json!({ "at": escape_name(&mount.point), "why": "mount", "type": escape_name(mount.kind.as_bytes()) })
            }
            Membership::InNoArea | Membership::Watched { .. } => serde_json::Value::Null,
        }
    }

    fn stored_json(&self) -> serde_json::Value {
        let Stored::Entry(known) = &self.stored else {
            return serde_json::Value::Null;
        };
        let entry = &known.entry;
        let seen = &entry.known.attributes;
        let digests: serde_json::Map<String, serde_json::Value> = Algorithm::ALL
            .into_iter()
            .filter_map(|algorithm| {
                Some((algorithm.name().to_owned(), json!(hex(entry.known.digests.get(algorithm)?))))
            })
            .collect();
        // Numbers for users and groups, as for owners.
        let words = |attribute| attribute_text::words(attribute, seen, &Names::default());
        let due = match &known.due {
            DueCheck::Never(state) => json!({ "state": state }),
            DueCheck::Queued { ahead, within, is_running } => {
                json!({ "ahead": ahead, "within_seconds": within.as_secs(), "running": is_running })
            }
        };
        json!({
            "type": seen.kind.word(),
            "mode": format!("{:04o}", seen.perms),
            "uid": seen.uid,
            "gid": seen.gid,
            "size": seen.size,
            "nlink": seen.nlink,
            "inode": seen.inode,
            "mtime_ns": seen.mtime.as_nanos(),
            "ctime_ns": seen.ctime.as_nanos(),
            "target": seen.target.as_deref().map(escape_name),
            "acl": words(Attribute::Acl),
            "caps": words(Attribute::Caps),
            "selinux": words(Attribute::Selinux),
            "xattrs": words(Attribute::Xattrs),
            "flags": seen.flags.map(inode_flags::words),
            "digests": digests,
            "hash_state": hash_word(entry.known.hash_state),
            "recorded": list(entry.recorded),
            "checked_ns": entry.checked.as_nanos(),
            "pending": entry.reported.is_some(),
            "below": known.below,
            "due": due,
        })
    }
}

/// What the digests stand for, in a word.
const fn hash_word(state: HashState) -> &'static str {
    match state {
        HashState::Off => "off",
        HashState::Full => "full",
        HashState::Partial(_) => "partial",
        HashState::Busy => "busy",
        HashState::TooBig => "too big",
        HashState::Unreadable(_) => "unreadable",
    }
}
