//! 5,000 orphans under a limit of 64 processes.

use super::engine::{Container, Engine, Image};
use crate::support::{measured, skip};

/// Makes orphans as fast as it can. The cgroup counts how often the limit was hit, and the shell complains each
/// time.
///
/// A failed fork is not always the init's fault. A dead orphan holds its place until it is reaped, and no longer:
/// the kernel gives the place back in release_task() (cgroup_release() in Linux 6.18), so within wait(2). Reaping
/// one takes PID 1 some 10 µs of processor time. But on a machine with several processors, PID 1 may be queued for
/// one while the shell runs on another: for 50 ms, with 24 busy loops of other users on two processors. No init
/// reaps during that time. (tini, dumb-init and catatonit fail there too, and all 60 that hold a place are dead.)
/// How long PID 1 has been queued is the second number of /proc/1/schedstat, which is updated when it gets a
/// processor.
const SCRIPT: &str = "d=/sys/fs/cgroup/pids; [ -d $d ] || d=/sys/fs/cgroup; i=0 excused=0
    while [ $i -lt 5000 ]; do
        [ $((i%16)) = 0 ] && read -r _ before _ </proc/1/schedstat
        i=$((i+1))
        ( : & ) && continue
        n=64; while [ $n -gt 32 ]; do read -r n <$d/pids.current; done
        read -r _ after _ </proc/1/schedstat
        [ $((after-before)) -gt 2000000 ] && excused=$((excused+1))
    done
    read -r limit <$d/pids.max; read -r _ failed <$d/pids.events; echo $limit $failed $excused";

/// A run in which PID 1 was kept from its work proves nothing, so there are several.
const TRIES: usize = 10;

/// No fork fails at full rate. If PID 1 got no processor while forks failed, another run must show it.
pub(super) fn holds(engine: Engine) {
    for _ in 0..TRIES {
        let ran = Container::new(engine, Image::Busybox).run(&["--pids-limit", "64"], &["sh", "-c", SCRIPT]);
        let numbers: Vec<&str> = ran.stdout.split_whitespace().collect();
        let ["64", failed, excused] = numbers[..] else { panic!("{ran:?}") };
        assert_eq!(failed, excused, "forks failed although PID 1 had a processor: {ran:?}");
        if failed == "0" {
            return assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
        }
        measured(&format!(
            "5000 orphans with {}: PID 1 had no processor when {failed} forks failed",
            engine.name()
        ));
    }
    skip("the machine is too busy: in every run PID 1 was queued for a processor while the program had one");
}
