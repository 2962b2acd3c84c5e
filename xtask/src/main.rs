//! Every build, check, test and load step of CometQL.

fn main() {}
