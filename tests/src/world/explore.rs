//! Runs a world to its end and says which property broke, if one did.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::checks::{self, Broken, Tally, secrets};
use super::{Plan, World};

/// Runs a world and checks it at rest. One world in twenty is listened to: what it logs, down to TRACE, is checked too.
pub fn explore(plan: &Plan) -> (World, Result<Tally, Broken>) {
    let mut world = World::new(plan);
    let ran = if plan.seed.is_multiple_of(20) {
        let listener = secrets::Listener::new(world.cuts.clone());
        tracing::subscriber::with_default(listener, || world.run())
    } else {
        world.run()
    };
    let result = ran.and_then(|()| checks::check(&world));
    (world, result)
}

thread_local! {
    /// Whether a handler runs on this thread.
    static HANDLING: Cell<bool> = const { Cell::new(false) };
}

/// Keeps what panicking handlers print to itself: a panic is a property that broke, and is told as one.
pub fn quietly() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !HANDLING.get() {
            usual(panic);
        }
    }));
}

/// Lets a handler go on; a panic is a broken property.
pub(super) fn guarded<T>(handle: impl FnOnce() -> T) -> Result<T, Broken> {
    HANDLING.set(true);
    let handled = catch_unwind(AssertUnwindSafe(handle));
    HANDLING.set(false);
    handled.map_err(|panic| Broken::new("no_panic", words_of(&*panic)))
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}
