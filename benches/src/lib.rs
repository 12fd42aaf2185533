//! Holds the benches; see `benches/README.md`.
