//! One line of a configuration in the legacy form, written only when it would be read back as what was meant.

use std::{path::Path, rc::Rc};

use crate::config::{
    read::{item::Findings, legacy, value},
    schema::fault::show,
};

/// `name = value` with the end of the line.
///
/// # Errors
/// Why that cannot be written: the value is none of this item, or holds what means something else in the legacy form.
pub fn legacy_line(name: &str, value: &[u8]) -> Result<Vec<u8>, String> {
    let line = [name.as_bytes(), b" = ", value, b"\n"].concat();
    let mut findings = Findings::default();
    let items = legacy::read(&line, &Rc::from(Path::new("")), &mut findings);
    match items.as_slice() {
        [item] if item.value == value && item.key.name == name => match value::read(item.key, value) {
            Ok(_) => Ok(line),
            Err(problem) if problem.hint.is_empty() => Err(problem.what),
            Err(problem) => Err(format!("{}: {}", problem.what, problem.hint)),
        },
        _ => Err(format!(
            "`{name} = {}` cannot be written in this form; `integrityd config convert` leads to TOML, which can",
            show(value)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_read_back_is_written() {
        assert_eq!(legacy_line("area", b"/srv/\xff a#b").as_deref(), Ok(&b"area = /srv/\xff a#b\n"[..]));
        for (name, value) in [
            ("area", &b"/srv/a #b"[..]),
            ("area", b"/srv/a\narea = /x"),
            ("area", b"/srv/a "),
            ("area", b"srv"),
            ("area", b""),
            ("area", b"\"/x\""),
            ("email", b"a\x1bb"),
            ("hostname", b"$(id)"),
            ("nothing", b"1"),
        ] {
            assert!(legacy_line(name, value).is_err(), "{name} {value:?}");
        }
    }
}
