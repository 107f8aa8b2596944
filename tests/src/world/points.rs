//! The crash points of a world: every kind of effect that a handler makes, before and after it took place.

/// Every kind of effect. One that is missing here, or that no world ever cuts, is reported.
pub const EXPECTED: &[&str] = &[
    "store.get",
    "store.create",
    "store.replace",
    "store.put",
    "store.list",
    "store.begin_upload",
    "store.upload_part",
    "store.complete_upload",
    "store.abort_upload",
    "inputs.open",
    "queues.send",
    "api.trigger",
    "api.dataset",
    "api.log",
    "api.errors",
    "api.jobs",
    "api.cancel",
];
