#!/bin/bash
# The first process of the virtual machine of vm.sh. It mounts what a machine has, and cgroup v2 as systemd
# mounts it. It runs the script and turns the machine off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8
mount -t tmpfs -o mode=1777 tmp /tmp
mkdir -p /dev/shm /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t devpts pts /dev/pts
mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup
echo '+memory +pids +cpu' > /sys/fs/cgroup/cgroup.subtree_control
chmod 1777 /var/tmp
hostname capi-vm
touch /mnt/started
# A second network interface, so that a sandbox without a namespace of its own is seen.
modprobe dummy numdummies=1
setsid bash /mnt/script.sh
echo $? > /mnt/status
sync
echo o > /proc/sysrq-trigger
sleep 60
