//! The shipped unit under a systemd that is the first process of a booted Debian, as root and as a user of its own. `.ci/long systemd` does more.

use crate::booted::{INTO_A_DIRECTORY, Service, User};

fn works(user: User) {
    let Some(service) = Service::install(user, INTO_A_DIRECTORY) else { return };
    service.start();
    service.a_change_is_mailed("a-change");
    service.a_line_is_mailed("alpha");
    service.a_reload_is_obeyed();
    service.a_killed_daemon_is_back();
    let history = service.machine.must("integrityd history");
    assert!(!history.to_lowercase().contains("area missing"), "{history}");
}

#[test]
fn the_unit_works_as_root() {
    works(User::Root);
}

#[test]
fn the_unit_works_as_a_user_of_its_own() {
    works(User::Own);
}
