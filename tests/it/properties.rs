//! What must hold for any bytes at all, tried with random ones and with real ones that were bent; the fuzzer tries the same for longer.

use proptest::prelude::*;

#[path = "../support/properties.rs"]
mod any_bytes;

use any_bytes::ALL;

/// Words in which the parsers find something to do.
const SEEDS: [&[u8]; 24] = [
    b"area = /etc\n",
    b"exclude = /etc/**\n",
    b"logrules = paranoid:/etc/logcheck\nlog = /var/log/syslog\n",
    b"reporttime = 30s\nreportholdoff = 15m\n",
    b"[[area]]\npath = \"/srv\"\nexclude = [\"/srv/*\"]\n",
    b"[report]\nreporttime = \"30s\"\n",
    b"^\\w{3} [ :0-9]{11} [._[:alnum:]-]+ sshd\\[[0-9]+\\]: ",
    b"(a|b)*c{2,300}\\1[[:alpha:]]$",
    b"\\",
    b"\\x41\\u{202e}\n\t",
    "\u{202e}\u{9b}\u{200b}\u{feff}".as_bytes(),
    b"\xff\xfe\x1b[2J\x07",
    b"\r\nBcc: eve@example.org\r\n\r\n",
    b"\n.\r\n..\nFrom root\n",
    b"=?utf-8?b?aGlkZGVu?=",
    b"250-first\r\n250 last\r\n",
    b"550 5.1.1 no such user\r\n",
    b"421",
    b" 4711 \nsecond line\n",
    b"0\n",
    b"4294967297",
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcbH\xcd\xc9\xc9\xe7\x02\x00\x20\x30\x3a\x36\x06\x00\x00\x00",
    b"\x00\x01\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x01",
    b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\n",
];

/// Seeds and random bytes, one after another.
fn bent() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => proptest::sample::select(SEEDS.as_slice()).prop_map(<[u8]>::to_vec),
        2 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => any::<String>().prop_map(String::into_bytes),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn holds(name: &str) {
    let (_, property) = ALL.into_iter().find(|(known, _)| *known == name).unwrap();
    proptest!(ProptestConfig::with_cases(256), |(bytes in bent())| property(&bytes));
}

#[test]
fn a_configuration_of_2012_is_taken_or_refused_in_harmless_words() {
    holds("legacy");
}

#[test]
fn a_configuration_in_toml_is_taken_or_refused_in_harmless_words() {
    holds("toml");
}

#[test]
fn any_rule_is_refused_or_decides_about_any_line() {
    holds("ere");
}

#[test]
fn a_stream_is_the_same_lines_however_it_is_cut_or_interrupted() {
    holds("lines");
}

#[test]
fn what_is_neutralised_is_harmless_and_can_be_told_apart() {
    holds("neutraliser");
}

#[test]
fn any_report_is_exactly_one_mail() {
    holds("mail");
}

#[test]
fn whatever_a_server_says_is_a_reply_or_an_error() {
    holds("smtp");
}

#[test]
fn a_pid_file_is_a_legal_number_or_none() {
    holds("pidfile");
}

#[test]
fn a_packed_sibling_ends_or_is_broken() {
    holds("gzip");
}

#[test]
fn rows_are_read_or_refused() {
    holds("rows");
}
