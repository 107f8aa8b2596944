//! Touches the world.
