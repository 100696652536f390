//! How a path stands to the walk: in which area, and whether the walk comes to it. `explain` asks here, and the answer is that of
//! the walker, because both ask the same [`WatchedAreas`].

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use crate::{
    files::area::watched_areas::{Exclusion, WatchedArea, WatchedAreas, is_beneath, join},
    sys::fs::mounts::{self, Mount},
};

/// How a path stands to the walk.
#[derive(Debug)]
pub enum Membership<'a> {
    /// It lies in no area.
    InNoArea,
    /// The walk comes to it.
    Watched {
        /// The number of its area.
        area: usize,
        /// Its area.
        watched: &'a WatchedArea,
    },
    /// The walk leaves it out.
    LeftOut {
        /// The number of its area.
        area: usize,
        /// Its area.
        watched: &'a WatchedArea,
        /// The leading part of the path at which the walk turns back.
        at: Vec<u8>,
        /// Why it does.
        why: Exclusion,
    },
    /// It is or lies beneath a mount that is not entered.
    Barred {
        /// The number of its area.
        area: usize,
        /// Its area.
        watched: &'a WatchedArea,
        /// The mount.
        mount: Mount,
    },
}

/// How the absolute `path` stands on `areas`, whose mounts must have been surveyed. Looks at no file.
pub fn membership<'a>(areas: &'a WatchedAreas, path: &[u8]) -> Membership<'a> {
    let Some((area, watched)) = areas.innermost(path) else {
        return Membership::InNoArea;
    };
    if path != watched.path {
        if let Some((at, why)) =
            areas.left_out_prefix(watched, path).and_then(|at| Some((at.to_vec(), areas.reason(watched, at)?)))
        {
            return Membership::LeftOut { area, watched, at, why };
        }
        if let Some(mount) = areas.barrier(path) {
            return Membership::Barred { area, watched, mount };
        }
    }
    Membership::Watched { area, watched }
}

/// A path as somebody has named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The path by which the walk comes to what was named: links on the way are followed, a link that is an entry stands for itself.
    pub path: Vec<u8>,
    /// The areas that lie at or beneath what was named, by their paths.
    pub areas: Vec<Vec<u8>>,
    /// Where it points, when it is a link that is an entry itself.
    pub points_to: Option<Vec<u8>>,
}

/// What was named as `path`, seen from `here`. Of what could hang nothing is followed. The mounts of `areas` must have been surveyed.
pub fn asked(areas: &WatchedAreas, here: &Path, path: &Path) -> Asked {
    let words = absolute(here, path);
    let whole = Path::new("/").join(here).join(path).into_os_string().into_vec();
    let real = areas.mount_map.resolve(&whole);
    let itself = itself(areas, &whole);
    let is_root = areas.all.iter().any(|watched| watched.path == words);
    let as_itself = if is_root { None } else { met(areas, &itself, &words) };
    let is_near = areas.mount_map.far(&itself).is_none();
    let target = as_itself.as_ref().filter(|_| is_near).and_then(|_| fs::read_link(as_path(&itself)).ok());
    let path = match as_itself {
        _ if is_root => words.clone(),
        Some(path) => path,
        None => met(areas, &real, &words).unwrap_or_else(|| words.clone()),
    };
    let lies_beneath = |watched: &&WatchedArea| {
        is_beneath(&watched.path, &words)
            || is_beneath(&watched.path, &real)
            || is_beneath(&watched.real_of(&watched.path), &real)
    };
    let areas = areas.all.iter().filter(lies_beneath).map(|watched| watched.path.clone()).collect();
    Asked { path, areas, points_to: target.map(|target| target.into_os_string().into_vec()) }
}

