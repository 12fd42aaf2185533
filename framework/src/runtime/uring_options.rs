//! [`UringOptions`]: how large a ring is, and which optional features of the kernel it uses.
//!
//! What must hold: a feature that this kernel lacks is left out in silence and not shown; what is
//! on by default has paid in a measurement or protects somebody (ADR 8 has the numbers).

use std::fmt;
use std::str::FromStr;

/// The most provided buffers that a ring of them can hold, and the most submissions of a ring
/// (`io_uring_register_buf_ring(3)`, `io_uring_setup(2)`).
const ENTRIES_MAX: u32 = 32_768;

/// How large the rings of a shard and its receive buffers are.
///
/// # Examples
/// ```
/// use sunstar::runtime::UringSizes;
///
/// let sizes: UringSizes = "sq=64,buffers=8".parse()?;
/// assert_eq!((sizes.submissions, sizes.completions, sizes.buffers), (64, 4096, 8));
/// # Ok::<(), sunstar::runtime::InvalidUringOption>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UringSizes {
    /// Submissions that fit before they are handed over, `sq`. Halved when memory is short.
    pub submissions: u32,
    /// Completions that fit before the kernel must keep them elsewhere, `cq`. Halved likewise.
    pub completions: u32,
    /// Provided receive buffers, a power of two up to 32,768, `buffers`.
    pub buffers: u16,
    /// Bytes of one buffer, 1 to 1 MiB, the most that one receive brings: `buffer-len`.
    pub buffer_len: usize,
}

impl Default for UringSizes {
    /// 512 submissions, 4,096 completions, 256 buffers of 4 KiB: about 1.2 MiB a shard.
    fn default() -> UringSizes {
        UringSizes {
            submissions: 512,
            completions: 4096,
            buffers: 256,
            buffer_len: 4096,
        }
    }
}

impl UringSizes {
    /// How much of such a ring is charged to `RLIMIT_MEMLOCK`, in bytes: both queues, in whole
    /// pages.
    pub(crate) fn locked_len(submissions: u32, completions: u32) -> u64 {
        const PAGE: u64 = 4096;
        let queues = 64 + 16 * u64::from(completions.next_power_of_two());
        let entries = 64 * u64::from(submissions.next_power_of_two());
        queues.next_multiple_of(PAGE) + entries.next_multiple_of(PAGE)
    }
}

impl FromStr for UringSizes {
    type Err = InvalidUringOption;

    /// Reads `sq=64,cq=512,buffers=32,buffer-len=4096`; what is not named keeps its default.
    fn from_str(text: &str) -> Result<UringSizes, InvalidUringOption> {
        let mut sizes = UringSizes::default();
        for part in text.split(',') {
            let (name, value) = part.split_once('=').ok_or_else(|| wrong_size(part))?;
            let value: u32 = value.parse().map_err(|_| wrong_size(part))?;
            let power = value.is_power_of_two() && value <= ENTRIES_MAX;
            match name {
                "sq" if power => sizes.submissions = value,
                "cq" if value.is_power_of_two() && value <= 2 * ENTRIES_MAX => {
                    sizes.completions = value;
                }
                "buffers" if power => {
                    sizes.buffers = u16::try_from(value).expect("at most 32,768");
                }
                "buffer-len" if (1..=1 << 20).contains(&value) => {
                    sizes.buffer_len = value as usize;
                }
                _ => return Err(wrong_size(part)),
            }
        }
        Ok(sizes)
    }
}

fn wrong_size(part: &str) -> InvalidUringOption {
    InvalidUringOption(format!(
        "`{part}`: write sizes like sq=512,cq=4096,buffers=256,buffer-len=4096 \
         (the first three are powers of two)"
    ))
}

/// What a ring may use where the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    /// The ring refuses every operation that the driver does not use.
    Restrict,
    /// The enter finds its ring by a number of the thread's own.
    RegisteredRing,
    /// A wait goes on for a moment while it has few completions.
    MinWait,
    /// A wait polls the network device.
    Napi,
    /// A thread of the kernel takes submissions in.
    Sqpoll,
}

