//! Inode flags, as `statx(2)` tells them; `chattr(1)` sets them. The bits are those of `stx_attributes` and never change.

/// Bit and word of each flag that is recorded.
const FLAGS: [(u64, &str); 6] = [
    (0x0000_0004, "compressed"),
    (0x0000_0010, "immutable"),
    (0x0000_0020, "append-only"),
    (0x0000_0040, "no-dump"),
    (0x0000_0800, "encrypted"),
    (0x0010_0000, "verity"),
];

/// The bits that are recorded: those somebody has set. Others of `statx(2)` say how the object is mounted.
pub const RECORDED: u64 = 0x0010_0874;

/// The flags in words, in the order of their bits; a bit without a word by its number.
pub fn words(flags: u64) -> Vec<String> {
    let known = FLAGS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, word)| (*word).to_owned());
    let rest = flags & !RECORDED;
    known.chain((rest != 0).then(|| format!("{rest:#x}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recorded_bit_has_its_word() {
        assert_eq!(FLAGS.iter().fold(0, |all, (bit, _)| all | bit), RECORDED);
        assert_eq!(words(RECORDED).len(), FLAGS.len());
        assert_eq!(words(0x31), ["immutable", "append-only", "0x1"]);
        assert!(words(0).is_empty());
    }
}
