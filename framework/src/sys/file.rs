//! [`Directory`]: opens files below one directory, and nowhere else.
//!
//! What must hold: whatever path is given, what is opened lies below the directory, also while
//! somebody renames things there; opening never waits for the other end of a FIFO.
#![expect(
    unsafe_code,
    reason = "opening relative to a directory has no safe binding in std"
)]

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How files are opened: for reading, without waiting, without becoming our terminal.
const FLAGS: i32 = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
/// How the directories on the way are opened: not at all, only found.
const STEP_FLAGS: i32 = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
/// How often a path is looked up again after somebody has renamed something on the way.
const ATTEMPTS_MAX: usize = 4;

/// The argument of `openat2(2)`.
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// An open directory.
#[derive(Debug)]
pub(crate) struct Directory {
    root: OwnedFd,
}

impl Directory {
    pub(crate) fn open(path: &Path) -> io::Result<Directory> {
        let mut options = std::fs::OpenOptions::new();
        let options = options.read(true).custom_flags(libc::O_DIRECTORY);
        let root = options.open(path)?.into();
        Ok(Directory { root })
    }

    /// Opens what is at `path` below the directory, for reading. `path` is relative.
    ///
    /// By `openat2(2)` with `RESOLVE_BENEATH`: links are followed as long as they stay below. Where
    /// the kernel or a filter of system calls does not have that, step by step, with no link
    /// followed.
    pub(crate) fn open_beneath(&self, path: &[u8]) -> io::Result<File> {
        match self.open_at_once(&terminated(path)?) {
            Err(error) if is_refused(&error) => self.open_by_steps(path),
            opened => opened,
        }
    }

    fn open_at_once(&self, path: &CStr) -> io::Result<File> {
        let how = OpenHow {
            flags: FLAGS.cast_unsigned().into(),
            mode: 0,
            resolve: libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS,
        };
        let (root, path) = (self.root.as_raw_fd(), path.as_ptr());
        for _ in 0..ATTEMPTS_MAX {
            // SAFETY: `path` is terminated, `how` is of the size that is named, and both live.
            let number = unsafe {
                libc::syscall(
                    libc::SYS_openat2,
                    root,
                    path,
                    &raw const how,
                    size_of_val(&how),
                )
            };
            if number >= 0 {
                let number = RawFd::try_from(number).expect("a descriptor has 31 bits");
                // SAFETY: the kernel has just opened it for us.
                return Ok(unsafe { File::from_raw_fd(number) });
            }
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::EAGAIN) {
                return Err(error);
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// As above, with `openat(2)` alone.
    fn open_by_steps(&self, path: &[u8]) -> io::Result<File> {
        let mut at = self.root.try_clone()?;
        let mut steps = path.split(|&byte| byte == b'/').peekable();
        while let Some(step) = steps.next() {
            if step == b".." || step.is_empty() {
                return Err(io::ErrorKind::NotFound.into());
            }
            let step = terminated(step)?;
            if steps.peek().is_none() {
                return Ok(open_in(&at, &step, FLAGS | libc::O_NOFOLLOW)?.into());
            }
            at = open_in(&at, &step, STEP_FLAGS)?;
        }
        unreachable!("a split has at least one part")
    }
}

fn open_in(directory: &OwnedFd, name: &CStr, flags: i32) -> io::Result<OwnedFd> {
    // SAFETY: `name` is terminated and lives; these flags take no mode.
    let number = unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), flags) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A path that holds a NUL names nothing.
fn terminated(path: &[u8]) -> io::Result<CString> {
    CString::new(path).map_err(|_| io::ErrorKind::NotFound.into())
}

/// Whether there is no `openat2`: an old kernel, or a filter that does not know it.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

/// Whether an error means that there is no such file for us: not that something is broken.
pub(crate) fn is_no_such_file(error: &io::Error) -> bool {
    const NAMES_NOTHING: [i32; 8] = [
        libc::ENOENT,
        libc::ENOTDIR,
        libc::ELOOP,
        // It would lead out of the directory.
        libc::EXDEV,
        libc::ENAMETOOLONG,
        libc::EACCES,
        // A socket, or a device without a driver.
        libc::ENXIO,
        libc::EINVAL,
    ];
    let code = error.raw_os_error();
    error.kind() == io::ErrorKind::NotFound
        || code.is_some_and(|code| NAMES_NOTHING.contains(&code))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    /// A directory that goes with the test.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str) -> Temporary {
            let place = std::env::temp_dir();
            let path = place.join(format!("sunstar-file-{name}-{}", std::process::id()));
            std::fs::create_dir_all(path.join("root/sub")).unwrap();
            for (file, text) in [("secret", "secret"), ("root/a", "a"), ("root/sub/b", "b")] {
                std::fs::write(path.join(file), text).unwrap();
            }
            Temporary(path)
        }

        fn root(&self) -> Directory {
            Directory::open(&self.0.join("root")).unwrap()
        }

        fn link(&self, target: &str, name: &str) {
            symlink(target, self.0.join("root").join(name)).unwrap();
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            // What is left over lies in the system's directory for that.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    type Way = fn(&Directory, &[u8]) -> io::Result<File>;

    const WAYS: [Way; 2] = [
        |root, path| root.open_at_once(&terminated(path)?),
        Directory::open_by_steps,
    ];

    fn text(file: io::Result<File>) -> Option<String> {
        match file {
            Ok(mut file) => {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                Some(text)
            }
            Err(error) => {
                assert!(is_no_such_file(&error), "{error}");
                None
            }
        }
    }

    #[test]
    fn files_below_are_opened_in_either_way() {
        let place = Temporary::new("below");
        for open in WAYS {
            assert_eq!(text(open(&place.root(), b"a")).as_deref(), Some("a"));
            assert_eq!(text(open(&place.root(), b"sub/b")).as_deref(), Some("b"));
            assert!(
                open(&place.root(), b".")
                    .unwrap()
                    .metadata()
                    .unwrap()
                    .is_dir()
            );
            assert_eq!(text(open(&place.root(), b"sub/c")), None);
            assert_eq!(text(open(&place.root(), b"a/b")), None);
            assert_eq!(text(open(&place.root(), b"a\0b")), None);
        }
    }

    #[test]
    fn nothing_leads_out_in_either_way() {
        let place = Temporary::new("out");
        place.link("../secret", "up");
        place.link(place.0.join("secret").to_str().unwrap(), "absolute");
        place.link("..", "parent");
        place.link("/proc/self/root", "magic");
        for open in WAYS {
            let absolute = place.0.join("secret");
            let paths: [&[u8]; 7] = [
                b"../secret",
                b"sub/../../secret",
                b"up",
                b"absolute",
                b"parent/secret",
                b"magic/etc/passwd",
                absolute.to_str().unwrap().as_bytes(),
            ];
            for path in paths {
                assert_eq!(
                    text(open(&place.root(), path)),
                    None,
                    "{}",
                    path.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn links_that_stay_below_are_followed_where_the_kernel_checks_them() {
        let place = Temporary::new("links");
        place.link("sub/b", "inside");
        assert_eq!(
            text(place.root().open_beneath(b"inside")).as_deref(),
            Some("b")
        );
        assert_eq!(text(place.root().open_by_steps(b"inside")), None);
    }

    #[test]
    fn a_file_is_no_directory_to_begin_with() {
        let place = Temporary::new("file");
        assert!(Directory::open(&place.0.join("root/a")).is_err());
    }
}