/// The absolute path with the links of its directories followed, but not one that its last name is.
fn itself(areas: &WatchedAreas, whole: &[u8]) -> Vec<u8> {
    match whole.iter().rposition(|byte| *byte == b'/').map(|at| whole.split_at(at + 1)) {
        Some((directory, name)) if ![&b""[..], b".", b".."].contains(&name) => {
            join(&areas.mount_map.resolve(directory), name)
        }
        _ => areas.mount_map.resolve(whole),
    }
}

/// The path by which the walk comes to the real path `real`: `words`, if that is one, else the first that is watched.
fn met(areas: &WatchedAreas, real: &[u8], words: &[u8]) -> Option<Vec<u8>> {
    let seen: Vec<Vec<u8>> = areas.all.iter().filter_map(|watched| watched.seen_as(real)).collect();
    let is_watched = |path: &&Vec<u8>| matches!(membership(areas, path), Membership::Watched { .. });
    let chosen = seen.iter().find(|path| path.as_slice() == words).or_else(|| seen.iter().find(is_watched));
    chosen.or(seen.first()).cloned()
}

/// A symbolic link on the way to a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathLink {
    /// The leading part of the path that is the link.
    pub at: Vec<u8>,
    /// What the link says.
    pub target: Vec<u8>,
    /// Where the whole path really is, if that can be told.
    pub real: Option<Vec<u8>>,
}

/// The first symbolic link among the directories that lead to the absolute `path`. Stops at a mount that could hang.
pub fn link_on_way(path: &[u8]) -> Option<PathLink> {
    let risky = risky_mounts();
    let mut ends = path.iter().enumerate().filter(|(at, byte)| *at > 0 && **byte == b'/').map(|(at, _)| at);
    let at = ends.find_map(|end| {
        let prefix = path.get(..end)?;
        let is_safe = !risky.iter().any(|point| is_beneath(prefix, point));
        (is_safe && fs::symlink_metadata(as_path(prefix)).is_ok_and(|found| found.is_symlink())).then_some(prefix)
    })?;
    let target = fs::read_link(as_path(at)).map(|target| target.into_os_string().into_vec()).unwrap_or_default();
    let rest = path.get(at.len() + 1..).unwrap_or_default();
    // It may lead to a mount that hangs.
    let directory = as_path(at).parent().map(Path::to_path_buf).unwrap_or_default();
    let aim = absolute(&directory, &as_path(&target));
    let is_safe = !risky.iter().any(|point| is_beneath(&aim, point));
    let real = if is_safe { fs::canonicalize(as_path(at)).ok() } else { None }.map(|real| real.join(as_path(rest)));
    Some(PathLink { at: at.to_vec(), target, real: real.map(|real| real.into_os_string().into_vec()) })
}

/// Where something is mounted that can hang.
fn risky_mounts() -> Vec<Vec<u8>> {
    let all = mounts::read(Path::new("/")).unwrap_or_default();
    all.into_iter().filter(|mount| mount.is_slow() || mount.kind == "autofs").map(|mount| mount.point).collect()
}

/// The absolute form of `path`, seen from `here`: without `.`, `..` and doubled slashes, and without asking any file.
pub fn absolute(here: &Path, path: &Path) -> Vec<u8> {
    let whole = here.join(path);
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in whole.as_os_str().as_bytes().split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    [b"/", parts.join(&b'/').as_slice()].concat()
}

