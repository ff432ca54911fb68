#!/bin/sh
# Takes stan-edge off this machine. Configuration and journals stay, unless --purge is given.
#
#   sudo deploy/workstation/uninstall.sh [--purge]
#   deploy/workstation/uninstall.sh --root DIR [--purge]     what install.sh --root DIR made
set -eu

root='' purge=''
while [ $# -gt 0 ]; do
    case $1 in
    --root) root=$(cd "${2:?--root needs a folder}" && pwd); shift 2 ;;
    --purge) purge=yes; shift ;;
    *) echo "uninstall.sh: unknown: $1; see the head of this file" >&2; exit 1 ;;
    esac
done
if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then
    echo "uninstall.sh: run it with sudo" >&2
    exit 1
fi
if [ -z "$root" ] && [ -d /run/systemd/system ]; then
    systemctl stop 'stan-edge@*.service'
    for link in /etc/systemd/system/multi-user.target.wants/stan-edge@*.service; do
        [ ! -L "$link" ] || systemctl disable "${link##*/}"
    done
fi
rm -rf "$root/opt/stan-edge" "$root/var/cache/stan-edge" "$root/etc/systemd/system/stan-edge@.service"
if [ -z "$root" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
if [ -n "$purge" ]; then
    rm -rf "$root/etc/stan-edge" "$root/var/lib/stan-edge"
    if [ -z "$root" ] && getent passwd stan-edge >/dev/null; then
        userdel stan-edge
    fi
    echo "stan-edge is gone"
else
    echo "stan-edge is gone; $root/etc/stan-edge and $root/var/lib/stan-edge stay (--purge removes them)"
fi
