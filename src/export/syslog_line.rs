//! One line of our own log for each event about a file, a process or ourselves, as soon as it is stored.
//!
//! Lines of logs never become lines of our log: that one may be read again. The words of fcheck stand in it, so that filters that were
//! written for it can be kept.

use crate::model::{
    escape::{escape_cut, escape_name_cut},
    event::{Category, Event, Kind, Severity},
};

/// Most bytes shown of a path.
const MOST: usize = 500;

/// Writes the line of an event that was stored under this number.
pub fn tell(seq: u64, event: &Event) {
    let Some(line) = line(seq, event) else { return };
    match event.severity {
        Severity::Critical | Severity::High => {
            tracing::error!("{line}");
        }
        Severity::Normal => {
            tracing::warn!("{line}");
        }
        Severity::Low | Severity::Count => {
            tracing::info!("{line}");
        }
    }
}

/// The line: `CHANGED (WARNING) seq=48131 sev=40 path="/etc/nginx/nginx.conf" what=size,content,mtime`.
fn line(seq: u64, event: &Event) -> Option<String> {
    if event.category.kind() == Kind::Log {
        return None;
    }
    let mut line = event.category.word().to_uppercase();
    line.push_str(match event.category {
        Category::Added => " (ADDITION)",
        Category::Removed => " (DELETION)",
        Category::Changed | Category::Retyped | Category::Moved => " (WARNING)",
        _ => "",
    });
    line.push_str(&format!(" seq={seq} sev={}", event.severity.number()));
    let place = if event.source.is_empty() { &event.area } else { &event.source };
    if !place.is_empty() {
        line.push_str(&format!(" path={}", quoted(place)));
    }
    if !event.previous.is_empty() {
        line.push_str(&format!(" from={}", quoted(&event.previous)));
    }
    if event.count > 1 {
        line.push_str(&format!(" count={}", event.count));
    }
    let what: Vec<&str> = event.changed.iter().map(crate::model::file::attribute::Attribute::name).collect();
    if !what.is_empty() {
        line.push_str(&format!(" what={}", what.join(",")));
    }
    if let Some(process) = event.process.as_deref().and_then(|news| news.new.as_ref().or(news.old.as_ref())) {
        line.push_str(&format!(
            " pid={} comm=\"{}\"",
            process.id.pid,
            escape_cut(&process.comm, MOST).replace('"', "\\x22")
        ));
    }
    Some(line)
}

/// A path between quotes, in which there is none.
fn quoted(path: &[u8]) -> String {
    format!("\"{}\"", escape_name_cut(path, MOST).replace('"', "\\x22"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::file::attribute::Attribute,
        report::render::test_events::{added, any_event, changed, line as log_line},
    };

    #[test]
    fn the_words_of_fcheck_stand_in_it() {
        let nginx = changed(7, b"/etc/nginx \"x\"\n.conf", &[Attribute::Size, Attribute::Mtime], |_| ());
        assert_eq!(
            line(48_131, &nginx.event).unwrap(),
            r#"CHANGED (WARNING) seq=48131 sev=40 path="/etc/nginx \x22x\x22\n.conf" what=size,mtime"#
        );
        assert!(line(1, &added(1, b"/x").event).unwrap().starts_with("ADDED (ADDITION) seq=1 sev=40 path=\"/x\""));
    }

    #[test]
    fn a_line_of_a_log_is_never_written_to_another() {
        assert_eq!(line(1, &log_line(1, Category::Cracking, b"/var/log/x", b"attack").event), None);
    }

    proptest! {
        #[test]
        fn it_is_one_harmless_line(event in any_event(), seq in 1_u64..1 << 53) {
            if let Some(line) = line(seq, &event) {
                prop_assert!(!line.chars().any(crate::model::escape::is_hidden), "{line}");
                prop_assert!(line.len() < 4000, "{}", line.len());
            }
        }
    }
}