impl Feature {
    const ALL: [(Feature, &str); 5] = [
        (Feature::Restrict, "restrict"),
        (Feature::RegisteredRing, "registered-ring"),
        (Feature::MinWait, "min-wait"),
        (Feature::Napi, "napi"),
        (Feature::Sqpoll, "sqpoll"),
    ];

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of optional features.
///
/// # Examples
/// ```
/// use sunstar::runtime::UringFeatures;
///
/// let features: UringFeatures = "min-wait,-restrict".parse()?;
/// assert!(features.to_string().contains("min-wait"));
/// assert!(!features.to_string().contains("restrict"));
/// # Ok::<(), sunstar::runtime::InvalidUringOption>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UringFeatures {
    bits: u8,
}

impl Default for UringFeatures {
    /// What pays, or protects somebody and costs nothing that can be measured.
    fn default() -> UringFeatures {
        UringFeatures {
            bits: Feature::Restrict.bit(),
        }
    }
}

impl UringFeatures {
    /// Those of a driver that has none.
    pub(crate) const NONE: UringFeatures = UringFeatures { bits: 0 };

    #[inline]
    pub(crate) fn has(self, feature: Feature) -> bool {
        self.bits & feature.bit() != 0
    }

    /// Those of the set for which `has` answers yes.
    pub(crate) fn keep(self, mut has: impl FnMut(Feature) -> bool) -> UringFeatures {
        let wanted = Feature::ALL.into_iter().filter(|(it, _)| self.has(*it));
        let kept = wanted.filter(|(feature, _)| has(*feature));
        UringFeatures {
            bits: kept.map(|(feature, _)| feature.bit()).sum(),
        }
    }
}

impl FromStr for UringFeatures {
    type Err = InvalidUringOption;

    /// Reads `a,b,-c`: the defaults with `a` and `b` and without `c`.
    fn from_str(text: &str) -> Result<UringFeatures, InvalidUringOption> {
        let mut features = UringFeatures::default();
        for word in text.split(',') {
            let (name, on) = word
                .strip_prefix('-')
                .map_or((word, true), |name| (name, false));
            let known = Feature::ALL.into_iter().find(|(_, known)| *known == name);
            let Some((feature, _)) = known else {
                let names: Vec<_> = Feature::ALL.into_iter().map(|(_, name)| name).collect();
                let message = format!(
                    "`{word}`: no such feature; there are {}, each with a leading - to switch \
                     it off",
                    names.join(", ")
                );
                return Err(InvalidUringOption(message));
            };
            features.bits &= !feature.bit();
            features.bits |= if on { feature.bit() } else { 0 };
        }
        Ok(features)
    }
}

impl fmt::Display for UringFeatures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = Feature::ALL.into_iter().filter(|(it, _)| self.has(*it));
        let names: Vec<_> = on.map(|(_, name)| name).collect();
        out.write_str(if names.is_empty() { "none" } else { "" })?;
        out.write_str(&names.join(","))
    }
}

/// Why a size or a feature of the ring could not be understood, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidUringOption(String);

impl fmt::Display for InvalidUringOption {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for InvalidUringOption {}

/// What can be chosen about the `io_uring` driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UringOptions {
    /// How large things are.
    pub sizes: UringSizes,
    /// What is used where the kernel has it.
    pub features: UringFeatures,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_can_be_switched_on_and_off() {
        for (feature, name) in Feature::ALL {
            assert!(
                name.parse::<UringFeatures>().unwrap().has(feature),
                "{name}"
            );
            let off: UringFeatures = format!("-{name}").parse().unwrap();
            assert!(!off.has(feature), "{name}");
        }
        let error = "magic".parse::<UringFeatures>().unwrap_err().to_string();
        assert!(error.contains("registered-ring"), "{error}");
    }

    #[test]
    fn sizes_are_taken_at_their_limits_and_not_beyond() {
        for good in [
            "sq=1",
            "sq=32768",
            "cq=65536",
            "buffers=32768",
            "buffer-len=1048576",
        ] {
            assert!(good.parse::<UringSizes>().is_ok(), "{good}");
        }
        let bad = [
            "sq=0",
            "sq=3",
            "sq=65536",
            "cq=131072",
            "buffers=65536",
            "buffer-len=0",
            "buffer-len=1048577",
            "sq",
            "",
            "depth=4",
        ];
        for bad in bad {
            let error = bad.parse::<UringSizes>().unwrap_err().to_string();
            assert!(error.contains("write sizes like"), "{bad}: {error}");
        }
    }

    #[test]
    fn the_default_ring_is_charged_a_hundred_kilobytes() {
        assert_eq!(UringSizes::locked_len(512, 4096), (64 + 4 + 32) * 1024);
    }
}
