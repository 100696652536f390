//! Canonical bytes of version 1: what was written once must be read, and written again, for ever.

use std::{fs, path::Path};

use integrityd::model::{
    canonical::{decode, encode},
    clock::{BootId, Boottime, Moment, Timestamp},
    event::{Category, Event, Severity},
    file::{
        attribute::{Attribute, AttributeSet},
        entry::{Attributes, Digests, FileKind, HashState, Observation},
    },
};
use proptest::prelude::*;

fn look(kind: FileKind, state: HashState) -> Observation {
    Observation {
        attributes: Attributes {
            kind,
            perms: 0o4755,
            uid: 1000,
            gid: u32::MAX,
            nlink: 2,
            dev: (8 << 32) | 1,
            inode: u64::MAX,
            rdev: 0,
            size: 1 << 40,
            mtime: Timestamp::from_nanos(-1),
            ctime: Timestamp::from_nanos(1_795_270_202_123_456_789),
            btime: Some(Timestamp::from_nanos(0)),
            target: (kind == FileKind::Symlink).then(|| b"../\xff\n".to_vec()),
            xattrs: None,
            flags: None,
        },
        hash_state: state,
        digests: Digests { blake3: Some([0xb3; 32]), sha256: None, sha512: Some([0x51; 64]) },
    }
}

fn events() -> Vec<(u64, Event)> {
    let found = Moment {
        wall: Timestamp::from_nanos(1_795_270_202_000_000_001),
        boottime: Boottime::from_nanos(41 * 86_400_000_000_000),
        boot: BootId([0x0b; 16]),
    };
    let changed = Event {
        area: b"/etc".to_vec(),
        changed: AttributeSet::of(&[Attribute::Size, Attribute::Content, Attribute::Ctime]),
        old: Some(look(FileKind::Regular, HashState::Full)),
        new: Some(look(FileKind::Symlink, HashState::Unreadable(13))),
        not_before: Some(Timestamp::from_nanos(7)),
        count: 1234,
        members_digest: Some([0x0d; 32]),
        note: b"note \xfe".to_vec(),
        ..Event::new(Category::Retyped, Severity::High, found, b"/etc/\x1b\xff name".to_vec())
    };
    let notice = Event::new(Category::Notice, Severity::Normal, Moment::default(), Vec::new());
    vec![(48_131, changed), (1, notice)]
}

fn golden() -> String {
    events()
        .iter()
        .map(|(seq, event)| {
            let hex: String = encode(*seq, event).iter().map(|byte| format!("{byte:02x}")).collect();
            hex + "\n"
        })
        .collect()
}

#[test]
fn canonical_bytes_of_version_1_never_change() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/canonical-1.hex");
    if std::env::var_os("INTEGRITYD_BLESS").is_some() && !path.exists() {
        fs::write(&path, golden()).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap();
    assert_eq!(stored, golden(), "a chain cannot be migrated: add a version 2, never change version 1");
    for (line, (seq, event)) in stored.lines().zip(events()) {
        let bytes: Vec<u8> =
            (0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap()).collect();
        assert_eq!(decode(&bytes).unwrap(), (seq, event));
    }
}

proptest! {
    #[test]
    fn damaged_bytes_are_refused_or_read_but_never_panic(
        cut in 0_usize..2000,
        flips in prop::collection::vec((0_usize..2000, any::<u8>()), 0..8),
    ) {
        let mut bytes = encode(events()[0].0, &events()[0].1);
        for (at, value) in flips {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= value;
            }
        }
        bytes.truncate(cut);
        let _read = decode(&bytes);
    }
}
