//! 5,000 orphans where there is room for 64 processes.

use super::engine::{Container, Engine, Image};
use crate::support::{measured, skip};

/// Makes the orphans as fast as it can. The cgroup counts each time that the limit was hit, and the shell complains.
///
/// Whose fault is a fork that fails? An orphan that is dead holds its place until it is reaped, and no longer: the kernel
/// gives the place back in release_task() (cgroup_release() in Linux 6.18), so within wait(2). It takes PID 1 some 10 µs of
/// a processor to reap one. But on a machine with several processors PID 1 may stand in the queue for one while the
/// shell goes on on another, with 24 busy loops of other users beside two processors for 50 ms. No init reaps then. (There
/// tini, dumb-init and catatonit fail as well; and all the 60 that hold a place are dead.) How long PID 1 has
/// stood in the queue is the second number of /proc/1/schedstat, which counts when it comes to a processor.
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

/// A run proves something if PID 1 was not kept from its work.
const TRIES: usize = 10;

/// No fork fails, at full rate. Where PID 1 gets no processor for the time of many forks, another run has to show it.
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
    skip(
        "the machine is too busy: in each run PID 1 stood in the queue for a processor while the program had one",
    );
}
