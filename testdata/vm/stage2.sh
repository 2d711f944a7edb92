# The second half of the virtual machine's start, in its root; runs the command and
# ends the machine. See run.sh, which writes the settings.
. /.run/settings
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/go/bin HOME=/root LANG=C.UTF-8 VMOUT=/vmout
if [ "$systemd" = 0 ]; then
	mount -t tmpfs tmpfs /run
	mkdir -p /dev/pts /dev/shm /run/lock
	mount -t devpts devpts /dev/pts
	mount -t tmpfs tmpfs /dev/shm
	for link in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do ln -sf "/proc/self/${link#*:}" "/dev/${link%:*}"; done
	ip link set lo up
fi
if [ "$udev" = 1 ]; then
	mkdir -p /run/udev/rules.d
	cp "$project/udev/70-fobd.rules" /run/udev/rules.d/
	getent group fobd >/dev/null || groupadd --system fobd
	/lib/systemd/systemd-udevd --daemon
	udevadm trigger --subsystem-match=hidraw --subsystem-match=misc
	udevadm settle --timeout=20
fi
cd "$directory" 2>/dev/null || cd /root
# The ports are named by their order on run.sh's command line.
stdout=$(ls /dev/vport*p1) stderr=$(ls /dev/vport*p2)
mkfifo /run/.stdout /run/.stderr
cat </run/.stdout >"$stdout" &
first=$!
cat </run/.stderr >"$stderr" &
second=$!
setsid -w bash /.run/command </dev/null >/run/.stdout 2>/run/.stderr
echo $? >/.run/status
if [ "$systemd" = 1 ]; then
	sync
	busybox poweroff -f
fi
# What the command left running would hold the two pipes open.
for process in /proc/[0-9]*; do
	process=${process#/proc/}
	case $process in 1 | "$first" | "$second") ;; *) kill -9 "$process" 2>/dev/null ;; esac
done
wait "$first" "$second"
sync
busybox poweroff -f
