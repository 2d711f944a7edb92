#!/bin/bash
# make test-vm: builds everything on the host, then runs the tests of this folder in
# the virtual machine. What is missing is named; in CI (CI=true) that is a failure.
set -eu
cd "$(dirname "$0")/../.."
missing=
for tool in qemu-system-x86_64 busybox cpio xz python3 depmod fido2-token fido2-cred ssh-keygen udevadm gcc sshd pamu2fcfg pamtester cryptsetup systemd-cryptenroll usbip chromium ykman ykchalresp; do
	PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || missing="$missing $tool"
done
/usr/bin/python3 -c 'import fido2' 2>/dev/null || missing="$missing python3-fido2"
[ -x /lib/systemd/systemd-udevd ] || missing="$missing systemd-udevd"
if [ -n "$missing" ] || [ "$(id -u)" != 0 ]; then
	[ "$(id -u)" = 0 ] || missing="$missing root"
	echo "test-vm: SKIPPED the virtual machine and all its tests; missing:$missing" >&2
	[ "${CI:-}" != true ] || exit 1
	exit 0
fi
export PATH=$PATH:/usr/sbin:/sbin

work=$(mktemp -d "${TMPDIR:-/var/tmp}/fobd-vm.XXXXXX")
trap 'rm -rf "$work"' EXIT
make -s build preload BIN="$work/bin"
# The build with karalabe/hid, for usbip_test.go.
CGO_ENABLED=1 go build -tags libusb -o "$work/bin/fobd-libusb" ./cmd/fobd
for test in testdata/vm hid/uhid hid; do
	CGO_ENABLED=0 go test -c -tags vm -o "$work/${test//\//-}.test" "./$test"
done
for package in fido2-tools python3-fido2 openssh-client openssh-server libpam-u2f pamu2fcfg pamtester cryptsetup-bin chromium usbip systemd udev yubikey-manager yubikey-personalization; do
	dpkg-query -W -f '${Package} ${Version}\n' "$package" 2>/dev/null || true
done
status=0
# -m: a browser is among the judges. -u: with udevd, as on a desktop, so that hot-plug comes through the udev group.
testdata/vm/run.sh -m 3072 -u -t "${VM_LIMIT:-900}" "
	export FOBD_BIN='$work/bin' FOBD_VM_TESTS='$PWD/testdata/vm' PATH='$work/bin':\$PATH
	status=0
	(cd hid && '$work/hid.test' -test.short -test.timeout 120s) || status=1
	(cd hid/uhid && '$work/hid-uhid.test' -test.v -test.timeout 120s -test.run TestKernel) || status=1
	cd /root && '$work/testdata-vm.test' -test.v -test.timeout ${VM_LIMIT:-900}s ${VM_ARGS:-} || status=1
	exit \$status" || status=1

# The package, where systemd is the init.
make -s package BIN="$work/bin"
testdata/vm/run.sh -m 2048 -i -t "${VM_LIMIT:-900}" "
	export FOBD_DEB=\$(echo '$work'/bin/package/*.deb) FOBD_BIN='$work/bin'
	cd /root && '$work/testdata-vm.test' -test.v -test.timeout ${VM_LIMIT:-900}s -test.run '^TestPackage$'" || status=1
exit $status
