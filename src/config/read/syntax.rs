//! Which of the two forms a file is written in, judged by its content.
//!
//! A table header or a quoted value means TOML. A legacy file with one quoted value is still meant to be legacy, though, and
//! its faults should be those of that form: so without a header the majority of the lines decides.

/// The form of a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum ConfigSyntax {
    /// `item = value`, as in 2012.
    Legacy,
    /// TOML.
    Toml,
}

impl ConfigSyntax {
    /// Its name in messages.
    pub(in crate::config) const fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Toml => "TOML",
        }
    }
}

/// The form that `text` was meant in; `None` when nothing in it tells.
pub(in crate::config) fn detect(text: &[u8]) -> Option<ConfigSyntax> {
    let (mut quoted, mut bare) = (0_usize, 0_usize);
    for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if is_header(line) {
            return Some(ConfigSyntax::Toml);
        }
        match line.first() {
            None | Some(b'#') => {}
            Some(b'"' | b'\'') => quoted += 1,
            Some(_) => match line.iter().position(|byte| *byte == b'=').and_then(|at| line.get(at + 1..)) {
                Some(value) if is_toml_only(value.trim_ascii_start()) => quoted += 1,
                Some(value) if is_legacy_only(value.trim_ascii_start()) => bare += 1,
                _ => {}
            },
        }
    }
    match (quoted, bare) {
        (0, 0) => None,
        _ if quoted > 0 && quoted >= bare => Some(ConfigSyntax::Toml),
        _ => Some(ConfigSyntax::Legacy),
    }
}

/// Whether `line` is `[name]` or `[[name]]`.
fn is_header(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"[") else {
        return false;
    };
    let rest = rest.strip_prefix(b"[").unwrap_or(rest).trim_ascii_start();
    let end = rest.iter().position(|byte| !is_name_byte(*byte)).unwrap_or(rest.len());
    end > 0 && rest.get(end..).is_some_and(|after| after.trim_ascii_start().starts_with(b"]"))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || byte == b'.'
}

/// Whether `value` is quoted, a list or a table. No legacy value starts like that.
fn is_toml_only(value: &[u8]) -> bool {
    matches!(value.first(), Some(b'"' | b'\'' | b'[' | b'{'))
}

/// Whether `value` is a bare word or path, which TOML knows no use for.
fn is_legacy_only(value: &[u8]) -> bool {
    let is_word = value.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'/' || *byte == b'*');
    is_word && !matches!(value, b"true" | b"false" | b"inf" | b"nan")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_or_a_quoted_value_means_toml() {
        assert_eq!(detect(b"filerate = 2\n[[area]]\npath = \"/etc\"\n"), Some(ConfigSyntax::Toml));
        assert_eq!(detect(b"area = /etc\n[rates]\n"), Some(ConfigSyntax::Toml));
        assert_eq!(detect(b"database = \"/x\"\n"), Some(ConfigSyntax::Toml));
        assert_eq!(detect(b"email = [\n  \"root\",\n]\n"), Some(ConfigSyntax::Toml));
    }

    #[test]
    fn plain_values_mean_legacy() {
        assert_eq!(detect(b"# [area]\narea = /etc\nreporttime = 30\n"), Some(ConfigSyntax::Legacy));
        assert_eq!(detect(b"area = /etc/[a-z]\nexclude=/x\n"), Some(ConfigSyntax::Legacy));
    }

    #[test]
    fn one_slip_does_not_change_the_form_that_was_meant() {
        assert_eq!(detect(b"area = /etc\nexclude = /etc/mtab\ndatabase = \"/x\"\n"), Some(ConfigSyntax::Legacy));
        assert_eq!(detect(b"email = [\"a@b\"]\ndatabase = /x\n"), Some(ConfigSyntax::Toml));
    }

    #[test]
    fn nothing_tells_nothing() {
        assert_eq!(detect(b""), None);
        assert_eq!(detect(b"# only comments\n\nreporttime = 30\n"), None);
    }
}
