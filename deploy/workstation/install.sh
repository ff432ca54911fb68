#!/bin/sh
# Installs stan-edge as a service, or upgrades it; safe to repeat. Nothing that runs is touched before the new version
# has passed `doctor` and has accepted every configuration file.
#
#   sudo deploy/workstation/install.sh                  from this checkout
#   sudo deploy/workstation/install.sh --wheels DIR     without internet, from a folder of wheels
#   sudo deploy/workstation/install.sh --rollback       back to the version before
#   deploy/workstation/install.sh --root DIR            a trial below DIR: no user, no service, no root needed
#
# PYTHON=python3.12 chooses the interpreter.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root='' wheels='' rollback=''
python=${PYTHON:-python3}
engine=cpu # of the extras; OpenVINO is twice as fast where it has wheels
[ "$(uname -m)" != x86_64 ] || engine=openvino
extras=$engine,pose,mqtt,metrics
unset PYTHONPATH PYTHONHOME

die() { echo "install.sh: $*" >&2; exit 1; }
say() { echo "== $*"; }

while [ $# -gt 0 ]; do
    case $1 in
    --root) root=${2:?--root needs a folder}; shift 2 ;;
    --wheels) wheels=${2:?--wheels needs a folder}; shift 2 ;;
    --rollback) rollback=yes; shift ;;
    *) die "unknown: $1; see the head of this file" ;;
    esac
done
if [ -n "$root" ]; then
    mkdir -p "$root"
    root=$(cd "$root" && pwd)
elif [ "$(id -u)" != 0 ]; then
    die "run it with sudo, or with --root DIR for a trial"
fi
opt=$root/opt/stan-edge etc=$root/etc/stan-edge state=$root/var/lib/stan-edge units=$root/etc/systemd/system

# the service's user must be able to do it, not root
as_service() { if [ -n "$root" ]; then "$@"; else runuser -u stan-edge -- "$@"; fi; }
systemd_runs() { [ -z "$root" ] && [ -d /run/systemd/system ]; }
target() { readlink "$opt/$1" 2>/dev/null || true; }
point() { ln -sfn "$2" "$opt/.$1" && mv -T "$opt/.$1" "$opt/$1"; } # at once: a service that starts now finds one

restart() {
    systemd_runs || return 0
    systemctl daemon-reload
    systemctl try-restart 'stan-edge@*.service' # waits until each says that it is ready
}

switch() { # to this environment; back again when a service does not come up with it
    old=$(target current)
    point current "$1"
    if restart; then
        [ -z "$old" ] || point previous "$old"
        return
    fi
    [ -n "$old" ] || die "the service does not start; see: journalctl -u 'stan-edge@*'"
    point current "$old"
    restart || true
    die "the service does not start with $1 and was put back to $old; see: journalctl -u 'stan-edge@*'"
}

if [ -n "$rollback" ]; then
    before=$(target previous)
    [ -n "$before" ] || die "there is no version before this one"
    switch "$before"
    say "back to $before"
    exit 0
fi

"$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' ||
    die "$python is not Python 3.10, 3.11 or 3.12; name one with PYTHON=..."
if [ -z "$root" ]; then
    getent passwd stan-edge >/dev/null ||
        useradd --system --user-group --no-create-home --home-dir /var/lib/stan-edge --shell /usr/sbin/nologin stan-edge
    owner='-o stan-edge -g stan-edge' reader='-o root -g stan-edge'
else
    owner='' reader=''
fi
# shellcheck disable=SC2086  # several words each
{
    install -d -m 755 "$opt" "$units"
    install -d -m 750 $owner "$state"
    install -d -m 750 $reader "$etc" "$etc/secrets"
}

new=venv-$(date +%Y%m%d-%H%M%S)
trap 'rm -rf "${opt:?}/$new"' EXIT
trap 'exit 1' INT TERM HUP
say "installing into $opt/$new"
"$python" -m venv "$opt/$new"
if [ -n "$wheels" ]; then
    "$opt/$new/bin/pip" install --quiet --no-index --find-links "$wheels" "stan-edge[$extras]"
else
    "$opt/$new/bin/pip" install --quiet --disable-pip-version-check "$here/../..[$extras]"
fi

say "trying it on this machine"
as_service "$opt/$new/bin/stan-edge" doctor || die "the new version does not work here; nothing was changed"

# shellcheck disable=SC2086
if ! ls "$etc"/*.toml >/dev/null 2>&1; then
    sed "s|/var/lib/|$root/var/lib/|" "$here/room.toml" >"$opt/$new/room.toml"
    install -m 640 $reader "$opt/$new/room.toml" "$etc/room.toml"
fi
for file in "$etc"/*.toml; do
    say "checking $file"
    # shellcheck disable=SC2086
    install -d -m 750 $owner "$state/$(basename "$file" .toml)"
    as_service "$opt/$new/bin/stan-edge" check-config "$file" || die "repair $file and repeat; nothing was changed"
done

sed "s|=/opt/|=$root/opt/|; s| /etc/| $root/etc/|" "$here/stan-edge@.service" >"$units/stan-edge@.service"
chmod 644 "$units/stan-edge@.service"
trap - EXIT
switch "$new"
for old in "$opt"/venv-*; do
    case ${old##*/} in "$(target current)" | "$(target previous)") ;; *) rm -rf "$old" ;; esac
done
say "$("$opt/current/bin/stan-edge" --version) is installed; start a camera with: systemctl enable --now stan-edge@room"
