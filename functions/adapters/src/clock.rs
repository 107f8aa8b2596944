//! The wall clock.

use jiff::Timestamp;
use pipeline::ports::Clock;

/// The clock of the machine. It goes on while Lambda freezes a function; the monotonic one does not.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
