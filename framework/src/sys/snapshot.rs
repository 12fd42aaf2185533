//! [`take`]: the registers and the stack of another thread, taken in a signal handler on it.
//!
//! What must hold: the handler only reads its own thread's registers and live stack, writes to a
//! static of atomics and makes one system call: it takes no lock and allocates nothing, so it may
//! interrupt anything. It reads nothing beyond the end of the stack that the thread has told when
//! it was [armed](arm); on a thread that was not, it does nothing. One snapshot is taken at a time.
//! What the stack means is found out by the thread that asked (`frames`).
#![expect(
    unsafe_code,
    reason = "signals and threads have no safe binding in std"
)]

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::signal::{self, free_for_programs};

/// Words of the stack that are kept: 128 KiB.
const WORDS_MAX: usize = 16 * 1024;
/// Which of the signals that are free for programs is used, counted from `SIGRTMIN`.
const SIGNAL: i32 = 7;
/// How long the other thread may take to answer.
const PATIENCE: Duration = Duration::from_millis(50);

/// Nobody wants a snapshot. Any other number but the next two is the thread it is wanted of.
const IDLE: u32 = 0;
/// The handler writes.
const WRITING: u32 = 1;
/// It has written. No thread has this number or the last: they are the kernel's own.
const WRITTEN: u32 = 2;

static STATE: AtomicU32 = AtomicU32::new(IDLE);
static REGISTERS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
static STACK: [AtomicU64; WORDS_MAX] = [const { AtomicU64::new(0) }; WORDS_MAX];
static STACK_LEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The number of an armed thread and the address at which its stack ends.
    static ARMED: Cell<(u32, usize)> = const { Cell::new((IDLE, 0)) };
}

/// The registers of a thread and what lay on its stack.
pub(crate) struct Snapshot {
    pub(crate) registers: Registers,
    stack: Vec<u64>,
}

/// What unwinding begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Registers {
    pub(crate) instruction: u64,
    pub(crate) stack: u64,
    pub(crate) frame: u64,
    /// Where the function returns to, on CPUs that have a register for it.
    pub(crate) link: u64,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Snapshot")
            .field("registers", &self.registers)
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    /// The word at an address, if it was kept.
    pub(crate) fn word(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.registers.stack)?;
        let place = usize::try_from(offset / 8).ok()?;
        (offset % 8 == 0).then(|| self.stack.get(place).copied())?
    }
}

/// The kernel's number of the calling thread.
pub(crate) fn this_thread() -> i32 {
    // SAFETY: takes no arguments.
    unsafe { libc::gettid() }
}

/// Lets snapshots of the calling thread be taken for as long as it lives. Gives back its number.
pub(crate) fn arm() -> i32 {
    let number = this_thread();
    if install()
        && let Some(end) = stack_end()
    {
        ARMED.set((number.unsigned_abs(), end));
    }
    number
}

/// Takes the snapshot of an armed thread. `None` when it does not answer: it was not armed, has
/// ended, waits for a CPU or in a system call that no signal interrupts.
pub(crate) fn take(number: i32) -> Option<Snapshot> {
    #[expect(
        clippy::disallowed_methods,
        reason = "those who ask meet here; shards never do"
    )]
    static ASKING: Mutex<()> = Mutex::new(());
    let _one = ASKING.lock().ok()?;
    let wanted = number.unsigned_abs();
    STATE.store(wanted, Ordering::Release);
    // SAFETY: takes no pointers; the handler is installed if any thread is armed, and the default
    // action of the signal is asked for of no other.
    let sent = install() && unsafe { libc::tgkill(libc::getpid(), number, signal()) } == 0;
    if sent {
        wait_while(wanted, Some(PATIENCE));
    }
    let took_back = STATE
        .compare_exchange(wanted, IDLE, Ordering::AcqRel, Ordering::Acquire)
        .is_ok();
    if took_back {
        return None;
    }
    // It has begun, and will end: it waits for nothing but its CPU.
    wait_while(WRITING, None);
    let snapshot = read();
    STATE.store(IDLE, Ordering::Release);
    Some(snapshot)
}

fn read() -> Snapshot {
    let len = STACK_LEN.load(Ordering::Acquire);
    let [instruction, stack, frame, link] =
        [0, 1, 2, 3].map(|place: usize| REGISTERS[place].load(Ordering::Relaxed));
    let words = STACK[..len].iter().map(|word| word.load(Ordering::Relaxed));
    Snapshot {
        registers: Registers {
            instruction,
            stack,
            frame,
            link,
        },
        stack: words.collect(),
    }
}

