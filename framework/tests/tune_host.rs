//! `scripts/tune-host.sh`: says what it would change and changes nothing, unless told to.
#![expect(clippy::unwrap_used, reason = "a test may fail by unwrapping")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/tune-host.sh");

/// A directory with what the script reads of a machine; removed when dropped.
struct Machine(PathBuf);

impl Machine {
    /// One of four CPUs whose only interface has one queue.
    fn new(name: &str) -> Machine {
        let root = std::env::temp_dir().join(format!("sunstar-tune-{name}-{}", std::process::id()));
        let machine = Machine(root);
        for (file, text) in [
            ("sys/devices/system/cpu/online", "0-3"),
            (
                "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor",
                "powersave",
            ),
            (
                "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor",
                "performance",
            ),
            (
                "sys/kernel/mm/transparent_hugepage/enabled",
                "[always] madvise never",
            ),
            ("proc/sys/net/core/somaxconn", "128"),
            ("proc/sys/net/ipv4/tcp_max_syn_backlog", "8192"),
            ("proc/sys/vm/swappiness", "0"),
            ("proc/sys/vm/nr_hugepages", "0"),
            ("proc/irq/40/smp_affinity_list", "0-3"),
            ("sys/class/net/eth0/operstate", "up"),
            ("sys/class/net/eth0/device/msi_irqs/40", "msix"),
            ("sys/class/net/eth0/queues/rx-0/rps_cpus", "0"),
            ("sys/class/net/eth0/queues/tx-0/xps_cpus", "f"),
            ("sys/class/net/lo/operstate", "unknown"),
        ] {
            let path = machine.0.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
        machine
    }

    /// What its files hold.
    fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        self.collect(&self.0, &mut files);
        files
    }

    fn collect(&self, directory: &Path, files: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.collect(&path, files);
            } else {
                let name = path
                    .strip_prefix(&self.0)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                files.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }

    /// What the script says of it.
    fn tune(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(SCRIPT);
        let output = command
            .args(arguments)
            .env("TUNE_HOST_ROOT", &self.0)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && error.is_empty(), "{error}");
        String::from_utf8(output.stdout)
            .unwrap()
            .replace(self.0.to_str().unwrap(), "")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn without_apply_it_says_what_it_would_change_and_changes_nothing() {
    let machine = Machine::new("dry");
    let before = machine.files();
    let said = machine.tune(&["--cpus", "2-3", "--huge-pages", "64"]);
    assert_eq!(machine.files(), before);
    for line in [
        "would set /proc/sys/net/core/somaxconn from 128 to 4096",
        "ok        /proc/sys/net/ipv4/tcp_max_syn_backlog is 8192",
        "would set /sys/kernel/mm/transparent_hugepage/enabled from always to madvise",
        "ok        /proc/sys/vm/swappiness is 0",
        "would set /proc/sys/vm/nr_hugepages from 0 to 64",
        "would set /sys/devices/system/cpu/cpu2/cpufreq/scaling_governor \
         from powersave to performance",
        "ok        /sys/devices/system/cpu/cpu3/cpufreq/scaling_governor is performance",
        "would set /proc/irq/40/smp_affinity_list from 0-3 to 0",
        "would set /sys/class/net/eth0/queues/rx-0/rps_cpus from 0 to c",
        "would set /sys/class/net/eth0/queues/tx-0/xps_cpus from f to 4",
        "hint      boot with isolcpus=2,3 nohz_full=2,3 rcu_nocbs=2,3",
        "7 settings differ; nothing was changed (--apply does)",
    ] {
        assert!(
            said.lines().any(|other| other == line),
            "{line} is missing in\n{said}"
        );
    }
    let reasons = said.lines().filter(|line| line.contains("  because "));
    assert!(reasons.count() >= 7, "{said}");
}

#[test]
fn with_apply_it_changes_that_and_is_content_afterwards() {
    let machine = Machine::new("apply");
    let said = machine.tune(&["--apply", "--cpus", "2-3"]);
    assert!(
        said.ends_with("6 settings differed, 6 were changed, until the next boot\n"),
        "{said}"
    );
    let files = machine.files();
    assert_eq!(files["proc/sys/net/core/somaxconn"], "4096\n");
    assert_eq!(
        files["proc/sys/vm/nr_hugepages"], "0\n",
        "nobody asked for huge pages"
    );
    let said = machine.tune(&["--cpus", "2-3"]);
    assert!(
        said.ends_with("\n0 settings differ; nothing was changed (--apply does)\n"),
        "{said}"
    );
}

#[test]
fn it_needs_no_privilege_to_look_at_this_machine() {
    let run = |program: &str, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .output()
            .ok()
            .filter(|it| it.status.success())
    };
    let nobody = [
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "bash",
        "-s",
    ];
    // As nobody if we may choose, else as whoever we are; by its text, since the checkout may be
    // closed to others.
    let output = if run("setpriv", &[&nobody[..5], &["true"]].concat()).is_some() {
        let script = fs::File::open(SCRIPT).unwrap();
        let mut command = Command::new("setpriv");
        command.args(nobody).stdin(script).output().unwrap()
    } else {
        Command::new(SCRIPT).output().unwrap()
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.ends_with("settings differ; nothing was changed (--apply does)\n"),
        "{said}"
    );
}

#[test]
fn what_it_does_not_know_it_refuses() {
    for arguments in [
        &["--aply"][..],
        &["--cpus", "two"],
        &["--port-backlog", "-1"],
        &["--nic", "no"],
    ] {
        let output = Command::new(SCRIPT).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn shellcheck_has_nothing_to_say() {
    match Command::new("shellcheck").arg(SCRIPT).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{said}");
        }
        Err(_) => eprintln!("not asked: there is no shellcheck"),
    }
}
