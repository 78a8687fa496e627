#!/bin/sh
# A systemd of a test's own, as the first process of namespaces of its own:
#
#   unshare --mount --pid --fork --kill-child --cgroup --uts --ipc sh systemd.sh FOLDER
#
# Its units are those in FOLDER/units and FOLDER/etc/system, its bus is FOLDER/bus/system_bus_socket. It sees the files of this machine and changes
# none of them outside FOLDER; it ends with whoever has started it.
set -eu

# Elsewhere it would take over the machine.
[ "$$" -eq 1 ] || { echo "systemd.sh: only as the first process of a PID namespace" >&2; exit 64; }

folder=$1
mount --make-rprivate /
mount -t proc proc /proc
# Where a node has a container runtime its kubelet may be one of the services.
if [ -d /run/containerd ]; then
    mkdir "$folder/containerd"
    mount --rbind /run/containerd "$folder/containerd"
fi
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/systemd/system /run/dbus /run/lock
if [ -d "$folder/containerd" ]; then
    mkdir /run/containerd
    mount --rbind "$folder/containerd" /run/containerd
fi
mount --bind "$folder/units" /run/systemd/system
mount --bind "$folder/bus" /run/dbus
# None of this machine's own units.
mkdir -p "$folder/etc/system"
mount --bind "$folder/etc" /etc/systemd
# The hierarchy of its own part alone, whichever there is.
if [ -d /sys/fs/cgroup/systemd ]; then
    umount /sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
    if [ -d /sys/fs/cgroup/unified ]; then
        umount /sys/fs/cgroup/unified
        mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
    fi
else
    umount /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
export container=test
unset NOTIFY_SOCKET LISTEN_FDS LISTEN_PID
exec /lib/systemd/systemd --system --unit=test.target --log-target=console --show-status=no
