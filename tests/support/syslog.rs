//! Syslog lines of a Debian-12-like mix, RFC 3339 stamps, the same for the same seed.

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

const USERS: [&str; 6] = ["admin", "test", "oracle", "pi", "ubuntu", "git"];
const WORDS: [&str; 17] = [
    "disk",
    "error",
    "timeout",
    "link",
    "reset",
    "buffer",
    "queue",
    "worker",
    "stale",
    "retry",
    "peer",
    "handshake",
    "state",
    "cache",
    "flush",
    "index",
    "shard",
];

/// `{…}` stands for something random; the number is how often a line of this kind comes.
const KINDS: [(u32, &str); 16] = [
    (20, "CRON[{pid}]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)"),
    (20, "CRON[{pid}]: pam_unix(cron:session): session closed for user root"),
    (20, "CRON[{pid}]: (root) CMD (command -v debian-sa1 > /dev/null && debian-sa1 1 1)"),
    (6, "systemd[1]: Starting phpsessionclean.service - Clean php session files..."),
    (6, "systemd[1]: phpsessionclean.service: Deactivated successfully."),
    (6, "systemd[1]: Finished phpsessionclean.service - Clean php session files."),
    (25, "sshd[{pid}]: Invalid user {user} from {ip} port {port}"),
    (25, "sshd[{pid}]: Connection closed by invalid user {user} {ip} port {port} [preauth]"),
    (12, "sshd[{pid}]: Failed password for root from {ip} port {port} ssh2"),
    (
        4,
        "sshd[{pid}]: Accepted publickey for alice from {ip} port {port} ssh2: ED25519 SHA256:abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
    ),
    (15, "postfix/smtpd[{pid}]: connect from unknown[{ip}]"),
    (15, "postfix/smtpd[{pid}]: disconnect from unknown[{ip}] ehlo=1 auth=0/1 quit=1 commands=2/3"),
    (8, "postfix/qmgr[{pid}]: {id}: from=<alice@example.org>, size={port}, nrcpt=1 (queue active)"),
    (
        10,
        "kernel: [{pid}.{six}] [UFW BLOCK] IN=eth0 OUT= MAC=52:54:00:12:34:56 SRC={ip} DST=198.51.100.10 LEN=40 TOS=0x00 TTL=241 ID={port} PROTO=TCP SPT={port} DPT={port} WINDOW=1024 RES=0x00 SYN URGP=0",
    ),
    (5, "sudo:    alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/apt update"),
    (5, "named[{pid}]: client @0x7f{six} {ip}#{port} (example.org): query (cache) 'example.org/A/IN' denied"),
];

/// `count` lines, one in ten of them of random words.
pub(crate) fn lines(count: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut clock: u64 = 0;
    (0..count)
        .map(|_| {
            clock += rng.random_range(1..1_700_000);
            let (seconds, micros) = (clock / 1_000_000, clock % 1_000_000);
            let (day, hour, minute, second) =
                (seconds / 86400 % 28 + 1, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
            let stamp = format!("2026-11-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}+00:00 srv1 ");
            (stamp + &body(&mut rng)).into_bytes()
        })
        .collect()
}

fn body(rng: &mut StdRng) -> String {
    if rng.random_ratio(1, 10) {
        let mut text = format!("{}d[{}]:", WORDS.choose(rng).unwrap_or(&""), rng.random_range(300..99999));
        for _ in 0..rng.random_range(4..16) {
            text.push(' ');
            if rng.random_ratio(4, 5) {
                text.push_str(WORDS.choose(rng).unwrap_or(&""));
            } else {
                text.push_str(&rng.random_range(0..1_000_000).to_string());
            }
        }
        return text;
    }
    let mut at = rng.random_range(0..KINDS.iter().map(|(weight, _)| weight).sum());
    let mut text = String::new();
    for (weight, kind) in KINDS {
        if at < weight {
            kind.clone_into(&mut text);
            break;
        }
        at -= weight;
    }
    while let Some(open) = text.find('{') {
        let close = text.find('}').unwrap_or(open);
        let new = match text.get(open + 1..close) {
            Some("pid") => rng.random_range(300..99999).to_string(),
            Some("user") => (*USERS.choose(rng).unwrap_or(&"")).to_owned(),
            Some("ip") => format!("203.0.113.{}", rng.random_range(1..255)),
            Some("id") => format!("{:X}", rng.random_range(1_u64 << 40..1 << 41)),
            Some("six") => format!("{:06}", rng.random_range(0..1_000_000)),
            _ => rng.random_range(1024..65000).to_string(),
        };
        text.replace_range(open..=close, &new);
    }
    text
}
