//! The built program: recorded runs that need no real control plane, and what no recording shows.

mod programs;
mod replay;
mod server;
