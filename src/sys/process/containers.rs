//! Which processes are those of a container: by the traces that its manager leaves in `/proc/PID/cgroup`, or by what OpenVZ says.
//!
//! LXC, Docker, Podman, systemd-nspawn and Kubernetes name a container's control group after it or after its id. Docker and Podman
//! know a container by a name, too, which stands in their files only.

use std::{
    fs::{self, File},
    io::Read as _,
    path::Path,
};

use serde_json::Value;

/// No file of a container manager is read beyond this many bytes.
const LIMIT: u64 = 4 << 20;

/// Most containers of which names are looked up.
const MOST: usize = 10_000;

/// As much of an id as its managers print at least.
const SHORT_ID: usize = 12;

/// Where Docker keeps what it knows of its containers, a directory each.
const DOCKER: &str = "var/lib/docker/containers";

/// Where Podman does, for all.
const PODMAN: &str = "var/lib/containers/storage/overlay-containers/containers.json";

/// Whether a process in these control groups (the lines of `/proc/PID/cgroup`) belongs to the container `wanted`, a name or an id.
pub fn belongs(cgroups: &[u8], wanted: &str) -> bool {
    let text = String::from_utf8_lossy(cgroups);
    text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).any(|path| {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        (0..parts.len()).any(|at| {
            let before = at.checked_sub(1).and_then(|before| parts.get(before)).copied().unwrap_or_default();
            parts.get(at).is_some_and(|part| names(before, part, wanted))
        })
    })
}

/// Whether a control group `part` beneath `parent` is that of the container `wanted`.
fn names(parent: &str, part: &str, wanted: &str) -> bool {
    let is_id = |id: &str| is_long_id(id) && wanted.len() >= SHORT_ID && id.starts_with(wanted);
    if is_id(part) {
        return true;
    }
    if let Some(scope) = part.strip_suffix(".scope") {
        if scope.rsplit('-').next().is_some_and(is_id) {
            return true;
        }
        if let Some(machine) = scope.strip_prefix("machine-") {
            let machine = unescaped(machine);
            // libvirt writes the kind and a number before the name: qemu-3-web, lxc-4711-web.
            return machine == wanted || behind_number(&machine) == Some(wanted);
        }
    }
    if part.strip_prefix("libpod-").is_some_and(is_id) {
        return true;
    }
    if let Some(machine) = part.strip_prefix("systemd-nspawn@").and_then(|unit| unit.strip_suffix(".service")) {
        return unescaped(machine) == wanted;
    }
    part.strip_prefix("lxc.payload.") == Some(wanted)
        || matches!(parent, "lxc" | "lxc.payload") && part == wanted
        || parent == "machine.slice" && part == wanted && wanted.bytes().all(|byte| byte.is_ascii_digit())
}

/// `web` of `lxc-4711-web`.
fn behind_number(machine: &str) -> Option<&str> {
    let (_kind, rest) = machine.split_once('-')?;
    let (number, name) = rest.split_once('-')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(name)
}

fn is_long_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The name behind systemd's escaping (`systemd-escape(1)`): `\x2d` is a hyphen.
fn unescaped(text: &str) -> String {
    let mut pieces = text.split("\\x");
    let mut out = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        match piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                out.extend_from_slice(piece.get(2..).unwrap_or_default().as_bytes());
            }
            None => out.extend_from_slice(format!("\\x{piece}").as_bytes()),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The id of the container that Docker or Podman know by this name.
pub fn id_of(root: &Path, name: &str) -> Option<String> {
    docker(root, name).or_else(|| podman(root, name))
}

fn docker(root: &Path, name: &str) -> Option<String> {
    let containers = fs::read_dir(root.join(DOCKER)).ok()?.filter_map(Result::ok).take(MOST);
    containers.filter_map(|entry| entry.file_name().into_string().ok().filter(|id| is_long_id(id))).find(|id| {
        let known = json(&root.join(DOCKER).join(id).join("config.v2.json"));
        let known = known.as_ref().and_then(|known| known.get("Name")).and_then(Value::as_str);
        known.is_some_and(|known| known.strip_prefix('/').unwrap_or(known) == name)
    })
}

