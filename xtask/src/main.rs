//! The commands behind the README.

fn main() {}
