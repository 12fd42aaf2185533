//! [`DriverChoice`]: which driver to use, and how one is named on a command line or in the
//! environment.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The variable that chooses a driver for a program that does not.
const DRIVER_VARIABLE: &str = "SUNSTAR_DRIVER";

/// Which driver to use.
///
/// # Examples
/// ```
/// use sunstar::runtime::DriverChoice;
///
/// let choice: DriverChoice = "epoll".parse()?;
/// assert_eq!((choice, choice.to_string()), (DriverChoice::Epoll, "epoll".to_owned()));
/// # Ok::<(), sunstar::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// What the environment variable `SUNSTAR_DRIVER` names. If it is not set or says `auto`:
    /// `io_uring(7)` if a trial shows that it works and every shard gets its ring, otherwise
    /// `epoll(7)` on all shards, with one line on standard error that names the cause and what to
    /// change.
    #[default]
    Auto,
    /// `io_uring(7)`, or an error.
    Uring,
    /// `epoll(7)`.
    Epoll,
    /// The monoio runtime on its ring. An error without the feature `monoio`.
    Monoio,
    /// The monoio runtime on `epoll(7)` or `kqueue(2)`. An error without the feature `monoio`.
    MonoioLegacy,
    /// The glommio runtime. An error without the feature `glommio`.
    Glommio,
}

impl DriverChoice {
    /// Every choice there is, built in or not.
    pub const ALL: [DriverChoice; 6] = [
        DriverChoice::Auto,
        DriverChoice::Uring,
        DriverChoice::Epoll,
        DriverChoice::Monoio,
        DriverChoice::MonoioLegacy,
        DriverChoice::Glommio,
    ];

    /// Its name on a command line, and what it is, in a few words.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            DriverChoice::Auto => ("auto", "as SUNSTAR_DRIVER says, else the best that works"),
            DriverChoice::Uring => ("uring", "io_uring, Linux 6.1 or newer"),
            DriverChoice::Epoll => ("epoll", "epoll, any Linux"),
            DriverChoice::Monoio => ("monoio", "inside monoio, on its ring (feature monoio)"),
            DriverChoice::MonoioLegacy => (
                "monoio-legacy",
                "inside monoio, on epoll or kqueue (feature monoio)",
            ),
            DriverChoice::Glommio => ("glommio", "inside glommio (feature glommio)"),
        }
    }

    /// Whether this build has it.
    #[cfg(feature = "cli")]
    pub(crate) fn is_built_in(self) -> bool {
        match self {
            DriverChoice::Auto | DriverChoice::Uring | DriverChoice::Epoll => true,
            DriverChoice::Monoio | DriverChoice::MonoioLegacy => cfg!(feature = "monoio"),
            DriverChoice::Glommio => cfg!(feature = "glommio"),
        }
    }

    /// The choice, or what the environment says if it is left to that.
    pub(super) fn or_environment(self) -> Result<DriverChoice> {
        let value = std::env::var_os(DRIVER_VARIABLE).unwrap_or_default();
        self.or_from(&value.to_string_lossy())
    }

    fn or_from(self, value: &str) -> Result<DriverChoice> {
        if self != DriverChoice::Auto || value.is_empty() {
            return Ok(self);
        }
        value
            .parse()
            .map_err(|error| Error::config(format!("{DRIVER_VARIABLE}: {error}")))
    }
}

impl fmt::Display for DriverChoice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.words().0)
    }
}

impl FromStr for DriverChoice {
    type Err = Error;

    /// # Errors
    /// When no driver has this name; the message names them all.
    fn from_str(name: &str) -> Result<DriverChoice> {
        let all = DriverChoice::ALL;
        let mut named = all.into_iter().filter(|choice| choice.words().0 == name);
        named.next().ok_or_else(|| {
            let names = all.map(|choice| choice.words().0).join(", ");
            Error::config(format!("no driver is called `{name}`; take one of {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_has_a_name_that_is_understood() {
        for choice in DriverChoice::ALL {
            assert_eq!(choice.to_string().parse::<DriverChoice>().unwrap(), choice);
        }
        let error = "magic".parse::<DriverChoice>().unwrap_err().to_string();
        assert!(error.contains("auto, uring, epoll, monoio"), "{error}");
    }

    #[test]
    fn the_environment_decides_only_what_is_left_to_it() {
        let from = |choice: DriverChoice, value| choice.or_from(value).unwrap();
        assert_eq!(from(DriverChoice::Auto, ""), DriverChoice::Auto);
        assert_eq!(from(DriverChoice::Auto, "epoll"), DriverChoice::Epoll);
        assert_eq!(from(DriverChoice::Uring, "epoll"), DriverChoice::Uring);
        assert_eq!(from(DriverChoice::Uring, "magic"), DriverChoice::Uring);
        let error = DriverChoice::Auto.or_from("magic").unwrap_err().to_string();
        assert!(
            error.starts_with("SUNSTAR_DRIVER: no driver is called `magic`"),
            "{error}"
        );
    }
}
