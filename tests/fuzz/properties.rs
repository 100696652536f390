//! One property under libFuzzer: the one that `INTEGRITYD_FUZZ` names.
#![no_main]
#![allow(dead_code, reason = "the properties are shared with the tests")]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

#[path = "../support/properties.rs"]
mod properties;

static PROPERTY: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("INTEGRITYD_FUZZ").expect("INTEGRITYD_FUZZ names a property");
    properties::ALL.into_iter().find(|(known, _)| *known == name).expect("a property of that name").1
});

fuzz_target!(|bytes: &[u8]| PROPERTY(bytes));
