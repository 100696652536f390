//! The rates in real time.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::support::{Scratch, wait_for};

/// Looks and bytes so far, by `status --json`. The daemon writes its counters every five seconds.
fn counters(scratch: &Scratch) -> (f64, f64) {
    let status = scratch.status();
    (status["looks"].as_f64().unwrap(), status["bytes"].as_f64().unwrap())
}

/// The next moment at which the counters move, and what they show then.
fn next_count(scratch: &Scratch) -> (Instant, f64, f64) {
    let before = counters(scratch);
    let mut now = before;
    wait_for("a new count", || {
        now = counters(scratch);
        now.0 > before.0
    });
    (Instant::now(), now.0, now.1)
}

/// Looks and bytes a second over about `span`.
fn rates(scratch: &Scratch, span: Duration) -> (f64, f64) {
    let (begin, looks, bytes) = next_count(scratch);
    std::thread::sleep(span);
    let (end, more_looks, more_bytes) = next_count(scratch);
    let seconds = (end - begin).as_secs_f64();
    ((more_looks - looks) / seconds, (more_bytes - bytes) / seconds)
}

fn assert_near(what: &str, value: f64, wanted: f64) {
    println!("{what}: {value:.1}, wanted {wanted:.1}");
    assert!((0.8 * wanted..=1.2 * wanted).contains(&value), "{what}: {value}, wanted {wanted}");
}

#[test]
fn looks_and_bytes_keep_their_rates_and_fall_back_after_a_change() {
    let scratch = Scratch::new();
    for number in 0..400 {
        fs::write(scratch.tree().join(format!("f{number}")), "x").unwrap();
    }
    scratch.configure("filerate = 10\nmail = stdout:");
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    assert_near("looks/s", rates(&scratch, Duration::from_secs(10)).0, 10.0);
    fs::write(scratch.tree().join("f7"), "changed").unwrap();
    wait_for("the change", || scratch.history().iter().any(|event| event["event"]["action"][0] == "changed"));
    // Two seconds at 200 a second see everything once; then the ordinary rate is back.
    std::thread::sleep(Duration::from_secs(10));
    assert_near("looks/s afterwards", rates(&scratch, Duration::from_secs(10)).0, 10.0);
    assert!(daemon.stop().success());
}

#[test]
fn twenty_megabytes_at_two_a_second_take_ten_seconds() {
    let scratch = Scratch::new();
    for area in ["tree", "other"] {
        fs::create_dir_all(scratch.path(area)).unwrap();
        (0..40).for_each(|number| fs::write(scratch.path(&format!("{area}/s{number}")), vec![1; 100_000]).unwrap());
        (0..3).for_each(|number| fs::write(scratch.path(&format!("{area}/b{number}")), vec![2; 2_000_000]).unwrap());
    }
    scratch.configure(&format!(
        "area = {}\nfilerate = 1000\nbyterate = 2M\nspeedup = 1\nmail = stdout:",
        scratch.path("other").display()
    ));
    let begun = Instant::now();
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    let took = begun.elapsed().as_secs_f64();
    assert_near("seconds for 20 MB", took, 20.0 / 2.097_152);
    assert_near("bytes/s", rates(&scratch, Duration::from_secs(10)).1, 2_097_152.0);
    assert!(daemon.stop().success());
}
