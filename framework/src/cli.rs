//! [`Args`]: the command line that every program on sunstar shares, as Seastar's app-template.
//!
//! Flatten it into a program's own arguments; what it says about shards, driver and addresses then
//! reads and behaves the same everywhere.

use std::time::Duration;

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::error::{Error, Result};
use crate::runtime::{CpuSet, DriverChoice, Idle, Placement, Stalls};
use crate::runtime::{UringFeatures, UringOptions, UringSizes};
use crate::server::{Accept, Config, Server};

/// Where to listen and on which CPUs to run.
///
/// # Examples
/// ```
/// use clap::Parser;
///
/// /// Says hello.
/// #[derive(Parser)]
/// struct Cli {
///     #[command(flatten)]
///     sunstar: sunstar::cli::Args,
/// }
///
/// let cli = Cli::parse_from(["hello", "--listen", "127.0.0.1:0", "--smp", "1"]);
/// let server = cli.sunstar.server(&["0.0.0.0:8080"])?;
/// assert_ne!(server.addresses()[0].port(), 0);
/// # Ok::<(), sunstar::Error>(())
/// ```
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Address to listen on, such as `127.0.0.1:8080` or `[::]:8080`; port 0 takes a free one. May
    /// be given several times.
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<String>,

    /// Number of shards. Default: one on every CPU.
    #[arg(long, value_name = "N")]
    pub smp: Option<usize>,

    /// CPUs to run on, such as 0-3,8. Default: all that this process may use.
    #[arg(long, value_name = "LIST")]
    pub cpuset: Option<CpuSet>,

    /// What talks to the kernel.
    #[arg(long, default_value = "auto")]
    pub driver: DriverChoice,

    /// How fresh connections are spread over the shards.
    #[arg(long, default_value = "reuseport")]
    pub accept: Accept,

    /// Optional features of the kernel's ring to use, and with a leading - not to use. --verbose
    /// shows those in use.
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub uring_features: Option<UringFeatures>,

    /// Sizes of the ring and its buffers, such as sq=512,cq=4096,buffers=256,buffer-len=4096.
    #[arg(long, value_name = "LIST")]
    pub uring_sizes: Option<UringSizes>,

    /// Look for input all the time instead of sleeping; keeps every CPU busy.
    #[arg(long)]
    pub poll_mode: bool,

    /// Look for input until so many microseconds after the last that came, such as 200, and only
    /// then sleep; 0: sleep at once, which is the default, and what is done inside other runtimes.
    #[arg(long, value_name = "US", conflicts_with = "poll_mode")]
    pub idle_poll_us: Option<u64>,

    /// Report a turn of a shard that lasts for longer than so many milliseconds, such as 25; 0:
    /// none, which is the default.
    #[arg(long, value_name = "MS")]
    pub stall_ms: Option<u64>,

    /// Abort when a turn has lasted for so many milliseconds, so that a supervisor starts the
    /// program anew, such as 2000; 0: never, which is the default.
    #[arg(long, value_name = "MS")]
    pub dead_ms: Option<u64>,

    /// Say what the kernel can do and what was chosen.
    #[arg(long)]
    pub verbose: bool,
}

impl Args {
    /// Binds a server as the arguments say; to `addresses` if they name none. It will print one
    /// line when it is ready.
    ///
    /// Of several default addresses those are left out that this machine does not have, such as
    /// IPv6 ones where there is no IPv6.
    ///
    /// # Errors
    /// As [`Server::bind`] and [`Placement::new`].
    pub fn server(&self, addresses: &[&str]) -> Result<Server> {
        let config = Config {
            placement: Some(Placement::new(self.smp, self.cpuset.as_ref())?),
            driver: self.driver,
            uring: UringOptions {
                sizes: self.uring_sizes.unwrap_or_default(),
                features: self.uring_features.unwrap_or_default(),
            },
            idle: self.idle(),
            accept: self.accept,
            stalls: self.stalls(),
            verbose: self.verbose,
            announce: true,
            ..Config::default()
        };
        let mut server = Server::unbound(config)?;
        for address in &self.listen {
            server = server
                .and_bind(address.as_str())
                .map_err(|error| hint(address, error))?;
        }
        if self.listen.is_empty() {
            for address in addresses {
                server.bind_if_there(address)?;
            }
        }
        if server.addresses().is_empty() {
            return Err(Error::config(
                "no address to listen on; give one with --listen ADDR",
            ));
        }
        Ok(server)
    }
}

impl Args {
    fn idle(&self) -> Idle {
        match self.idle_poll_us.filter(|time| *time > 0) {
            Some(time) => Idle::PollFor(Duration::from_micros(time)),
            None if self.poll_mode => Idle::Poll,
            None => Idle::Sleep,
        }
    }

    fn stalls(&self) -> Stalls {
        let time = |given: Option<u64>| given.filter(|it| *it > 0).map(Duration::from_millis);
        Stalls {
            threshold: time(self.stall_ms),
            dead_after: time(self.dead_ms),
            ..Stalls::default()
        }
    }
}

