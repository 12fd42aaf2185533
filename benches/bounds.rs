//! How long a bench may take.

use std::time::Duration;

use criterion::Criterion;

/// Settings with which a bench of five figures ends within half a minute.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}
