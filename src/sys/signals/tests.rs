use super::*;

#[test]
fn the_kernels_set_has_eight_bytes_and_the_same_bits() {
    assert_eq!(KERNEL_SET_SIZE, 8);
    for set in [SignalSet::EMPTY, SignalSet::ALL, SignalSet::from_bits(1 << 33 | 1)] {
        assert_eq!(SignalSet::from(KernelSet::from(set)), set);
    }
}

#[test]
fn the_value_lies_where_the_c_library_puts_it() {
    let (code, errno, pid, uid, value) = (libc::SI_QUEUE, 0, 7, 8, 9);
    let queued = QueuedInfo { signal: 35, errno, code, fields: Fields { pid, uid, value } };
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: a siginfo_t is larger than a QueuedInfo and aligned alike.
    unsafe { info.as_mut_ptr().cast::<QueuedInfo>().write(queued) };
    // SAFETY: zero bytes are a siginfo_t, and a part of it is written.
    let info = unsafe { info.assume_init() };
    // SAFETY: a queued signal's siginfo_t has a sender.
    assert_eq!(unsafe { info.si_pid() }, pid);
    // SAFETY: as above.
    assert_eq!(unsafe { info.si_uid() }, uid);
    // SAFETY: it has a value.
    assert_eq!(unsafe { info.si_value() }.sival_ptr as usize, value);
    let payload = Payload { code, errno, pid, uid, value };
    let received = Received { signal: Signal::new(35).unwrap(), origin: Origin::Queued(payload) };
    assert_eq!(Received::from_siginfo(&info), Some(received));
}

#[test]
fn another_descriptor_ends_the_wait() {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    // Signals that nobody sends: other tests run in this process.
    let mut queue = SignalQueue::open(SignalSet::EMPTY.with(Signal::PWR));
    for is_without in [false, true] {
        if is_without {
            queue.descriptor = None;
        }
        let mut others = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        assert_eq!(queue.wait(Some(Duration::ZERO), &mut others), None);
        assert_eq!(others[0].any(), Some(false));
        nix::unistd::write(&writer, b"x").unwrap();
        assert_eq!(queue.wait(None, &mut others), None);
        assert_eq!(others[0].any(), Some(true));
        nix::unistd::read(&reader, &mut [0]).unwrap();
    }
}
