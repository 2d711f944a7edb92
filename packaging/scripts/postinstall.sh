#!/bin/sh
# After the files are there. dpkg says "configure" and, on an upgrade, the version from before;
# rpm says how many versions there are now.
set -e
case $1 in
configure) fresh=$([ -z "${2-}" ] && echo yes || echo no) ;;
1) fresh=yes ;;
2) fresh=no ;;
*) exit 0 ;;
esac

# Its user, and the group that may use keys without a seat.
systemd-sysusers fobd.conf

# The udev rule, for keys that are in already.
if [ -S /run/udev/control ]; then
	udevadm control --reload || true
	udevadm trigger --subsystem-match=hidraw --subsystem-match=misc || true
fi

if [ $fresh = yes ]; then
	systemctl --no-reload enable fobd.socket >/dev/null 2>&1 || true
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	# The bus learns of its new rules and services.
	systemctl reload dbus.service >/dev/null 2>&1 || true
	systemctl start fobd.socket || true
	systemctl try-restart fobd.service || true
fi
