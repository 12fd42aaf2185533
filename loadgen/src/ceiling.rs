//! [`Ceilings`]: what `calibrate` found that loadgen can do here, kept for later reports.
//!
//! What must hold: a ceiling counts only for the machine, the version and the number of threads it
//! was measured with; a file that is not there or not ours makes the headroom unknown, never wrong.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::machine;
use crate::number::approximate;

/// Who measured: ceilings of another kernel, CPU or loadgen say nothing here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    host: Option<String>,
    kernel: Option<String>,
    cpu: Option<String>,
    version: String,
}

impl Origin {
    fn here() -> Origin {
        let (host, kernel, cpu) = machine::identity();
        Origin {
            host,
            kernel,
            cpu,
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}

/// With which load a rate was, or is, reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// What carries the bytes: the driver of the shards.
    pub(crate) driver: String,
    /// The shards of loadgen.
    pub(crate) threads: usize,
    /// Requests in flight on each connection.
    pub(crate) depth: u64,
    /// Connections of all shards.
    pub(crate) connections: u64,
}

/// The highest rate that was reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ceiling {
    origin: Origin,
    shape: Shape,
    /// Requests per second.
    rate: f64,
}

/// All ceilings known, of this machine and of others that share the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ceilings(Vec<Ceiling>);

impl Ceilings {
    /// Where they are kept, by the XDG Base Directory Specification: `loadgen/ceilings.json` in
    /// `$XDG_STATE_HOME`, or in `$HOME/.local/state`; `None` when neither is an absolute path.
    pub(crate) fn path() -> Option<PathBuf> {
        let absolute =
            |name| Some(PathBuf::from(std::env::var_os(name)?)).filter(|path| path.is_absolute());
        let state =
            absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
        Some(state.join("loadgen/ceilings.json"))
    }

    /// What the file holds; nothing when there is none, or none that is ours.
    pub(crate) fn read(path: &Path) -> Ceilings {
        let text = fs::read(path).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default()
    }

    /// Replaces the file as a whole.
    ///
    /// # Errors
    /// When the directory cannot be made or written to.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self).expect("ceilings are plain data");
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let fresh = path.with_extension(format!("{}.new", std::process::id()));
        fs::write(&fresh, text)?;
        fs::rename(&fresh, path)
    }

    /// Enters what was measured here, in place of what this load reached before.
    pub(crate) fn enter(&mut self, shape: Shape, rate: f64) {
        let origin = Origin::here();
        self.0
            .retain(|old| (&old.origin, &old.shape) != (&origin, &shape));
        self.0.push(Ceiling {
            origin,
            shape,
            rate,
        });
    }

    /// The ceiling of the load most like `shape`: on this machine, with as many threads, with the
    /// greatest depth that is not above its own, with a number of connections that is nearest.
    pub(crate) fn of(&self, shape: &Shape) -> Option<f64> {
        let here = Origin::here();
        let fits = self.0.iter().filter(|known| {
            known.origin == here
                && known.shape.driver == shape.driver
                && known.shape.threads == shape.threads
                && known.shape.depth <= shape.depth
                && known.rate > 0.0
        });
        let ratio = |known: &Ceiling| {
            let (a, b) = (known.shape.connections, shape.connections);
            approximate(a.max(b)) / approximate(a.min(b).max(1))
        };
        let best = fits.min_by(|a, b| {
            let by_depth = b.shape.depth.cmp(&a.shape.depth);
            by_depth.then(ratio(a).total_cmp(&ratio(b)))
        });
        best.map(|known| known.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(depth: u64, connections: u64) -> Shape {
        Shape {
            driver: "uring".into(),
            threads: 1,
            depth,
            connections,
        }
    }

    fn known(all: &[(u64, u64, f64)]) -> Ceilings {
        let mut ceilings = Ceilings::default();
        for &(depth, connections, rate) in all {
            ceilings.enter(shape(depth, connections), rate);
        }
        ceilings
    }

    #[test]
    fn the_load_most_alike_tells_the_ceiling() {
        let ceilings = known(&[(1, 64, 1.0), (1, 512, 2.0), (4, 64, 3.0), (16, 64, 4.0)]);
        let of = |depth, connections| ceilings.of(&shape(depth, connections));
        assert_eq!(of(1, 64), Some(1.0));
        assert_eq!(of(1, 181), Some(1.0), "by ratio, not by difference");
        assert_eq!(of(1, 182), Some(2.0));
        assert_eq!(of(3, 64), Some(1.0), "never of a greater depth");
        assert_eq!(of(8, 512), Some(3.0), "depth weighs more than connections");
        assert_eq!(of(64, 1), Some(4.0));
        assert_eq!(known(&[(2, 64, 1.0)]).of(&shape(1, 64)), None);
    }

    #[test]
    fn another_machine_version_driver_or_number_of_threads_tells_nothing() {
        let mut ceilings = known(&[(1, 64, 1.0)]);
        let asked = shape(1, 64);
        let other = |spoil: fn(&mut Shape)| {
            let mut shape = asked.clone();
            spoil(&mut shape);
            known(&[(1, 64, 1.0)]).of(&shape)
        };
        assert_eq!(other(|shape| shape.threads = 2), None);
        assert_eq!(other(|shape| shape.driver = "epoll".into()), None);
        let spoils: [fn(&mut Origin); 4] = [
            |origin| origin.host = Some("elsewhere".into()),
            |origin| origin.kernel = Some("2.6".into()),
            |origin| origin.cpu = Some("another".into()),
            |origin| origin.version = "0".into(),
        ];
        for spoil in spoils {
            let good = ceilings.clone();
            spoil(&mut ceilings.0[0].origin);
            assert_eq!(ceilings.of(&asked), None);
            ceilings = good;
        }
        assert_eq!(ceilings.of(&asked), Some(1.0));
    }

    #[test]
    fn a_new_measurement_takes_the_place_of_the_old() {
        let mut ceilings = known(&[(1, 64, 1.0), (1, 512, 2.0)]);
        ceilings.enter(shape(1, 64), 5.0);
        assert_eq!(ceilings, known(&[(1, 512, 2.0), (1, 64, 5.0)]));
    }

    #[test]
    fn what_was_written_is_read_and_what_is_not_ours_is_nothing() {
        let name = format!("loadgen-ceilings-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let path = directory.join("loadgen/ceilings.json");
        assert_eq!(Ceilings::read(&path), Ceilings::default());
        let ceilings = known(&[(1, 64, 1.5)]);
        ceilings.write(&path).unwrap();
        assert_eq!(Ceilings::read(&path), ceilings);
        ceilings.write(&path).unwrap();
        let names = fs::read_dir(path.parent().unwrap()).unwrap();
        assert_eq!(names.count(), 1, "nothing is left beside it");
        for text in ["", "{}", "[1]", "[{\"rate\": 1}]"] {
            fs::write(&path, text).unwrap();
            assert_eq!(Ceilings::read(&path), Ceilings::default(), "{text}");
        }
        assert!(ceilings.write(&path.join("below a file")).is_err());
        fs::remove_dir_all(directory).unwrap();
    }
}
