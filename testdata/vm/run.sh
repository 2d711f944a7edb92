#!/bin/bash
# Runs a command as root in a virtual machine that has /dev/uhid, hidraw and vhci_hcd.
#
#	run.sh [-u | -i] [-m MB] [-t SECONDS] [-o DIR] COMMAND
#
# The machine is QEMU without KVM, booting the distribution's own kernel package. Its
# root is this machine's root, read-only over 9p, under a tmpfs: what is installed or
# built here runs there at the same path, and what it writes there is lost, except
# below $VMOUT (the folder given with -o). COMMAND is for bash; its output streams and
# exit status come back. 124 says that the time limit passed, 125 that the machine did
# not start or died; its console is then on stderr.
#
#	-u  start systemd-udevd, with the rules of the project in /run/udev/rules.d
#	-i  systemd is the init, with udevd, journald and the system's bus; COMMAND is one of its services
#	-m  memory in MB (1024)    -t  time limit in seconds (300)
#
# The kernel (71 MB) is fetched once, by apt, into $FOBD_VM_CACHE (~/.cache/fobd/vm).
set -u
cache=${FOBD_VM_CACHE:-$HOME/.cache/fobd/vm}
project=$(cd "$(dirname "$0")/../.." && pwd)
udev=0 systemd=0 memory=1024 limit=300 out=
usage() { sed -n '2,19s/^# \{0,1\}//p' "$0" >&2; exit 2; }
while getopts uim:t:o: opt; do
	case $opt in
	u) udev=1 ;; i) systemd=1 ;; m) memory=$OPTARG ;; t) limit=$OPTARG ;; o) out=$(readlink -f "$OPTARG") ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ $# = 1 ] || usage

# The modules that the machine loads before it can see its root, then ours.
modules='virtio_mmio 9pnet_virtio 9p overlay virtio_console uhid hid-generic usbhid vhci-hcd'

# fetch_kernel unpacks the newest kernel package and makes an initramfs for it.
fetch_kernel() (
	set -e
	mkdir -p "$cache"
	cd "$cache"
	package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-/ {print $2; exit}')
	release=${package#linux-image-}
	apt-get -qq -o APT::Sandbox::User=root download "$package" >&2
	rm -rf kernel initramfs && mkdir -p kernel initramfs/{bin,modules,proc,sys,dev,host,overlay,root}
	dpkg -x "$package"_*.deb kernel && rm "$package"_*.deb
	depmod -b "$cache/kernel" "$release"
	python3 "$project/testdata/vm/vmlinux.py" "kernel/boot/vmlinuz-$release" vmlinux
	cp "$(command -v busybox)" initramfs/bin/busybox
	for applet in sh mount insmod mkdir switch_root cat; do ln -s busybox initramfs/bin/$applet; done
	for module in $modules; do
		modprobe -d "$cache/kernel" -S "$release" --show-depends "$module" | awk '/^insmod/ {print $2}'
	done | awk '!seen[$0]++' | while read -r file; do
		cp "$file" initramfs/modules/
		basename "$file" >>initramfs/modules/order
	done
	install -m 755 "$project/testdata/vm/init.sh" initramfs/init
	(cd initramfs && find . | cpio -o -H newc --quiet) >initramfs.cpio
	sha256sum "$project"/testdata/vm/{init.sh,run.sh,vmlinux.py} | sha256sum >made-by
	echo "$release" >release # last: it says that all the rest is there
)
made=$(sha256sum "$project"/testdata/vm/{init.sh,run.sh,vmlinux.py} | sha256sum)
if [ ! -s "$cache/release" ] || [ "$(cat "$cache/made-by" 2>/dev/null)" != "$made" ]; then
	rm -f "$cache/release"
	fetch_kernel || { echo "run.sh: no kernel for the virtual machine" >&2; exit 125; }
fi

run=$(mktemp -d "$cache/run.XXXXXX")
trap 'rm -rf "$run"' EXIT
[ -n "$out" ] || { out=$run/out; mkdir "$out"; }
printf '%s\n' "$1" >"$run/command"
cp "$project"/testdata/vm/{stage2.sh,fobd-vm.*} "$run/"
printf 'release=%q kernel=%q udev=%q systemd=%q project=%q directory=%q\n' \
	"$(cat "$cache/release")" "$cache/kernel" "$udev" "$systemd" "$project" "$PWD" >"$run/settings"

share() { echo "-fsdev local,id=$1,path=$2,security_model=none,multidevs=remap$3 -device virtio-9p-device,fsdev=$1,mount_tag=$1"; }
# The clock frequency spares the microvm machine a calibration that hangs now and then.
khz=$(awk -F: '/cpu MHz/ {printf "%d", $2 * 1000; exit}' /proc/cpuinfo)
# shellcheck disable=SC2046 # share prints words
timeout -k 3 "$limit" qemu-system-x86_64 -M microvm -accel tcg,thread=multi -cpu max,la57=off -smp 2 -m "$memory" \
	-nodefaults -nographic -no-reboot -kernel "$cache/vmlinux" -initrd "$cache/initramfs.cpio" \
	-append "console=ttyS0 quiet reboot=t panic=-1 mitigations=off nokaslr no5lvl init_on_alloc=0 apparmor=0 audit=0 cryptomgr.notests random.trust_cpu=on tsc_early_khz=$khz" \
	-serial "file:$run/console" \
	$(share host / ,readonly=on) $(share run "$run" '') $(share out "$out" '') \
	-device virtio-serial-device \
	-add-fd fd=3,set=1 -chardev file,id=stdout,path=/dev/fdset/1,append=on -device virtserialport,chardev=stdout \
	-add-fd fd=4,set=2 -chardev file,id=stderr,path=/dev/fdset/2,append=on -device virtserialport,chardev=stderr \
	</dev/null 3>&1 4>&2 1>"$run/qemu.log" 2>&1
status=$?
if [ -s "$run/status" ]; then
	exit "$(cat "$run/status")"
fi
[ $status = 124 ] || status=125
echo "run.sh: the virtual machine did not finish ($status)" >&2
tail -n 25 "$run/console" "$run/qemu.log" >&2
exit $status
