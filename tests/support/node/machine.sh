#!/bin/sh
# The first process of a node's machine. The caller has given it PID and mount namespaces of its own:
#
#   unshare --mount --pid --fork --kill-child=TERM setsid sh machine.sh FOLDER SHARED
#
# It makes a root that looks like this machine's and can be written to without a trace, tells so by the file
# FOLDER/machine-ready and waits. On SIGTERM, which it also gets when the test process dies, it ends everything in
# the machine. Its mounts, and the network of its pods, go with the last process; the cgroups of its containers are
# removed by hand.
set -eu

# Elsewhere its end would be everybody's.
[ "$$" -eq 1 ] || { echo "machine.sh: only as the first process of a PID namespace" >&2; exit 64; }

folder=$1 # of this node; FOLDER/kubelet becomes /var/lib/kubelet and FOLDER/pod-logs becomes /var/log/pods
shared=$2 # seen alike from inside and outside, at the same path; FOLDER lies in it

end() {
    trap '' TERM
    kill -KILL -1 2>/dev/null || true
    # containerd has one folder here for each container, of the container's name.
    for task in /run/containerd/io.containerd.runtime.v2.task/k8s.io/*; do
        # What is killed is not dead yet.
        for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            cgroups=$(find /sys/fs/cgroup -maxdepth 3 -type d -path "*/k8s.io/${task##*/}")
            [ -n "$cgroups" ] || break
            # shellcheck disable=SC2086 # one word for each hierarchy
            find $cgroups -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
        done
    done
    # The last one out.
    find /sys/fs/cgroup -maxdepth 2 -type d -name k8s.io -exec rmdir {} + 2>/dev/null || true
    exit 0
}
trap end TERM

# A setting of the kernel that a part of the node insists on: it shall find it, and this machine shall keep its own.
tunable() {
    [ -e "$new/proc/sys/$1" ] || return 0
    file=$new/run/tunables/$(printf '%s' "$1" | tr / .)
    printf '%s\n' "$2" >"$file"
    mount --bind "$file" "$new/proc/sys/$1"
}

state=$folder/machine
new=$state/root
mkdir "$state"
mount -t tmpfs -o mode=755 machine "$state"
mkdir "$new" "$state/upper" "$state/work"
mount -t overlay -o "lowerdir=/,upperdir=$state/upper,workdir=$state/work" root "$new"

# An overlay does not show what is mounted below its lower folder. That is to be seen, not to be changed.
while read -r _ _ _ _ point _; do
    case $point in
    / | /proc* | /sys* | /dev* | /run* | "$state"*) ;;
    *)
        [ -d "$new$point" ] || continue
        mount --bind "$point" "$new$point"
        mount -o remount,bind,ro "$new$point"
        ;;
    esac
done </proc/self/mountinfo
mount -t proc proc "$new/proc"
mount --rbind /sys "$new/sys"
mount --rbind /dev "$new/dev"
mount -t tmpfs -o mode=755 run "$new/run"
mkdir -p "$new$shared" "$new/var/lib/kubelet" "$new/var/lib/containerd" "$new/var/log/pods" "$new/run/tunables"
mount --bind "$shared" "$new$shared"
mount --bind "$folder/kubelet" "$new/var/lib/kubelet"
mount --bind "$folder/pod-logs" "$new/var/log/pods"
# Snapshots are overlays themselves, and those cannot be stacked at will.
mount -t tmpfs containerd "$new/var/lib/containerd"

# ptp routes between pods, kubelet wants to survive exhausted memory and to restart after a panic.
tunable net/ipv4/ip_forward 1
tunable vm/overcommit_memory 1
tunable vm/panic_on_oom 0
tunable kernel/panic 10
tunable kernel/panic_on_oops 1
tunable kernel/keys/root_maxkeys 1000000
tunable kernel/keys/root_maxbytes 25000000

mkdir "$new/run/before"
cd "$new"
pivot_root . run/before
umount --lazy /run/before
rmdir /run/before
# As systemd leaves it; kubelet's volumes depend on it.
mount --make-rshared /

: >"$folder/machine-ready"
while :; do
    sleep 3600 &
    wait "$!" || true
done
