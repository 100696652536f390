//! Blows at any moment, many of them.

use crate::{packages::need, support::is_root, torment};

#[test]
fn a1_fifty_kills_under_load_lose_nothing_and_send_nothing_under_two_names() {
    torment::kills(50);
}

#[test]
fn a4_ten_power_cuts_of_the_state_lose_nothing_and_send_nothing_under_two_names() {
    if !is_root() {
        println!("skipped: only root can mount a disk and cut its power");
        return;
    }
    if need("xfs_io", "xfsprogs") && need("mkfs.ext4", "e2fsprogs") {
        torment::power_cuts(10);
    }
}
