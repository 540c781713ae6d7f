# vm.sh DIR ADDRESS: holds the namespaces of a make-believe VM until standard input ends. DIR/vcap becomes its /var/vcap, and
# what is in DIR/disk its persistent disk; memory, run directory and all that is started end with it, as in a reboot.
set -eu
dir=$1 address=$2

mount --make-rprivate /
# The network's part of /sys is the VM's own; the control groups stay those of the machine.
mkdir -p "$dir/cgroup"
mount --rbind /sys/fs/cgroup "$dir/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$dir/cgroup" /sys/fs/cgroup
umount -l "$dir/cgroup"
mount --make-rshared /

mount --bind "$dir/vcap" /var/vcap
mkdir -p /var/vcap/store /var/vcap/data/sys/run /var/vcap/sys/log
mount -t tmpfs -o size=16m,mode=0755 tmpfs /var/vcap/data/sys/run
ln -sfn /var/vcap/data/sys/run /var/vcap/sys/run
mount -o loop "$dir/disk" /var/vcap/store
mkdir -p "$dir/etc" /etc/docker
mount --bind "$dir/etc" /etc/docker
for own in /run /tmp; do
	mount -t tmpfs tmpfs $own
done
mkdir -p /run/lock

ip link set lo up
ip link set eth0 up
ip address add "$address/24" dev eth0

read -r pid _ </proc/self/stat # as seen from outside: /proc is still the machine's
mount -t proc proc /proc
echo "$pid"
exec >/dev/null
cat