/// Says which address could not be read, and what one looks like.
fn hint(address: &str, error: Error) -> Error {
    if error.is_unresolved() {
        if let Some(port) = address.strip_prefix(':') {
            let message =
                format!("`{address}` has no address; write [::]:{port} for all there are");
            return Error::config(message);
        }
        let message = format!("`{address}`: {error}; write ADDRESS:PORT, like 127.0.0.1:8080");
        return Error::config(message);
    }
    error
}

impl ValueEnum for DriverChoice {
    fn value_variants<'a>() -> &'a [DriverChoice] {
        &DriverChoice::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = self.words();
        // Whoever names it nevertheless is told with which feature to build.
        let is_hidden = !self.is_built_in();
        Some(PossibleValue::new(name).help(help).hide(is_hidden))
    }
}

impl ValueEnum for Accept {
    fn value_variants<'a>() -> &'a [Accept] {
        &[Accept::Reuseport, Accept::LeastLoaded]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Accept::Reuseport => PossibleValue::new("reuseport").help("as the kernel chooses"),
            Accept::LeastLoaded => {
                PossibleValue::new("least-loaded").help("to the shard with the fewest open")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }

    fn parse(words: &[&str]) -> Result<Args, String> {
        let words = std::iter::once("program").chain(words.iter().copied());
        Program::try_parse_from(words)
            .map(|it| it.args)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_shard_sleeps_at_once_unless_asked_to_look_on() {
        let idle = |words: &[&str]| parse(words).unwrap().idle();
        assert_eq!(idle(&[]), Idle::Sleep);
        assert_eq!(idle(&["--poll-mode"]), Idle::Poll);
        let us = Duration::from_micros;
        assert_eq!(idle(&["--idle-poll-us", "100"]), Idle::PollFor(us(100)));
        assert_eq!(idle(&["--idle-poll-us", "0"]), Idle::Sleep);
        let both = parse(&["--poll-mode", "--idle-poll-us", "5"]);
        assert!(both.unwrap_err().contains("--idle-poll-us"));
    }

    #[test]
    fn stalls_are_not_watched_unless_asked_for() {
        let watched = |words: &[&str]| {
            let stalls = parse(words).unwrap().stalls();
            (stalls.threshold, stalls.dead_after)
        };
        let ms = |count| Some(Duration::from_millis(count));
        assert_eq!(watched(&[]), (None, None));
        assert_eq!(watched(&["--stall-ms", "25"]), (ms(25), None));
        assert_eq!(watched(&["--dead-ms", "2000"]), (None, ms(2000)));
        assert_eq!(
            watched(&["--stall-ms", "7", "--dead-ms", "100"]),
            (ms(7), ms(100))
        );
        assert_eq!(
            watched(&["--stall-ms", "0", "--dead-ms", "0"]),
            (None, None)
        );
    }

    #[test]
    fn every_argument_is_understood() {
        let words = [
            "--listen",
            "[::1]:0",
            "--listen=127.0.0.1:0",
            "--cpuset",
            "0",
        ];
        let args = parse(&[&words[..], &["--smp=1", "--driver", "uring", "--verbose"]].concat());
        let args = args.unwrap();
        assert_eq!(
            (args.smp, args.driver, args.verbose),
            (Some(1), DriverChoice::Uring, true)
        );
        let addresses = args.server(&[]).unwrap().addresses();
        assert!(
            addresses.iter().all(|address| address.port() != 0),
            "{addresses:?}"
        );
        assert_eq!(addresses.len(), 2);
    }

    #[test]
    fn a_wrong_argument_is_answered_with_what_is_right() {
        let error = parse(&["--cpuset", "0-x"]).err().unwrap();
        assert!(error.contains("write it like 0-3,8"), "{error}");
        let error = parse(&["--driver", "magic"]).err().unwrap();
        assert!(error.contains("auto") && error.contains("uring"), "{error}");
        let has_glommio = cfg!(feature = "glommio");
        assert_eq!(error.contains("glommio"), has_glommio, "{error}");
        assert_eq!(
            parse(&["--driver", "glommio"]).unwrap().driver,
            DriverChoice::Glommio
        );
        for (address, advice) in [
            ("nowhere", "write ADDRESS:PORT, like 127.0.0.1:8080"),
            (":8080", "write [::]:8080 for all there are"),
        ] {
            let server = parse(&["--listen", address]).unwrap().server(&[]);
            let error = server.unwrap_err().to_string();
            assert!(error.contains(advice), "{error}");
        }
    }

    #[test]
    fn an_address_that_is_given_twice_is_not_blamed_on_another_process() {
        let taken = Server::bind("127.0.0.1:0").unwrap();
        let address = taken.addresses()[0];
        drop(taken);
        let address = address.to_string();
        let error = parse(&["--listen", &address, "--listen", &address])
            .unwrap()
            .server(&[])
            .unwrap_err();
        let expected = format!("{address} is to be listened on twice");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_taken_port_is_named_with_advice() {
        let taken = Server::bind("127.0.0.1:0").unwrap();
        let address = taken.addresses()[0].to_string();
        let error = parse(&["--listen", &address])
            .unwrap()
            .server(&[])
            .unwrap_err();
        assert!(error.is_address_in_use(), "{error}");
        assert!(
            error.to_string().contains("another process listens there"),
            "{error}"
        );
    }
}
