//! An event for machines: one line of JSON in the words of the Elastic Common Schema, and `integrityd.*` for the rest.
//!
//! ECS and not OCSF: a walker's finding has no actor, which OCSF's file activity requires, and OCSF's file object knows
//! no inode, gid or ctime. Unknown values are left out, never 0; the order of keys is fixed; text passes the
//! neutraliser, and where that changed a path or a log line its raw bytes stand beside it. Ids are strings, because JSON numbers
//! are exact to 2^53 only. `docs/events.schema.json` is the contract.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    export::{attribute_text, ecs_process as process},
    model::{
        clock::Timestamp,
        escape::{escape, hex},
        event::{Category, Event, Kind, Member, Severity, StoredEvent},
        file::{
            attribute::Attribute,
            entry::{Algorithm, FileKind, HashState, Observation},
            inode_flags,
            xattr::{XattrItem, digest, items},
        },
    },
    sys::users::Names,
};

/// Most extended attributes that are listed of one object.
const MOST_XATTRS: usize = 100;

/// The version of the Elastic Common Schema the names are taken from.
const ECS_VERSION: &str = "8.17.0";

/// The machine an event comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its name; neutralised where it is written.
    pub name: String,
    /// What tells it from all others, such as its machine-id(5); empty when unknown.
    pub id: String,
}

/// The event as one line of JSON, without the line end. Cost O(size of the event).
pub fn to_line(stored: &StoredEvent, host: &Host) -> String {
    to_json(stored, host).to_string()
}

/// The event as JSON; the keys stand in a fixed order.
pub fn to_json(stored: &StoredEvent, host: &Host) -> Value {
    let event = &stored.event;
    let mut root = Object::new();
    root.put("@timestamp", time(event.found.wall));
    root.put("ecs", json!({ "version": ECS_VERSION }));
    root.put("event", event_object(stored));
    let mut machine = Object::new();
    machine.put("name", escape(host.name.as_bytes()));
    machine.put_some("id", (!host.id.is_empty()).then(|| escape(host.id.as_bytes())));
    root.put("host", machine.done());
    match event.category.kind() {
        Kind::File => root.put("file", file_object(event)),
        Kind::Log => {
            let is_log = !event.source.is_empty() && event.category != Category::Rules;
            root.put_some("log", is_log.then(|| json!({ "file": { "path": escape(&event.source) } })));
            root.put_some("rule", rule_object(event));
        }
        Kind::Process => root.put_some("process", event.process.as_deref().and_then(process::current)),
        Kind::Own => {}
    }
    root.put("integrityd", own_object(stored));
    root.done()
}

/// As [`to_json`], with the single objects that a summary stands for, and how many more there are than `members`.
pub fn to_json_with(stored: &StoredEvent, host: &Host, members: &[Member], left_out: u64) -> Value {
    let mut value = to_json(stored, host);
    if let Some(Value::Object(own)) = value.get_mut("integrityd")
        && !members.is_empty()
    {
        own.insert("members".to_owned(), members.iter().map(member_object).collect());
        own.insert("members_left_out".to_owned(), left_out.into());
    }
    value
}

/// One object of a summary, as it was.
fn member_object(member: &Member) -> Value {
    let mut out = Object::new();
    let shown = escape(&member.source);
    let is_altered = shown.as_bytes() != member.source;
    out.put("path", shown);
    out.put_some("path_b64", is_altered.then(|| STANDARD.encode(&member.source)));
    describe(&member.old, |_| true, &mut out);
    out.put("hash", content_object(&member.old));
    out.done()
}

/// A JSON object that leaves out what is unknown.
struct Object(Map<String, Value>);

