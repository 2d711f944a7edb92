#!/bin/sh
# After the files have gone. Only a purge (dpkg) takes what fobd has written: its state, and the audit
# log with it. Its user stays, as users of packages do: files may still be that user's.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
if [ -S /run/udev/control ]; then
	udevadm control --reload || true
fi
if [ "$1" = purge ]; then
	rm -rf /var/lib/fobd
	rmdir --ignore-fail-on-non-empty /etc/fobd/policy.d /etc/fobd 2>/dev/null || true
fi
