//! What the running system says about itself, read below a root that tests can choose.

use std::{ffi::OsString, fs, os::unix::ffi::OsStringExt, path::Path};

use crate::model::clock::BootId;

/// The id of this boot (`random(4)`), or zeros where `/proc` does not tell.
pub fn boot_id(root: &Path) -> BootId {
    let text = fs::read_to_string(root.join("proc/sys/kernel/random/boot_id")).unwrap_or_default();
    BootId(uuid::Uuid::try_parse(text.trim()).map_or([0; 16], uuid::Uuid::into_bytes))
}

/// The machine's full host name: the node name of `uname(2)`, completed from `/etc/hosts` when it has no domain.
///
/// No resolver is asked, because a name server that does not answer would hold up the start.
pub fn host_name(root: &Path) -> String {
    let node = rustix::system::uname().nodename().to_bytes().to_vec();
    let node = OsString::from_vec(node).to_string_lossy().into_owned();
    if node.contains('.') {
        return node;
    }
    let hosts = fs::read(root.join("etc/hosts")).unwrap_or_default();
    full_name(&String::from_utf8_lossy(&hosts), &node).unwrap_or(node)
}

/// The name with a domain on the line of `hosts(5)` that knows `node`.
fn full_name(hosts: &str, node: &str) -> Option<String> {
    hosts
        .lines()
        .filter_map(|line| line.split('#').next())
        .map(|line| line.split_ascii_whitespace().skip(1).collect::<Vec<_>>())
        .filter(|names| names.contains(&node))
        .find_map(|names| {
            names
                .iter()
                .find(|name| name.strip_prefix(node).is_some_and(|rest| rest.starts_with('.')))
                .map(|name| (*name).to_owned())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_comes_from_the_hosts_file() {
        let hosts = "127.0.0.1 localhost\n# 10.0.0.9 web3.wrong.example web3\n127.0.1.1\tweb3.example.org web3 # me\n";
        assert_eq!(full_name(hosts, "web3").as_deref(), Some("web3.example.org"));
        assert_eq!(full_name(hosts, "web4"), None);
        assert_eq!(full_name(hosts, "localhost"), None);
    }

    #[test]
    fn an_unreadable_boot_id_is_all_zero() {
        assert_eq!(boot_id(Path::new("/nonexistent")), BootId::default());
        assert_ne!(boot_id(Path::new("/")), BootId::default());
    }
}