impl Object {
    fn new() -> Self {
        Self(Map::new())
    }

    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    fn put_some(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn done(self) -> Value {
        Value::Object(self.0)
    }

    fn filled(self) -> Option<Value> {
        (!self.0.is_empty()).then(|| self.done())
    }
}

fn event_object(stored: &StoredEvent) -> Value {
    let event = &stored.event;
    let (category, dataset) = match event.category.kind() {
        Kind::File => ("file", "integrityd.file"),
        Kind::Log if is_raised(event.category) => ("intrusion_detection", "integrityd.log"),
        Kind::Log => ("host", "integrityd.log"),
        Kind::Process => ("process", "integrityd.process"),
        Kind::Own => ("host", "integrityd.self"),
    };
    let mut out = Object::new();
    out.put("kind", kind(event));
    out.put("category", json!([category]));
    out.put("type", json!([change_type(event.category)]));
    out.put("action", json!([event.category.word().replace(' ', "-")]));
    out.put_some("id", is_stored(stored).then(|| hex(&stored.hash)));
    out.put("severity", event.severity.number());
    out.put_some("start", event.not_before.map(time));
    out.put("end", time(event.found.wall));
    let is_line = event.category.is_line();
    out.put_some("reason", (!is_line && !event.note.is_empty()).then(|| escape(&event.note)));
    out.put_some("sequence", is_stored(stored).then_some(stored.seq));
    out.put("dataset", dataset);
    out.put_some("original", is_line.then(|| escape(&event.note)));
    out.done()
}

/// Whether the event stands in the chain; what `check` finds is only shown.
const fn is_stored(stored: &StoredEvent) -> bool {
    stored.seq > 0
}

fn kind(event: &Event) -> &'static str {
    match event.category {
        Category::BaselineStarted
        | Category::BaselineEstablished
        | Category::Learning
        | Category::Heartbeat
        | Category::RoundFinished
        | Category::UnusedRules => "state",
        _ if event.severity >= Severity::High => "alert",
        _ => "event",
    }
}

/// Whether a rule has raised the line.
const fn is_raised(category: Category) -> bool {
    matches!(category, Category::Cracking | Category::Violation)
}

/// The rule that raised a line, and the layer it belongs to; of news about rules their directory.
fn rule_object(event: &Event) -> Option<Value> {
    let layer = match event.category {
        Category::Cracking => Some("cracking"),
        Category::Violation => Some("violations"),
        Category::SystemEvent => Some("system"),
        _ => None,
    };
    let rule = event.line.as_ref().filter(|line| is_raised(event.category) && !line.rule.is_empty());
    let is_about_rules = event.category == Category::Rules && !event.source.is_empty();
    let mut out = Object::new();
    out.put_some("name", rule.map(|line| escape(&line.rule)));
    out.put_some("category", layer);
    out.put_some("ruleset", is_about_rules.then(|| escape(&event.source)));
    out.filled()
}

/// The object as it is, or as it was when it is gone.
fn file_object(event: &Event) -> Value {
    let mut out = Object::new();
    out.put_some("path", (!event.source.is_empty()).then(|| escape(&event.source)));
    if let Some(seen) = event.new.as_ref().or(event.old.as_ref()) {
        // The root of an area has one too: where it really is, which tells something only when that has changed.
        let is_link = seen.attributes.kind == FileKind::Symlink || event.changed.has(Attribute::Target);
        describe(seen, |attribute| attribute != Attribute::Target || is_link, &mut out);
        out.put_some("created", seen.attributes.btime.map(time));
        out.put_some("hash", hash_object(seen));
    }
    out.done()
}

/// The attributes that ECS has names for, of those `wanted`.
fn describe(seen: &Observation, wanted: impl Fn(Attribute) -> bool, out: &mut Object) {
    let it = &seen.attributes;
    let mut put = |attribute, key: &str, value: Value| {
        if wanted(attribute) {
            out.put(key, value);
        }
    };
    put(Attribute::Type, "type", type_word(it.kind).into());
    put(Attribute::Inode, "inode", it.inode.to_string().into());
    put(Attribute::Uid, "uid", it.uid.to_string().into());
    put(Attribute::Gid, "gid", it.gid.to_string().into());
    put(Attribute::Perms, "mode", format!("{:04o}", it.perms).into());
    put(Attribute::Size, "size", it.size.into());
    put(Attribute::Mtime, "mtime", time(it.mtime).into());
    put(Attribute::Ctime, "ctime", time(it.ctime).into());
    if let Some(target) = &it.target {
        put(Attribute::Target, "target_path", escape(target).into());
    }
}

/// The digests ECS knows.
fn hash_object(seen: &Observation) -> Option<Value> {
    let mut out = Object::new();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        out.put_some(algorithm.name(), seen.digests.get(algorithm).map(hex));
    }
    out.filled()
}

