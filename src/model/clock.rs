//! Time as a value: wall time for people, boot time for deadlines, and a virtual clock for tests.
//!
//! The wall clock may jump, so no deadline is compared with it while the machine stays up. `CLOCK_BOOTTIME`
//! (`clock_gettime(2)`) never jumps and goes on during suspend. Across a reboot only the wall clock is left;
//! [`Deadline::remaining`] bounds what a jump can do then.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Wall time in nanoseconds since 1970-01-01T00:00:00Z; negative before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Nanoseconds since the machine booted, suspend included (`CLOCK_BOOTTIME`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Boottime(i64);

/// The 128 bits of `/proc/sys/kernel/random/boot_id`; all zero when unknown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BootId(pub [u8; 16]);

/// One instant on both clocks, and the boot it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Moment {
    /// What the wall clock said.
    pub wall: Timestamp,
    /// What the boot clock said.
    pub boottime: Boottime,
    /// The boot that `boottime` counts from.
    pub boot: BootId,
}

/// A stored point in time that something waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// When it is due.
    pub due: Moment,
    /// The whole wait as it was set; the remaining wait is never longer.
    pub nominal: Duration,
}

fn saturating_nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

fn span_between(later: i64, earlier: i64) -> Duration {
    Duration::from_nanos(u64::try_from(later.saturating_sub(earlier)).unwrap_or(0))
}

macro_rules! nanosecond_scale {
    ($name:ident) => {
        impl $name {
            /// The instant `nanos` nanoseconds after the scale's origin.
            pub const fn from_nanos(nanos: i64) -> Self {
                Self(nanos)
            }

            /// Nanoseconds since the scale's origin.
            pub const fn as_nanos(self) -> i64 {
                self.0
            }

            /// The instant `span` later; stops at the end of the scale.
            #[must_use]
            pub fn after(self, span: Duration) -> Self {
                Self(self.0.saturating_add(saturating_nanos(span)))
            }

            /// The instant `span` earlier; stops at the start of the scale.
            #[must_use]
            pub fn before(self, span: Duration) -> Self {
                Self(self.0.saturating_sub(saturating_nanos(span)))
            }

            /// The time from `earlier` to `self`; zero when `earlier` is later.
            pub fn since(self, earlier: Self) -> Duration {
                span_between(self.0, earlier.0)
            }
        }
    };
}

nanosecond_scale!(Timestamp);
nanosecond_scale!(Boottime);

impl Moment {
    /// The moment `span` later, on both clocks.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self { wall: self.wall.after(span), boottime: self.boottime.after(span), boot: self.boot }
    }

    /// The moment `span` earlier, on both clocks.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self { wall: self.wall.before(span), boottime: self.boottime.before(span), boot: self.boot }
    }

    /// This moment as it counts in the boot of `start`, which came after it: so long before as the wall clocks say, and never later.
    #[must_use]
    pub fn in_boot_of(self, start: Self) -> Self {
        if self.boot == start.boot { self } else { start.before(start.wall.since(self.wall)) }
    }

    /// By how many nanoseconds the wall clock was set ahead since `earlier`, negative when it was set back; `None` across boots.
    pub fn set_ahead_since(self, earlier: Self) -> Option<i64> {
        let wall = self.wall.0.saturating_sub(earlier.wall.0);
        (self.boot == earlier.boot).then(|| wall.saturating_sub(self.boottime.0.saturating_sub(earlier.boottime.0)))
    }

    /// The time since `earlier`: by the boot clock within one boot, by the wall clock across boots; never negative.
    pub fn since(self, earlier: Self) -> Duration {
        if self.boot == earlier.boot { self.boottime.since(earlier.boottime) } else { self.wall.since(earlier.wall) }
    }
}

impl Deadline {
    /// A deadline `nominal` after `now`.
    pub fn after(now: Moment, nominal: Duration) -> Self {
        Self { due: now.after(nominal), nominal }
    }