/// Sleeps until the state is another one, or not any longer than `timeout`.
fn wait_while(state: u32, timeout: Option<Duration>) {
    let nanoseconds = timeout.map_or(0, |timeout| timeout.subsec_nanos());
    let seconds = timeout.map_or(0, |timeout| timeout.as_secs());
    let wait = libc::timespec {
        tv_sec: libc::time_t::try_from(seconds).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(nanoseconds.cast_signed()),
    };
    let wait = timeout.map_or(std::ptr::null(), |_| &raw const wait);
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    while STATE.load(Ordering::Acquire) == state {
        // SAFETY: the futex is a static, the timeout null or a live local.
        let woken =
            unsafe { libc::syscall(libc::SYS_futex, STATE.as_ptr(), operation, state, wait) };
        if woken != 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ETIMEDOUT) {
            return;
        }
    }
}

/// Runs on the thread that the snapshot is of, wherever that was interrupted.
extern "C" fn on_signal(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let (number, end) = ARMED.get();
    let begun = number > WRITTEN
        && STATE
            .compare_exchange(number, WRITING, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
    if !begun {
        return;
    }
    // SAFETY: the kernel hands a signal handler of three arguments the thread's context.
    let registers = registers(unsafe { &*context.cast::<libc::ucontext_t>() });
    let Registers {
        instruction,
        stack,
        frame,
        link,
    } = registers;
    for (place, value) in REGISTERS.iter().zip([instruction, stack, frame, link]) {
        place.store(value, Ordering::Relaxed);
    }
    let start = usize::try_from(stack).unwrap_or(usize::MAX);
    let len = (end.saturating_sub(start) / 8).min(WORDS_MAX);
    for (place, word) in STACK[..len].iter().enumerate() {
        let address = std::ptr::with_exposed_provenance::<u64>(start + place * 8);
        // SAFETY: between the thread's own stack pointer and the end of its stack, where memory is
        // mapped and nobody writes while the thread is in this handler. The ABI aligns both.
        word.store(unsafe { address.read_volatile() }, Ordering::Relaxed);
    }
    STACK_LEN.store(len, Ordering::Release);
    STATE.store(WRITTEN, Ordering::Release);
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the futex is a static. With someone to wake or without it, it does not fail, so
    // `errno` of the thread stays as it was.
    unsafe { libc::syscall(libc::SYS_futex, STATE.as_ptr(), operation, 1) };
}

std::cfg_select! {
    target_arch = "x86_64" => {
        fn registers(context: &libc::ucontext_t) -> Registers {
            let register = |number: libc::c_int| {
                let place = usize::try_from(number).unwrap_or(usize::MAX);
                context.uc_mcontext.gregs.get(place).map_or(0, |value| value.cast_unsigned())
            };
            Registers {
                instruction: register(libc::REG_RIP),
                stack: register(libc::REG_RSP),
                frame: register(libc::REG_RBP),
                link: 0,
            }
        }
    }
    target_arch = "aarch64" => {
        fn registers(context: &libc::ucontext_t) -> Registers {
            let machine = &context.uc_mcontext;
            Registers {
                instruction: machine.pc,
                stack: machine.sp,
                frame: machine.regs[29],
                link: machine.regs[30],
            }
        }
    }
    _ => {
        /// Of other CPUs we know no registers: a snapshot of no stack.
        fn registers(_: &libc::ucontext_t) -> Registers {
            Registers {
                stack: u64::MAX,
                ..Registers::default()
            }
        }
    }
}

fn signal() -> libc::c_int {
    free_for_programs(SIGNAL)
}

/// Installs the handler, once, unless the signal is somebody's already. Tells whether it is there.
fn install() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| signal::install(signal(), on_signal))
}

/// Where the calling thread's stack ends, at its high end.
fn stack_end() -> Option<usize> {
    // SAFETY: all zeros are a valid place for the attributes, which are destroyed if they were
    // made; everything is a live local.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes) != 0 {
            return None;
        }
        let (mut start, mut len) = (std::ptr::null_mut(), 0);
        let read = libc::pthread_attr_getstack(&raw const attributes, &raw mut start, &raw mut len);
        libc::pthread_attr_destroy(&raw mut attributes);
        (read == 0).then(|| start.addr() + len)
    }
}
