# hold.sh NAME DIR ADDRESS RANGE [FOLDER:SIZE...]: holds the namespaces of one private dockerd until standard input ends, then removes
# what is left of it. Standard input is a pipe from the process that wants the daemon: it ends when that process stops
# the daemon, and also when the process dies of whatever cause.
set -eu
name=$1 dir=$2 address=$3 range=$4
shift 4

# Where the machine's FORWARD chain drops by default (any other dockerd sets that) and bridged packets pass through
# iptables, containers of one network could not reach each other.
forward() {
	command -v iptables >/dev/null || return 0
	iptables -w "$1" FORWARD -s "$range" -d "$range" -j ACCEPT 2>/dev/null || [ "$1" = -D ]
}

sweep() {
	# dockerd had no chance to remove its bridges; its database names them.
	grep -aohE '"BridgeName":"[^"]+"' "$dir/data/network/files/local-kv.db" 2>/dev/null | cut -d'"' -f4 | sort -u |
		while read -r bridge; do ip link delete "$bridge" 2>/dev/null || :; done
	ip link delete "$name" 2>/dev/null || :
	forward -D
	find /sys/fs/cgroup -depth -type d -path "*/$name*" -exec rmdir {} + 2>/dev/null || :
	for folder; do umount -l "$dir/${folder%%:*}" 2>/dev/null || :; done
	rm -rf "$dir"
}

trap '' INT TERM HUP
trap 'sweep "$@"' EXIT
for folder; do
	mkdir -p "$dir/${folder%%:*}"
	mount -t tmpfs -o "mode=0711,size=${folder#*:}" tmpfs "$dir/${folder%%:*}" # outside: others look at what is free there
done
ip link add "$name" type bridge
ip address add "$address" dev "$name"
ip link set "$name" up
forward -I

# One PID namespace: when its first process ends, the kernel kills dockerd, containerd, the shims and all containers.
# One mount namespace: their mounts end with them, and /run is not the machine's, whose containerd dockerd would use.
# The first process waits in a shell, because a shell reaps the orphans that it inherits.
unshare --pid --fork --kill-child --mount --propagation slave sh -euc '
	mount --make-rshared /
	read -r pid _ </proc/self/stat # as seen from outside, for nsenter: /proc is still the machine'"'"'s
	mount -t proc proc /proc
	for run in docker containerd; do mkdir -p /run/$run && mount -t tmpfs tmpfs /run/$run; done
	mkdir -p /etc/docker/certs.d && mount --bind "$1/certs.d" /etc/docker/certs.d # its path is no setting of dockerd
	echo "$pid"
	exec >/dev/null
	cat
	exit 0
' inner "$dir"
