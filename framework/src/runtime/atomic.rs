//! What threads share is built from these; `framework/loom` builds the same files from loom's.

pub(super) use std::sync::atomic::{AtomicBool, Ordering, fence};
pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
