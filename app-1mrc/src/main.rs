//! The One Million Request Challenge on sunstar.

fn main() {}