fn own_object(stored: &StoredEvent) -> Value {
    let event = &stored.event;
    let mut out = Object::new();
    out.put_some("area", (!event.area.is_empty()).then(|| escape(&event.area)));
    let is_altered = escape(&event.source).as_bytes() != event.source;
    out.put_some("path_b64", is_altered.then(|| STANDARD.encode(&event.source)));
    if event.category.is_line() {
        line_bytes(event, &mut out);
    }
    out.put("count", event.count);
    out.put_some("members_digest", event.members_digest.map(|digest| hex(&digest)));
    if let Some(seen) = event.new.as_ref().or(event.old.as_ref()) {
        out.put("hash", content_object(seen));
        beyond_ecs(seen, |_| true, &mut out);
    }
    if event.category.kind() == Kind::Process {
        out.put_some("watch", process::watch(event));
        out.put_some("previous_process", event.process.as_deref().and_then(process::previous));
    }
    let changed: Vec<&str> = event.changed.iter().map(Attribute::name).collect();
    if !changed.is_empty() {
        out.put("changed", changed);
    }
    if let (Some(old), Some(_)) = (&event.old, &event.new) {
        out.put_some("previous", previous(event, old));
    }
    let mut window = Object::new();
    window.put_some("not_before", event.not_before.map(time));
    window.put("not_after", time(event.found.wall));
    out.put("window", window.done());
    if is_stored(stored) {
        out.put("seq", stored.seq);
        out.put("chain", json!({ "prev_hash": hex(&stored.prev_hash), "hash": hex(&stored.hash) }));
    }
    out.done()
}

/// The raw bytes of a log line where its text differs from them, and its length where it was cut.
fn line_bytes(event: &Event, out: &mut Object) {
    let is_altered = escape(&event.note).as_bytes() != event.note;
    out.put_some("original_b64", is_altered.then(|| STANDARD.encode(&event.note)));
    let length = event.line.as_ref().map(|line| line.length);
    let is_cut = |length: &u64| usize::try_from(*length).map_or(true, |length| length > event.note.len());
    out.put_some("length", length.filter(is_cut));
    out.put_some("blake3", event.line.as_ref().and_then(|line| line.digest).map(|digest| hex(&digest)));
}

/// Only what differs, as it was.
fn previous(event: &Event, old: &Observation) -> Option<Value> {
    let differs = |attribute| event.changed.has(attribute);
    let mut out = Object::new();
    if !event.previous.is_empty() {
        let shown = escape(&event.previous);
        out.put_some("path_b64", (shown.as_bytes() != event.previous).then(|| STANDARD.encode(&event.previous)));
        out.put("path", shown);
    }
    describe(old, differs, &mut out);
    if differs(Attribute::Btime) {
        out.put_some("created", old.attributes.btime.map(time));
    }
    beyond_ecs(old, differs, &mut out);
    if differs(Attribute::Content) {
        let mut hash = content_object(old);
        if let (Value::Object(all), Some(Value::Object(known))) = (&mut hash, hash_object(old)) {
            all.extend(known);
        }
        out.put("hash", hash);
    }
    out.filled()
}

fn content_object(seen: &Observation) -> Value {
    let mut out = Object::new();
    out.put_some("blake3", seen.digests.blake3.map(|digest| hex(&digest)));
    out.put("state", state_word(seen.hash_state));
    if let HashState::Partial(bytes) = seen.hash_state {
        out.put("bytes", bytes);
    }
    if let HashState::Unreadable(errno) = seen.hash_state {
        out.put("errno", errno);
    }
    out.done()
}

/// Attributes that ECS has no name for.
fn beyond_ecs(seen: &Observation, wanted: impl Fn(Attribute) -> bool, out: &mut Object) {
    let it = &seen.attributes;
    if wanted(Attribute::Nlink) {
        out.put("nlink", it.nlink);
    }
    if wanted(Attribute::Rdev) && matches!(it.kind, FileKind::CharDevice | FileKind::BlockDevice) {
        out.put("rdev", format!("{}:{}", it.rdev >> 32, it.rdev & 0xffff_ffff));
    }
    for attribute in [Attribute::Acl, Attribute::Caps, Attribute::Selinux].into_iter().filter(|it| wanted(*it)) {
        // Numbers for users and groups: who they are may differ where this is read.
        out.put_some(attribute.name(), attribute_text::words(attribute, it, &Names::default()));
    }
    if wanted(Attribute::Flags) {
        let words = inode_flags::words(it.flags.unwrap_or_default());
        out.put_some("flags", (!words.is_empty()).then_some(words));
    }
    if wanted(Attribute::Xattrs) {
        let others =
            || items(it.xattrs.as_deref().unwrap_or_default()).filter(|it| it.attribute() == Attribute::Xattrs);
        let left = others().count().saturating_sub(MOST_XATTRS);
        let list: Vec<Value> = others().take(MOST_XATTRS).map(|item| xattr_object(&item)).collect();
        out.put_some("xattrs", (!list.is_empty()).then_some(list));
        out.put_some("xattrs_left_out", (left > 0).then_some(left));
    }
}

