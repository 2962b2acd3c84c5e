//! The port as a client sees it, packet by packet. Statements are tested through real clients in `server/tests`.

mod client;
mod command;
mod hostile;
mod log_in;
