//! sunstar's load generator.

fn main() {}