/// An extended attribute by its name, length and digest; of too many only how many they are.
fn xattr_object(item: &XattrItem<'_>) -> Value {
    let mut out = Object::new();
    let shown = escape(item.name());
    let is_altered = shown.as_bytes() != item.name();
    out.put_some("name", (!shown.is_empty()).then_some(shown));
    out.put_some("name_b64", is_altered.then(|| STANDARD.encode(item.name())));
    let told = match *item {
        XattrItem::Whole { value, .. } => Some((u64::try_from(value.len()).unwrap_or(u64::MAX), digest(value))),
        XattrItem::Long { length, digest, .. } => Some((length, digest)),
        XattrItem::Rest { count, length, digest } => {
            out.put("count", count);
            (count > 0).then_some((length, digest))
        }
        XattrItem::Unreadable { .. } => None,
    };
    out.put_some("length", told.map(|(length, _)| length));
    out.put_some("blake3", told.map(|(_, digest)| hex(&digest)));
    out.done()
}

const fn state_word(state: HashState) -> &'static str {
    match state {
        HashState::Off => "off",
        HashState::Full => "full",
        HashState::Partial(_) => "partial",
        HashState::Busy => "busy",
        HashState::TooBig => "too-big",
        HashState::Unreadable(_) => "unreadable",
    }
}

const fn type_word(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Regular => "file",
        FileKind::Directory => "dir",
        FileKind::Symlink => "symlink",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
        FileKind::CharDevice => "char_device",
        FileKind::BlockDevice => "block_device",
    }
}

/// RFC 3339 in UTC with all nine digits; 64 bits of nanoseconds are always within jiff's range.
fn time(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.as_nanos())).unwrap_or_default();
    format!("{at:.9}")
}

