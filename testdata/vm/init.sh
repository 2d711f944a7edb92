#!/bin/sh
# The first process of the virtual machine: loads the drivers of its root, lays a
# tmpfs over the host's root, and goes there. See run.sh.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do
	insmod "/modules/$module" || echo "<3>vm: no $module" >/dev/kmsg
done </modules/order
options=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o $options,cache=loose,ro host /host
mount -t tmpfs -o size=75% tmpfs /overlay
mkdir /overlay/upper /overlay/work
mount -t overlay -o lowerdir=/host,upperdir=/overlay/upper,workdir=/overlay/work overlay /root
mkdir -p /root/.run /root/vmout
mount -t 9p -o $options,cache=none run /root/.run
mount -t 9p -o $options,cache=none out /root/vmout
for tree in proc sys dev; do mount --move /$tree /root/$tree; done
. /root/.run/settings
if [ "$systemd" = 1 ]; then
	for unit in /root/.run/fobd-vm.*; do cat "$unit" >"/root/etc/systemd/system/${unit##*/}"; done
	# Where this root is that of a container, systemd would take the machine for one.
	busybox rm -f /root/.dockerenv /root/run/.containerenv
	exec switch_root /root /lib/systemd/systemd --unit=fobd-vm.target
fi
exec switch_root /root /bin/bash /.run/stage2.sh
