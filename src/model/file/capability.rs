//! File capabilities as the kernel stores them in `security.capability`, in the words of `getcap(8)`.
//!
//! The value is a revision with the effective bit (u32), then permitted and inheritable sets in one (revision 1) or two pairs of
//! words, and in revision 3 the user that counts as root in its namespace; all little-endian (`capabilities(7)`, `vfs_cap_data`).

/// Names by number, `include/uapi/linux/capability.h`.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// The capabilities of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// What whoever runs it gets, one bit a capability.
    pub permitted: u64,
    /// What it gets when the caller's inheritable set has it too.
    pub inheritable: u64,
    /// Whether they are in effect from the start.
    pub is_effective: bool,
    /// The user that is root in the namespace they count in; `None` everywhere.
    pub root: Option<u32>,
}

impl Capabilities {
    /// Reads the value of `security.capability`; `None` for a revision or length that the kernel does not make.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (words, rest) = value.as_chunks::<4>();
        if !rest.is_empty() {
            return None;
        }
        let word = |at: usize| words.get(at).map(|bytes| u32::from_le_bytes(*bytes));
        let magic = word(0)?;
        let (pairs, has_root) = match (magic & 0xff00_0000, words.len()) {
            (0x0100_0000, 3) => (1, false),
            (0x0200_0000, 5) => (2, false),
            (0x0300_0000, 6) => (2, true),
            _ => return None,
        };
        let set = |low: usize| {
            let high = if pairs == 2 { word(low + 2)? } else { 0 };
            Some(u64::from(word(low)?) | u64::from(high) << 32)
        };
        Some(Self {
            permitted: set(1)?,
            inheritable: set(2)?,
            is_effective: magic & 1 != 0,
            root: if has_root { Some(word(5)?) } else { None },
        })
    }

    /// Whether it gives something that `old` does not.
    pub const fn exceeds(&self, old: &Self) -> bool {
        let all = self.permitted | self.inheritable;
        let is_wider = self.permitted & !old.permitted != 0 || self.inheritable & !old.inheritable != 0;
        // In effect, or in a wider namespace.
        let is_stronger = self.is_effective && !old.is_effective || self.root.is_none() && old.root.is_some();
        is_wider || all != 0 && is_stronger
    }

    /// As `getcap(8)` shows them: `cap_net_raw=ep`, `cap_chown,cap_kill=eip cap_fowner=i`.
    pub fn text(&self) -> String {
        let mut groups: Vec<(&'static str, Vec<String>)> = Vec::new();
        for number in 0..64_u32 {
            let has = |set: u64| set >> number & 1 != 0;
            let how = match (has(self.permitted), has(self.inheritable), self.is_effective) {
                (false, false, _) => continue,
                (true, false, true) => "ep",
                (false, true, true) => "ei",
                (true, true, true) => "eip",
                (true, false, false) => "p",
                (false, true, false) => "i",
                (true, true, false) => "ip",
            };
            let name = usize::try_from(number).ok().and_then(|at| NAMES.get(at));
            let name = name.map_or_else(|| number.to_string(), |name| format!("cap_{name}"));
            match groups.iter_mut().find(|(known, _)| *known == how) {
                Some((_, names)) => names.push(name),
                None => groups.push((how, vec![name])),
            }
        }
        let mut words: Vec<String> = groups.iter().map(|(how, names)| format!("{}={how}", names.join(","))).collect();
        if words.is_empty() {
            words.push("=".to_owned());
        }
        words.extend(self.root.map(|root| format!("[rootid={root}]")));
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(magic: u32, words: &[u32]) -> Vec<u8> {
        std::iter::once(&magic).chain(words).flat_map(|word| word.to_le_bytes()).collect()
    }

    fn shown(value: &[u8]) -> Option<String> {
        Capabilities::parse(value).map(|all| all.text())
    }

    #[test]
    fn capabilities_are_told_as_getcap_tells_them() {
        for (value, wanted) in [
            (value(0x0200_0001, &[1 << 13, 0, 0, 0]), "cap_net_raw=ep"),
            (value(0x0200_0000, &[1 << 13 | 1 << 12, 0, 0, 0]), "cap_net_admin,cap_net_raw=p"),
            (value(0x0200_0001, &[1, 1 | 1 << 3, 1 << 7, 0]), "cap_chown=eip cap_fowner=ei cap_bpf=ep"),
            (value(0x0100_0001, &[1 << 7, 0]), "cap_setuid=ep"),
            (value(0x0300_0001, &[1, 0, 0, 0, 1000]), "cap_chown=ep [rootid=1000]"),
            (value(0x0200_0000, &[0, 0, 0, 0]), "="),
            (value(0x0200_0001, &[0, 0, 1 << 31, 0]), "63=ep"),
        ] {
            assert_eq!(shown(&value).unwrap(), wanted);
        }
    }

    #[test]
    fn another_revision_or_length_is_none() {
        for odd in [value(0x0400_0001, &[1, 0, 0, 0, 0, 0]), value(0x0200_0001, &[1, 0, 0]), b"\x01".to_vec(), vec![]] {
            assert_eq!(shown(&odd), None);
        }
    }

    #[test]
    fn only_more_is_more() {
        let raw = Capabilities { permitted: 1 << 13, inheritable: 0, is_effective: false, root: None };
        assert!(Capabilities { permitted: 3 << 13, ..raw }.exceeds(&raw));
        assert!(Capabilities { is_effective: true, ..raw }.exceeds(&raw));
        assert!(raw.exceeds(&Capabilities { root: Some(1000), ..raw }));
        assert!(!raw.exceeds(&raw) && !raw.exceeds(&Capabilities { is_effective: true, ..raw }));
        assert!(!Capabilities { permitted: 0, ..raw }.exceeds(&raw));
    }

    proptest! {
        #[test]
        fn no_value_panics(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            drop(shown(&value));
        }

        #[test]
        fn no_words_panic(magic in prop_oneof![0x0100_0000_u32..0x0400_0000, any::<u32>()],
            words in proptest::collection::vec(any::<u32>(), 2..6)) {
            drop(shown(&value(magic, &words)));
        }
    }
}
