//! [`Directory`]: opens files below one directory, and nowhere else; [`Mode`]: how one is opened
//! anywhere.
//!
//! What must hold: whatever path is given to a [`Directory`], what is opened lies below it, also
//! while somebody renames things there, and opening never waits for the other end of a FIFO. What
//! is called `cached` never waits for a disk.
#![expect(
    unsafe_code,
    reason = "opening relative to a directory has no safe binding in std"
)]

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use io_uring::types::OpenHow;

/// How files are opened: for reading, without waiting, without becoming our terminal.
const FLAGS: i32 = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
/// How the directories on the way are opened: not at all, only found.
const STEP_FLAGS: i32 = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
/// How often a path is looked up again after somebody has renamed something on the way.
const ATTEMPTS_MAX: usize = 4;

/// How a path is opened: below the directory; `more` of how it is resolved.
fn beneath(more: u64) -> OpenHow {
    let resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS | more;
    OpenHow::new()
        .flags(FLAGS.cast_unsigned().into())
        .resolve(resolve)
}

/// Reads what is in memory of a file from `at` on, perhaps less than `into` has room for; an error
/// of the kind `WouldBlock` if a disk, or who knows what, would have to be waited for.
pub(crate) fn read_cached(file: &File, at: u64, into: &mut [u8]) -> io::Result<usize> {
    let part = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    let at = libc::off_t::try_from(at).map_err(|_| io::ErrorKind::UnexpectedEof)?;
    // SAFETY: `part` names the memory of `into`, which lives and nobody else uses.
    let len = unsafe { libc::preadv2(file.as_raw_fd(), &raw const part, 1, at, libc::RWF_NOWAIT) };
    usize::try_from(len).map_err(|_| match io::Error::last_os_error() {
        // Some file systems cannot tell.
        error if is_unsupported(&error) => io::ErrorKind::WouldBlock.into(),
        error => error,
    })
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL)
    )
}

/// An open directory.
#[derive(Debug)]
pub(crate) struct Directory {
    root: Arc<OwnedFd>,
}

impl Directory {
    pub(crate) fn open(path: &Path) -> io::Result<Directory> {
        let mut options = std::fs::OpenOptions::new();
        let options = options.read(true).custom_flags(libc::O_DIRECTORY);
        let root = Arc::new(options.open(path)?.into());
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

    /// As [`open_beneath`](Directory::open_beneath), if all on the way is in memory; an error of
    /// the kind `WouldBlock` if not, or if the kernel cannot tell (before 5.12).
    pub(crate) fn open_cached(&self, path: &[u8]) -> io::Result<File> {
        let how = beneath(libc::RESOLVE_CACHED);
        self.open_as(&terminated(path)?, &how).map_err(|error| {
            let is_unsure = is_refused(&error) || error.raw_os_error() == Some(libc::EINVAL);
            if is_unsure {
                io::ErrorKind::WouldBlock.into()
            } else {
                error
            }
        })
    }

    /// What a ring needs to open what is at `path`, as
    /// [`open_beneath`](Directory::open_beneath) does.
    pub(crate) fn opening(&self, path: &[u8]) -> io::Result<Opening> {
        Ok(Opening {
            directory: Some(Arc::clone(&self.root)),
            path: terminated(path)?,
            how: Box::new(beneath(0)),
        })
    }

    fn open_at_once(&self, path: &CStr) -> io::Result<File> {
        let how = beneath(0);
        for _ in 0..ATTEMPTS_MAX {
            match self.open_as(path, &how) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                opened => return opened,
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn open_as(&self, path: &CStr, how: &OpenHow) -> io::Result<File> {
        open_how(Some(&self.root), path, how)
    }

    /// As [`open_beneath`](Directory::open_beneath), with `openat(2)` alone.
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

/// All that `openat2(2)` is told; a path is relative to the directory, or to where the process is.
pub(crate) struct Opening {
    pub(crate) directory: Option<Arc<OwnedFd>>,
    pub(crate) path: CString,
    pub(crate) how: Box<OpenHow>,
}

impl Opening {
    /// Calls it.
    pub(crate) fn open(&self) -> io::Result<File> {
        open_how(self.directory.as_deref(), &self.path, &self.how)
    }
}

/// Sets room aside in a file by `fallocate(2)`.
pub(crate) fn allocate(file: &File, at: u64, len: u64) -> io::Result<()> {
    let number = |value| libc::off_t::try_from(value).map_err(|_| io::ErrorKind::InvalidInput);
    let (at, len) = (number(at)?, number(len)?);
    // SAFETY: it takes no memory of ours, and the descriptor is open.
    match unsafe { libc::fallocate(file.as_raw_fd(), 0, at, len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Opens by `openat2(2)`; a path is relative to `directory`, or to where the process is.
fn open_how(directory: Option<&OwnedFd>, path: &CStr, how: &OpenHow) -> io::Result<File> {
    let root = directory.map_or(libc::AT_FDCWD, AsRawFd::as_raw_fd);
    let path = path.as_ptr();
    // SAFETY: `path` is terminated, `how` is of the size that is named, and both live.
    let number = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            root,
            path,
            &raw const *how,
            size_of_val(how),
        )
    };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    let number = RawFd::try_from(number).expect("a descriptor has 31 bits");
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { File::from_raw_fd(number) })
}

/// How a file is opened that may lie anywhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mode {
    pub(crate) read: bool,
    pub(crate) write: bool,
    /// Any of the flags below.
    flags: i32,
}

impl Mode {
    /// It is made if it is not there.
    pub(crate) const CREATE: i32 = libc::O_CREAT;
    /// It is made, and must not be there.
    pub(crate) const NEW: i32 = libc::O_EXCL;
    /// It is emptied.
    pub(crate) const TRUNCATE: i32 = libc::O_TRUNC;
    /// It is read and written past the page cache.
    pub(crate) const DIRECT: i32 = libc::O_DIRECT;
    /// The bits of a new file, of which the process's mask takes some away.
    const PERMISSIONS: u64 = 0o666;

    pub(crate) fn set(&mut self, flag: i32, wanted: bool) {
        if wanted {
            self.flags |= flag;
        } else {
            self.flags &= !flag;
        }
    }

    pub(crate) fn has(&self, flag: i32) -> bool {
        self.flags & flag == flag
    }

    /// All flags but the access: what is to be new is to be made.
    fn more_flags(&self) -> i32 {
        let made = if self.has(Mode::NEW) {
            libc::O_CREAT
        } else {
            0
        };
        self.flags | made | libc::O_NOCTTY
    }

    /// What is needed to open what is at `path`.
    pub(crate) fn opening(&self, path: &Path) -> io::Result<Opening> {
        let access = match (self.read, self.write) {
            (_, false) => libc::O_RDONLY,
            (false, true) => libc::O_WRONLY,
            (true, true) => libc::O_RDWR,
        };
        let flags = access | self.more_flags() | libc::O_CLOEXEC;
        let creates = flags & libc::O_CREAT != 0;
        let how = OpenHow::new()
            .flags(flags.cast_unsigned().into())
            .mode(if creates { Mode::PERMISSIONS } else { 0 });
        Ok(Opening {
            directory: None,
            path: terminated(path.as_os_str().as_bytes())?,
            how: Box::new(how),
        })
    }

    /// The same for a system that takes no `openat2`.
    pub(crate) fn open_by_path(&self, path: &Path) -> io::Result<File> {
        std::fs::OpenOptions::new()
            .read(self.read || !self.write)
            .write(self.write)
            .custom_flags(self.more_flags())
            .open(path)
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
pub(crate) fn is_refused(error: &io::Error) -> bool {
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