fn as_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        config::settings::{
            config::{Area, Config},
            exclude::Excludes,
        },
        model::file::entry::AreaId,
    };

    fn areas(areas: &[(&str, &[&str], bool)]) -> WatchedAreas {
        let areas: Vec<Area> = areas
            .iter()
            .map(|(path, excludes, recurse)| {
                let patterns: Vec<PathBuf> = excludes.iter().map(PathBuf::from).collect();
                let excludes = Excludes::new(&patterns).unwrap();
                Area { excludes, recurse: *recurse, ..Area::new(PathBuf::from(path)) }
            })
            .collect();
        let ids: Vec<AreaId> = (1..).map(AreaId).take(areas.len()).collect();
        WatchedAreas::new(&Config::embedded(areas, PathBuf::from("/srv/state/integrityd.sqlite")), &ids)
    }

    fn words(areas: &WatchedAreas, path: &str) -> String {
        match membership(areas, path.as_bytes()) {
            Membership::InNoArea => "no area".to_owned(),
            Membership::Watched { area, .. } => format!("watched {area}"),
            Membership::LeftOut { area, at, why, .. } => {
                format!("{area} {why:?} {}", String::from_utf8(at).unwrap())
            }
            Membership::Barred { area, mount, .. } => format!("{area} barred {}", mount.kind),
        }
    }

    #[test]
    fn the_innermost_area_decides() {
        let areas =
            areas(&[("/srv", &["/srv/*/cache", "/srv/in"], true), ("/srv/in/deep", &[], true), ("/flat", &[], false)]);
        for (path, wanted) in [
            ("/etc/x", "no area"),
            ("/srv", "watched 0"),
            ("/srv2", "no area"),
            ("/srv/a/x", "watched 0"),
            ("/srv/a/cache/b/c", "0 Excluded /srv/a/cache"),
            ("/srv/in", "0 Excluded /srv/in"),
            ("/srv/in/deep", "watched 1"),
            ("/srv/in/deep/cache", "watched 1"),
            ("/srv/state/integrityd.sqlite-wal", "0 Own /srv/state/integrityd.sqlite-wal"),
            ("/flat/a", "watched 2"),
            ("/flat/a/b", "2 NotEntered /flat/a/b"),
        ] {
            assert_eq!(words(&areas, path), wanted, "{path}");
        }
    }

    #[test]
    fn a_path_is_made_absolute_by_its_words_alone() {
        for (path, wanted) in
            [("x", "/here/x"), ("../x/./y/", "/x/y"), ("/a//b/../c", "/a/c"), ("/../..", "/"), ("", "/here")]
        {
            assert_eq!(absolute(Path::new("/here"), Path::new(path)), wanted.as_bytes(), "{path}");
        }
    }

    #[test]
    fn the_first_link_on_the_way_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        fs::create_dir(root.join("real")).unwrap();
        std::os::unix::fs::symlink("real", root.join("link")).unwrap();
        let path = root.join("link/x");
        let found = link_on_way(path.as_os_str().as_bytes()).unwrap();
        assert_eq!(found.at, root.join("link").as_os_str().as_bytes());
        assert_eq!(found.target, b"real");
        assert_eq!(found.real.as_deref(), Some(root.join("real/x").as_os_str().as_bytes()));
        assert_eq!(
            link_on_way(root.join("link").as_os_str().as_bytes()),
            None,
            "the path itself is looked at as it is"
        );
    }

    proptest! {
        /// A walk that enters what is not left out comes to exactly the paths that are said to be watched.
        #[test]
        fn what_is_watched_is_what_a_walk_comes_to(
            path in "(/(a|b|cache|in|srv|deep|state)){1,6}",
            excludes in proptest::collection::vec("/srv(/(a|b|cache|\\*|\\*\\*|in)){1,3}", 0..4),
            recurse in any::<bool>(),
        ) {
            let excludes: Vec<&str> = excludes.iter().map(String::as_str).collect();
            let areas = areas(&[("/srv", &excludes, recurse), ("/srv/in/deep", &[], true)]);
            let is_met = areas.all.iter().any(|watched| {
                let bytes = path.as_bytes();
                let ends = (1..=bytes.len()).filter(|end| *end == bytes.len() || bytes[*end] == b'/');
                is_beneath(bytes, &watched.path)
                    && ends.filter(|end| *end > watched.path.len()).all(|end| !areas.leaves_out(watched, &bytes[..end]))
            });
            let is_watched = matches!(membership(&areas, path.as_bytes()), Membership::Watched { .. });
            prop_assert_eq!(is_watched, is_met, "{}", path);
        }
    }
}
