//! [`Outcome`]: what a step of a loop may end with.

/// What a step ends with: `()`, which never fails, or a `Result<(), E>`.
pub trait Outcome {
    /// The end of a loop in which nothing has failed.
    fn success() -> Self;

    /// Whether the loop ends with this one.
    fn is_failure(&self) -> bool;
}

impl Outcome for () {
    fn success() {}

    fn is_failure(&self) -> bool {
        false
    }
}

impl<E> Outcome for Result<(), E> {
    fn success() -> Result<(), E> {
        Ok(())
    }

    fn is_failure(&self) -> bool {
        self.is_err()
    }
}
