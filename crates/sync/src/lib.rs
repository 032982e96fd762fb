//! The delta protocol as two state machines. Pure: an event in, actions out.