/// What an event is to a machine: `event.type` of the Elastic Common Schema.
pub(super) const fn change_type(category: Category) -> &'static str {
    match category {
        Category::Added => "creation",
        Category::Removed => "deletion",
        Category::ProcessDied | Category::ProcessZombie => "end",
        Category::ProcessRestarted => "start",
        Category::Changed
        | Category::Retyped
        | Category::Rewritten
        | Category::Touched
        | Category::Moved
        | Category::AreaReplaced
        | Category::ProcessReplaced
        | Category::ProcessExec => "change",
        _ => "info",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::render::test_events::{ago, any_event, changed, event, line, stored};

    fn host() -> Host {
        Host { name: "web3.example".to_owned(), id: "4d1f".to_owned() }
    }

    fn validator() -> jsonschema::Validator {
        let schema: Value = serde_json::from_str(include_str!("../../docs/events.schema.json")).unwrap();
        jsonschema::draft202012::meta::validate(&schema).unwrap();
        jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap()
    }

    fn nginx() -> StoredEvent {
        let list = [Attribute::Size, Attribute::Content, Attribute::Uid, Attribute::Mtime];
        changed(48_131, b"/etc/nginx/n\xffginx.conf", &list, |new| {
            new.attributes.size = 1851;
            new.attributes.uid = 1000;
            new.attributes.mtime = ago(600);
            new.digests.sha256 = Some([0x9c; 32]);
            new.digests.blake3 = Some([0x9c; 32]);
        })
    }

    #[test]
    fn a_change_in_full() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&to_json(&nginx(), &host())).unwrap(), @r#"
        {
          "@timestamp": "2026-11-21T13:03:11.000000000Z",
          "ecs": {
            "version": "8.17.0"
          },
          "event": {
            "kind": "event",
            "category": [
              "file"
            ],
            "type": [
              "change"
            ],
            "action": [
              "changed"
            ],
            "id": "0202020202020202020202020202020202020202020202020202020202020202",
            "severity": 40,
            "start": "2026-11-21T12:58:02.000000000Z",
            "end": "2026-11-21T13:03:11.000000000Z",
            "sequence": 48131,
            "dataset": "integrityd.file"
          },
          "host": {
            "name": "web3.example",
            "id": "4d1f"
          },
          "file": {
            "path": "/etc/nginx/n\\xffginx.conf",
            "type": "file",
            "inode": "9007199254740993",
            "uid": "1000",
            "gid": "0",
            "mode": "0644",
            "size": 1851,
            "mtime": "2026-11-21T13:00:02.000000000Z",
            "ctime": "2026-11-20T09:23:22.000000000Z",
            "hash": {
              "sha256": "9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c"
            }
          },
          "integrityd": {
            "area": "/etc",
            "path_b64": "L2V0Yy9uZ2lueC9u/2dpbnguY29uZg==",
            "count": 1,
            "hash": {
              "blake3": "9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c",
              "state": "full"
            },
            "nlink": 1,
            "changed": [
              "size",
              "content",
              "owner",
              "mtime"
            ],
            "previous": {
              "uid": "0",
              "size": 1832,
              "mtime": "2026-11-20T09:23:22.000000000Z",
              "hash": {
                "blake3": "e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3",
                "state": "full"
              }
            },
            "window": {
              "not_before": "2026-11-21T12:58:02.000000000Z",
              "not_after": "2026-11-21T13:03:11.000000000Z"
            },
            "seq": 48131,
            "chain": {
              "prev_hash": "0101010101010101010101010101010101010101010101010101010101010101",
              "hash": "0202020202020202020202020202020202020202020202020202020202020202"
            }
          }
        }
        "#);
    }

    #[test]
    fn a_log_line_in_full() {
        let mut alert = line(7, Category::Cracking, b"/var/log/au\xffth.log", b"Nov 21 14:02:11 web3 sshd: \x1b[2J");
        alert.event.line.as_mut().unwrap().length = 100_000;
        let value = to_json(&alert, &host());
        for (pointer, wanted) in [
            ("/event/kind", json!("alert")),
            ("/event/category", json!(["intrusion_detection"])),
            ("/event/action", json!(["security-alert"])),
            ("/event/dataset", json!("integrityd.log")),
            ("/event/original", json!(r"Nov 21 14:02:11 web3 sshd: \x1b[2J")),
            ("/log/file/path", json!(r"/var/log/au\xffth.log")),
            ("/rule", json!({ "name": "/etc/logcheck/cracking.d/sshd:7", "category": "cracking" })),
            ("/integrityd/path_b64", json!("L3Zhci9sb2cvYXX/dGgubG9n")),
            ("/integrityd/original_b64", json!("Tm92IDIxIDE0OjAyOjExIHdlYjMgc3NoZDogG1sySg==")),
            ("/integrityd/length", json!(100_000)),
        ] {
            assert_eq!(value.pointer(pointer), Some(&wanted), "{pointer}");
        }
        let plain = to_json(&line(8, Category::SystemEvent, b"/var/log/syslog", b"a line"), &host());
        assert_eq!((&plain["event"]["category"], &plain["rule"]), (&json!(["host"]), &json!({ "category": "system" })));
        let own = plain["integrityd"].as_object().unwrap();
        assert!(["path_b64", "original_b64", "length"].iter().all(|key| !own.contains_key(*key)), "{plain}");
        let mut rules = event(Category::Rules, Severity::High, b"/etc/logcheck");
        rules.note = b"/etc/logcheck/ignore.d.server/x:3: unmatched (".to_vec();
        let rules = to_json(&stored(9, rules), &host());
        assert_eq!((&rules["rule"], rules.get("log")), (&json!({ "ruleset": "/etc/logcheck" }), None));
        assert_eq!(rules["event"]["reason"], "/etc/logcheck/ignore.d.server/x:3: unmatched (");
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let mut notice = event(Category::Notice, Severity::Low, b"");
        (notice.area, notice.not_before) = (Vec::new(), None);
        let value = to_json(&stored(1, notice), &Host { id: String::new(), ..host() });
        assert_eq!(value.get("file"), None);
        assert_eq!(value["host"], json!({ "name": "web3.example" }));
        assert_eq!(value["event"].get("start").or(value["event"].get("reason")), None);
    }

    #[test]
    fn a_summary_can_hold_its_objects() {
        let old = nginx().event.old.unwrap();
        let members: Vec<Member> =
            [&b"/etc/a"[..], b"/etc/\xff\n"].map(|path| Member { source: path.to_vec(), old: old.clone() }).into();
        let mut summary = stored(7, event(Category::Removed, Severity::Normal, b"/etc/d"));
        (summary.event.count, summary.event.members_digest) = (5, Some([3; 32]));
        let value = to_json_with(&summary, &host(), &members, 3);
        let faults: Vec<String> = validator().iter_errors(&value).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{faults:?}");
        let own = &value["integrityd"];
        assert_eq!((&own["members"][0]["path"], &own["members_left_out"]), (&json!("/etc/a"), &json!(3)));
        assert_eq!(
            (&own["members"][1]["path"], &own["members"][1]["path_b64"]),
            (&json!(r"/etc/\xff\n"), &json!("L2V0Yy//Cg=="))
        );
        assert_eq!(to_json_with(&nginx(), &host(), &[], 0), to_json(&nginx(), &host()));
        let mut bad = value.clone();
        bad["integrityd"]["members"][0]["colour"] = json!("red");
        assert!(!validator().is_valid(&bad));
    }

    #[test]
    fn the_schema_refuses_what_we_do_not_write() {
        let validator = validator();
        let good = to_json(&nginx(), &host());
        assert!(validator.is_valid(&good));
        for (pointer, value) in [
            ("/file/inode", json!(5)),
            ("/@timestamp", json!("2026-11-21")),
            ("/event/severity", json!(101)),
            ("/event/kind", json!("other")),
            ("/integrityd/chain/hash", json!("zz")),
            ("/integrityd/changed", json!(["colour"])),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = value;
            assert!(!validator.is_valid(&bad), "{pointer}");
        }
        let mut bad = good.clone();
        bad["file"]["colour"] = json!("red");
        assert!(!validator.is_valid(&bad));
        bad = good;
        bad.as_object_mut().unwrap().remove("event");
        assert!(!validator.is_valid(&bad));
    }

    #[test]
    fn every_category_keeps_the_contract() {
        let validator = validator();
        for category in Category::ALL {
            let event = event(*category, Severity::High, b"/x \x1b\xff");
            let line = to_line(&stored(7, event.with_note("words \x1b")), &host());
            let value: Value = serde_json::from_str(&line).unwrap();
            let faults: Vec<String> = validator.iter_errors(&value).map(|fault| fault.to_string()).collect();
            assert!(faults.is_empty(), "{category:?}: {faults:?} {line}");
        }
    }

    proptest! {
        #[test]
        fn every_line_keeps_the_contract(event in any_event(), seq in 1_u64..1 << 53, name in any::<String>()) {
            thread_local!(static VALIDATOR: jsonschema::Validator = validator());
            let (category, source, note) = (event.category, event.source.clone(), event.note.clone());
            let host = Host { name, ..host() };
            let line = to_line(&stored(seq, event), &host);
            prop_assert!(!line.chars().any(crate::model::escape::is_hidden), "{line}");
            let value: Value = serde_json::from_str(&line).unwrap();
            let faults: Vec<String> = VALIDATOR.with(|validator| validator.iter_errors(&value).map(|fault| fault.to_string()).collect());
            prop_assert!(faults.is_empty(), "{faults:?} {line}");
            // The keys keep their order and the raw path can be had.
            prop_assert_eq!(value.to_string(), line);
            let raw = value["integrityd"].get("path_b64").map(|text| STANDARD.decode(text.as_str().unwrap()).unwrap());
            let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(|text| text.as_bytes().to_vec());
            let path = text("/file/path").or(text("/log/file/path")).or(text("/rule/ruleset")).unwrap_or_default();
            if ["file", "log"].contains(&category.kind().word()) {
                prop_assert_eq!(raw.unwrap_or(path), source);
            }
            if category.is_line() {
                let raw = text("/integrityd/original_b64").map(|text| STANDARD.decode(text).unwrap());
                prop_assert_eq!(raw.or(text("/event/original")), Some(note));
                prop_assert!(text("/event/reason").is_none());
            }
        }
    }
}