    /// How long is still to wait at `now`: between zero and `nominal`, whatever the clocks did in between.
    pub fn remaining(&self, now: Moment) -> Duration {
        let left = if now.boot == self.due.boot {
            self.due.boottime.since(now.boottime)
        } else {
            self.due.wall.since(now.wall)
        };
        left.min(self.nominal)
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Where the time comes from; handed to whoever needs it, so that a test can play a day in a second.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clocks, in the boot with this id.
    System(BootId),
    /// A clock that moves with tokio's (paused) timers.
    Virtual(VirtualClock),
    /// A clock that stands still, for tests of moments that lie close together.
    Still(Moment),
}

/// A clock that starts at a chosen moment and follows tokio's timers, so that `start_paused` tests control it.
#[derive(Debug, Clone)]
pub struct VirtualClock {
    origin: Moment,
    started: tokio::time::Instant,
    /// By how many nanoseconds the wall clock was set ahead, and for how many the machine was suspended; shared by all clones.
    set_ahead: Arc<AtomicI64>,
    suspended: Arc<AtomicI64>,
}

impl VirtualClock {
    /// Sets the wall clock ahead, or back by a negative number of nanoseconds.
    pub fn set_ahead(&self, nanos: i64) {
        self.set_ahead.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Lets time pass that no timer sees, as in a suspend.
    pub fn suspend(&self, span: Duration) {
        self.suspended.fetch_add(saturating_nanos(span), Ordering::Relaxed);
    }

    fn now(&self) -> Moment {
        let slept = Duration::from_nanos(self.suspended.load(Ordering::Relaxed).unsigned_abs());
        let now = self.origin.after(self.started.elapsed().saturating_add(slept));
        Moment { wall: Timestamp(now.wall.0.saturating_add(self.set_ahead.load(Ordering::Relaxed))), ..now }
    }
}

impl Clock {
    /// A virtual clock that shows `origin` now.
    pub fn starting_at(origin: Moment) -> Self {
        Self::Virtual(VirtualClock {
            origin,
            started: tokio::time::Instant::now(),
            set_ahead: Arc::default(),
            suspended: Arc::default(),
        })
    }

    /// The current moment.
    pub fn now(&self) -> Moment {
        match self {
            Self::System(boot) => Moment { wall: wall_now(), boottime: boottime_now(), boot: *boot },
            Self::Virtual(clock) => clock.now(),
            Self::Still(now) => *now,
        }
    }
}

fn wall_now() -> Timestamp {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp(saturating_nanos(since)),
        Err(before) => Timestamp(-saturating_nanos(before.duration())),
    }
}

fn boottime_now() -> Boottime {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Boottime(time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: BootId = BootId([1; 16]);
    const OTHER: BootId = BootId([2; 16]);

    fn moment(wall: i64, boottime: i64, boot: BootId) -> Moment {
        Moment { wall: Timestamp(wall * 1_000_000_000), boottime: Boottime(boottime * 1_000_000_000), boot }
    }

    #[test]
    fn a_wall_clock_jump_moves_no_deadline_within_a_boot() {
        let deadline = Deadline::after(moment(1000, 50, BOOT), Duration::from_mins(15));
        for wall in [-1_000_000, 0, 1000, 9_000_000] {
            assert_eq!(deadline.remaining(moment(wall, 150, BOOT)), Duration::from_secs(800));
        }
    }

    #[test]
    fn after_a_reboot_the_wait_is_bounded_by_its_nominal_length() {
        let deadline = Deadline::after(moment(1000, 50, BOOT), Duration::from_mins(15));
        assert_eq!(deadline.remaining(moment(1300, 5, OTHER)), Duration::from_mins(10));
        assert_eq!(deadline.remaining(moment(-1_000_000, 5, OTHER)), Duration::from_mins(15));
        assert_eq!(deadline.remaining(moment(2_000_000, 5, OTHER)), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_virtual_clock_follows_paused_timers() {
        let clock = Clock::starting_at(moment(1000, 50, BOOT));
        tokio::time::sleep(Duration::from_hours(1)).await;
        assert_eq!(clock.now(), moment(4600, 3650, BOOT));
    }
}
