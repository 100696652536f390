//! What needs root or Debian packages: `cargo test --features real`.
