//! A process for machines: the names of the Elastic Common Schema for it, and how it is watched.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use crate::model::{
    clock::Timestamp,
    escape::{escape, hex},
    event::Event,
    process::{Process, ProcessNews, WatchName},
};

fn put(out: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    out.insert(key.to_owned(), value.into());
}

/// Text, and its raw bytes where they differ.
fn put_text(out: &mut Map<String, Value>, key: &str, bytes: &[u8]) {
    put(out, key, escape(bytes));
    put_altered(out, &format!("{key}_b64"), bytes);
}

/// Raw bytes that the neutralised text differs from.
fn put_altered(out: &mut Map<String, Value>, key: &str, bytes: &[u8]) {
    if escape(bytes).as_bytes() != bytes {
        put(out, key, STANDARD.encode(bytes));
    }
}

/// The process as it is, or as it was when it is gone: `process.*` of the schema.
pub(super) fn current(news: &ProcessNews) -> Option<Value> {
    news.new.as_ref().or(news.old.as_ref()).map(|process| {
        let mut out = Map::new();
        put(&mut out, "pid", process.id.pid);
        put(&mut out, "start", time(process.since));
        put(&mut out, "name", escape(&process.comm));
        if let Some(exe) = &process.exe {
            put(&mut out, "executable", escape(exe));
        }
        Value::Object(out)
    })
}

/// The process there was before another one.
pub(crate) fn previous(news: &ProcessNews) -> Option<Value> {
    let old = news.old.as_ref().filter(|_| news.new.is_some())?;
    Some(Value::Object(described(old)))
}

fn described(process: &Process) -> Map<String, Value> {
    let mut out = Map::new();
    put(&mut out, "pid", process.id.pid);
    put(&mut out, "start", time(process.since));
    put_text(&mut out, "name", &process.comm);
    if let Some(exe) = &process.exe {
        put_text(&mut out, "executable", exe);
    }
    out
}

/// How it is watched, and what the schema has no name for.
pub(super) fn watch(event: &Event) -> Option<Value> {
    if event.source.is_empty() {
        return None;
    }
    let news = event.process.as_deref();
    let container = news.map(|news| news.container.clone()).unwrap_or_default();
    let name = WatchName { source: event.source.clone(), container };
    let mut out = Map::new();
    put(&mut out, if name.is_unit() { "unit" } else { "pidfile" }, escape(&name.source));
    if !name.container.is_empty() {
        put(&mut out, "container", escape(&name.container));
    }
    let process = news.and_then(|news| news.new.as_ref().or(news.old.as_ref()));
    if let Some(inner) = process.and_then(|process| process.inner) {
        put(&mut out, "inner_pid", inner);
    }
    if let Some(process) = process {
        put(&mut out, "boot_id", hex(&process.id.boot.0));
        put_altered(&mut out, "name_b64", &process.comm);
        put_altered(&mut out, "executable_b64", process.exe.as_deref().unwrap_or_default());
    }
    Some(Value::Object(out))
}

/// RFC 3339 in UTC with all nine digits; 64 bits of nanoseconds are always within jiff's range.
fn time(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.as_nanos())).unwrap_or_default();
    format!("{at:.9}")
}
