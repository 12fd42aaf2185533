//! [`frames`]: the functions that a [`Snapshot`] was taken in, innermost first.
//!
//! What must hold: only copies are read, so a stack that makes no sense ends the walk and nothing
//! else. The tables that tell callers from callees are read from the files of what is loaded, anew
//! each time: who asks does so rarely and is in no hurry.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;

use framehop::{ExplicitModuleSectionInfo, FrameAddress, Module, Unwinder, aarch64, x86_64};
use object::{Object, ObjectSection};

use super::snapshot::{Registers, Snapshot};

/// Frames of one snapshot at most.
const FRAMES_MAX: usize = 64;

/// Names the functions in a snapshot, each with its place in the source if the program has that.
pub(crate) fn frames(snapshot: &Snapshot) -> Vec<String> {
    let (modules, mut frames) = (modules(), Vec::new());
    for address in addresses(snapshot, modules) {
        backtrace::resolve(std::ptr::without_provenance_mut(address), |symbol| {
            let name = symbol
                .name()
                .map_or("?".to_owned(), |name| format!("{name:#}"));
            let file = symbol.filename().zip(symbol.lineno());
            let place = file.map(|(file, line)| format!(" at {}:{line}", file.display()));
            frames.push(name + &place.unwrap_or_default());
        });
    }
    frames
}

/// Something that is loaded: where, and what its file holds of it.
struct Loaded {
    name: String,
    range: Range<u64>,
    base: u64,
    sections: ExplicitModuleSectionInfo<Vec<u8>>,
}

/// The addresses that were being executed, from the inside out.
fn addresses(snapshot: &Snapshot, loaded: Vec<Loaded>) -> Vec<usize> {
    let Registers {
        instruction,
        stack,
        frame,
        link,
    } = snapshot.registers;
    if cfg!(target_arch = "aarch64") {
        let start = aarch64::UnwindRegsAarch64::new(link, stack, frame);
        let unwinder = aarch64::UnwinderAarch64::<Vec<u8>>::new();
        let cache = aarch64::CacheAarch64::<_>::new();
        walk(unwinder, cache, start, instruction, snapshot, loaded)
    } else {
        let start = x86_64::UnwindRegsX86_64::new(instruction, stack, frame);
        let unwinder = x86_64::UnwinderX86_64::<Vec<u8>>::new();
        let cache = x86_64::CacheX86_64::<_>::new();
        walk(unwinder, cache, start, instruction, snapshot, loaded)
    }
}

fn walk<U: Unwinder<Module = Module<Vec<u8>>>>(
    mut unwinder: U,
    mut cache: U::Cache,
    start: U::UnwindRegs,
    instruction: u64,
    snapshot: &Snapshot,
    loaded: Vec<Loaded>,
) -> Vec<usize> {
    for it in loaded {
        unwinder.add_module(Module::new(it.name, it.range, it.base, it.sections));
    }
    let mut read = |address| snapshot.word(address).ok_or(());
    let mut frames = unwinder.iter_frames(instruction, start, &mut cache, &mut read);
    let mut addresses = Vec::new();
    while addresses.len() < FRAMES_MAX
        && let Ok(Some(frame)) = frames.next()
    {
        let address = match frame {
            FrameAddress::InstructionPointer(address) => address,
            // Inside of the call, not behind it.
            FrameAddress::ReturnAddress(address) => u64::from(address) - 1,
        };
        addresses.extend(usize::try_from(address));
    }
    addresses
}

/// What is loaded into this process.
fn modules() -> Vec<Loaded> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut files: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (start, end, path) in maps.lines().filter_map(mapping) {
        let file = files.entry(path).or_insert((start, end));
        file.1 = file.1.max(end);
    }
    let loaded = files
        .into_iter()
        .map(|(path, (start, end))| load(path, start..end));
    loaded.flatten().collect()
}

/// Start, end and file of a line of `/proc/PID/maps`.
fn mapping(line: &str) -> Option<(u64, u64, &str)> {
    let path = &line[line.find('/')?..];
    let (start, rest) = line.split_once('-')?;
    let (end, _) = rest.split_once(' ')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(start)?, number(end)?, path))
}

fn load(path: &str, range: Range<u64>) -> Option<Loaded> {
    let bytes = fs::read(path).ok()?;
    let file = object::File::parse(&*bytes).ok()?;
    let section = |name| {
        let section = file.section_by_name(name)?;
        let range = section.address()..section.address() + section.size();
        Some((range, section.data().ok()?.to_vec()))
    };
    let (frame_range, frame) = section(".eh_frame")?;
    let (header_range, header) = section(".eh_frame_hdr").unzip();
    let text = file.section_by_name(".text");
    let fixed = file.kind() == object::ObjectKind::Executable;
    Some(Loaded {
        name: path.to_owned(),
        // What cannot be moved says its addresses itself.
        base: if fixed { 0 } else { range.start },
        range,
        sections: ExplicitModuleSectionInfo {
            base_svma: 0,
            text_svma: text.map(|text| text.address()..text.address() + text.size()),
            eh_frame_svma: Some(frame_range),
            eh_frame: Some(frame),
            eh_frame_hdr_svma: header_range,
            eh_frame_hdr: header,
            ..ExplicitModuleSectionInfo::default()
        },
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::super::snapshot::{arm, take, this_thread};
    use super::*;

    #[inline(never)]
    fn the_function_that_spins(over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_thread_that_spins_is_found_in_the_function_that_does_and_in_its_callers() {
        static OVER: AtomicBool = AtomicBool::new(false);
        let (tell, told) = mpsc::channel();
        let spins = thread::spawn(move || {
            tell.send(arm()).unwrap();
            the_function_that_spins(&OVER);
        });
        let number = told.recv().unwrap();
        // It may still be on its way there, or wait for a CPU.
        let found = (0..1000).find_map(|_| {
            let frames = frames(&take(number)?);
            let place = |part: &str| frames.iter().position(|frame| frame.contains(part));
            let (inner, outer) = (place("the_function_that_spins")?, place("thread_start")?);
            (inner < outer).then_some(frames)
        });
        OVER.store(true, Ordering::Relaxed);
        spins.join().unwrap();
        assert!(found.is_some(), "it spins until it is found");
    }

    #[test]
    fn a_thread_that_was_not_armed_is_not_found_and_not_harmed() {
        let (tell, told) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let waits = thread::spawn(move || {
            tell.send(this_thread()).unwrap();
            ended.recv().unwrap_err();
        });
        // Another thread installs the handler.
        thread::spawn(arm).join().unwrap();
        assert!(take(told.recv().unwrap()).is_none());
        drop(end);
        waits.join().unwrap();
    }

    #[test]
    fn lines_of_the_memory_map_are_taken_apart() {
        let line = "7f00aa-7f00bb r-xp 00001000 08:01 17    /usr/lib/libc.so.6";
        assert_eq!(
            mapping(line),
            Some((0x7f_00aa, 0x7f_00bb, "/usr/lib/libc.so.6"))
        );
        assert_eq!(
            mapping("7f00aa-7f00bb rw-p 00000000 00:00 0    [stack]"),
            None
        );
    }
}
