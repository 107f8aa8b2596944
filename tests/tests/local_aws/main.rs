//! Everything that needs a local AWS: the real template deployed into it, and the adapters of S3, SQS and EventBridge beside those of a laptop.
//! One binary, because most of the time each of them waits, which they can do together.

mod as_told;
mod commands_on_a_stack;
mod conformance;
mod deployment;
mod doctor;
mod end_to_end;
mod lost_answers_on_the_wire;
mod notices;
mod side_by_side;
mod sudden_ends;
mod webhook;