fn podman(root: &Path, name: &str) -> Option<String> {
    let all = json(&root.join(PODMAN))?;
    let has_name = |container: &&Value| {
        let names = container.get("names").and_then(Value::as_array);
        names.is_some_and(|names| names.iter().any(|known| known.as_str() == Some(name)))
    };
    let found = all.as_array()?.iter().take(MOST).find(has_name)?;
    found.get("id").and_then(Value::as_str).filter(|id| is_long_id(id)).map(str::to_owned)
}

fn json(path: &Path) -> Option<Value> {
    let mut bytes = Vec::new();
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    File::open(path).ok()?.take(LIMIT).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4f2c9e6b1a7d8035c2e4f6a8b0d1c3e5f7a9b1c3d5e7f9012345678abcdef012";
    const SHORT: &str = "4f2c9e6b1a7d";

    #[test]
    fn each_manager_leaves_its_traces() {
        for (line, wanted) in [
            ("0::/lxc.payload.web", "web"),
            ("5:devices:/lxc/web", "web"),
            ("0::/lxc/web/ns/system.slice/nginx.service", "web"),
            ("0::/lxc.payload/web/init.scope", "web"),
            (&format!("0::/docker/{ID}"), ID),
            (&format!("0::/system.slice/docker-{ID}.scope"), SHORT),
            (&format!("0::/machine.slice/libpod-{ID}.scope/container"), SHORT),
            (&format!("0::/libpod_parent/libpod-{ID}"), ID),
            (&format!("0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"), ID),
            (&format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"), SHORT),
            ("0::/machine.slice/machine-web.scope/payload", "web"),
            ("1:name=systemd:/machine.slice/machine-my\\x2dweb.scope", "my-web"),
            ("0::/machine.slice/machine-lxc\\x2d4711\\x2dweb.scope", "web"),
            ("0::/machine.slice/systemd-nspawn@web.service/payload/system.slice/cron.service", "web"),
            ("4:memory:/machine.slice/102", "102"),
        ] {
            let lines = format!("9:name=systemd:/\n{line}\n");
            assert!(belongs(lines.as_bytes(), wanted), "{line} {wanted}");
        }
    }

    #[test]
    fn others_are_not_taken_for_it() {
        for (line, wanted) in [
            ("0::/", "web"),
            ("0::/lxc.monitor.web", "web"),
            ("0::/lxc.payload.web2", "web"),
            ("0::/lxc.payload.web", "we"),
            ("0::/system.slice/web.service", "web"),
            ("0::/web", "web"),
            (&format!("0::/docker/{ID}"), "4f2c"),
            (&format!("0::/docker/{ID}"), "web"),
            ("0::/machine.slice/machine-other.scope", "web"),
            ("0::/machine.slice/machine-web-2.scope", "web"),
            ("nonsense", "nonsense"),
            ("", ""),
        ] {
            assert!(!belongs(line.as_bytes(), wanted), "{line} {wanted}");
        }
    }

    #[test]
    fn a_name_that_only_the_manager_knows_leads_to_the_id() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(id_of(root.path(), "web"), None);
        let directory = root.path().join(DOCKER).join(ID);
        fs::create_dir_all(&directory).unwrap();
        fs::create_dir_all(root.path().join(DOCKER).join("not-an-id")).unwrap();
        fs::write(directory.join("config.v2.json"), r#"{"ID":"x","Name":"/web","State":{}}"#).unwrap();
        assert_eq!(id_of(root.path(), "web").as_deref(), Some(ID));
        assert_eq!(id_of(root.path(), "db"), None);
        let file = root.path().join(PODMAN);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, format!(r#"[{{"id":"{ID}","names":["db"]}},{{"id":"short","names":["bad"]}}]"#)).unwrap();
        assert_eq!(id_of(root.path(), "db").as_deref(), Some(ID));
        assert_eq!(id_of(root.path(), "bad"), None);
        fs::write(&file, "no json").unwrap();
        assert_eq!(id_of(root.path(), "db"), None);
    }
}
