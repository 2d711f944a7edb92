package sandbox

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// call is a system call with what its arguments must be.
type call = seccomp.NameWithConditions

// calls are those that a process makes.
type calls struct {
	names []string
	with  []call
	// absent are answered with ENOSYS, so that their callers do without.
	absent []string
}

// What the Go runtime does: memory, threads, time, polling. The calls of other architectures and of
// older kernels stand beside the newer ones.
var runtimeCalls = []string{
	"brk", "mmap", "munmap", "mremap", "madvise", "mincore", "mlock", "munlock", "mprotect",
	"futex", "futex_time64", "get_robust_list", "set_robust_list", "rseq", "sched_yield", "sched_getaffinity", "membarrier", "gettid", "getpid", "getppid",
	"set_tid_address", "exit", "exit_group", "restart_syscall",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
	"nanosleep", "clock_nanosleep", "clock_nanosleep_time64", "clock_gettime", "clock_gettime64", "clock_getres", "gettimeofday", "time",
	"setitimer", "timer_create", "timer_settime", "timer_delete", "getrandom", "uname", "sysinfo", "getrusage", "getrlimit", "ugetrlimit",
	"read", "pread64", "write", "close", "fcntl", "fcntl64", "fstat", "fstat64", "newfstatat", "fstatat64", "stat", "lstat", "statx", "lseek", "_llseek",
	"readlinkat", "readlink", "getdents64", "faccessat", "faccessat2", "access", "getcwd", "statfs", "fstatfs",
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "pipe2",
	"poll", "ppoll", "ppoll_time64", "pselect6", "select",
	"getuid", "geteuid", "getgid", "getegid", "getgroups", "getuid32", "geteuid32", "getgid32", "getegid32",
	"recvmsg", "recvfrom", "sendmsg", "sendto", "shutdown", "getsockname", "getpeername", "getsockopt",
}

// What the daemon does besides.
var daemonOnly = []string{
	"readv", "writev", "pwrite64", "preadv", "pwritev", "open", "openat", "openat2", "flock", "fsync", "fdatasync", "ftruncate", "ftruncate64", "fallocate",
	"ioctl", "dup", "dup2", "dup3", "umask", "sendfile", "sendfile64", "splice", "copy_file_range",
	"unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "linkat",
	"chmod", "fchmod", "fchmodat", "fchmodat2", "utimensat",
	"bind", "listen", "accept", "accept4", "connect", "setsockopt", "recvmmsg", "sendmmsg",
	"pidfd_open", "wait4", "waitid", "memfd_create",
}

func readerCalls() calls {
	reading := call{Name: "openat", Conditions: seccomp.ArgumentConditions{
		{Argument: 2, Operation: seccomp.BitsNotSet, Value: unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC},
	}}
	return calls{names: runtimeCalls, with: append(threads(), reading), absent: []string{"clone3"}}
}

func daemonCalls() calls {
	with := threads()
	for _, family := range []uint64{unix.AF_UNIX, unix.AF_NETLINK} {
		for _, name := range []string{"socket", "socketpair"} {
			with = append(with, call{Name: name, Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.Equal, Value: family}}})
		}
	}
	return calls{names: slices.Concat(runtimeCalls, daemonOnly), with: with, absent: []string{"clone3"}}
}

// threads lets a process make threads, and not others, and signal itself, and not others.
func threads() []call {
	pid := uint64(os.Getpid())
	return []call{
		{Name: "clone", Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.BitsSet, Value: unix.CLONE_THREAD}}},
		{Name: "tgkill", Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.Equal, Value: pid}}},
	}
}

// filter installs a filter for all threads. Other calls fail with EPERM.
func filter(c calls) (bool, error) {
	if !seccomp.Supported() {
		return false, nil
	}
	policy, err := c.policy()
	if errors.Is(err, errUnknownArch) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: policy}); err != nil {
		return false, fmt.Errorf("sandbox: %w", err)
	}
	return true, nil
}

// policy leaves out what this architecture does not have.
func (c calls) policy() (seccomp.Policy, error) {
	info, err := arch.GetInfo("")
	if err != nil || len(info.SyscallNames) == 0 {
		return seccomp.Policy{}, errUnknownArch
	}
	has := func(name string) bool { _, ok := info.SyscallNames[name]; return ok }
	known := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !has(name) })
	}
	p := seccomp.Policy{DefaultAction: seccomp.ActionErrno, Syscalls: []seccomp.SyscallGroup{{
		Action: seccomp.ActionAllow, Names: known(c.names),
		NamesWithCondtions: slices.DeleteFunc(slices.Clone(c.with), func(n call) bool { return !has(n.Name) }),
	}}}
	if absent := known(c.absent); len(absent) > 0 {
		p.Syscalls = append(p.Syscalls, seccomp.SyscallGroup{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: absent})
	}
	return p, nil
}
