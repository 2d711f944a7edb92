#!/bin/sh
# Before the files go: dpkg says "remove", rpm how many versions stay.
set -e
case $1 in
remove | 0) ;;
*) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
	systemctl stop fobd.socket fobd.service || true
fi
systemctl --no-reload disable fobd.socket fobd.service >/dev/null 2>&1 || true
