#!/bin/bash
# vm.sh DIR SECONDS SCRIPT [MEMORY]: boots a Debian kernel in a virtual machine, with cgroup v2, and runs
# SCRIPT in it as root. Ends with SCRIPT's status. The machine sees this machine's files read-only, DIR
# writable at /mnt, and an empty disk at /var/tmp. DIR/console.log keeps what it prints. It has no network.
. "$(dirname "$0")/common.sh"
. "$HERE/packages.sh"

# Debian has mkinitramfs and mkfs.ext4 there, which is not on an ordinary user's path.
PATH=$PATH:/usr/sbin:/sbin

DIR=$(realpath "$1") LONGEST=$2 SCRIPT=$(realpath "$3") MEMORY=${4:-3072}

lock
install_packages machine
exec 9>&-

step "prepare the virtual machine"
# The kernels for clouds have no 9p.
KERNEL=$(ls -v /boot/vmlinuz-*-amd64 | grep -v -e -cloud- | tail -n 1)
VERSION=${KERNEL#/boot/vmlinuz-}
mkdir -p "$DIR"
rm -rf "$DIR/status" "$DIR/disk" "$DIR/initramfs"
mkdir -p "$DIR/initramfs/scripts"
printf 'MODULES=list\nBUSYBOX=auto\nCOMPRESS=zstd\n' > "$DIR/initramfs/initramfs.conf"
printf '%s\n' virtio_pci virtio_blk 9pnet_virtio 9p ext4 > "$DIR/initramfs/modules"
cat > "$DIR/initramfs/scripts/capi" << 'END'
mountroot() {
    for module in virtio_pci virtio_blk 9pnet_virtio 9p ext4; do modprobe $module; done
    transport=trans=virtio,version=9p2000.L,msize=262144
    mount -t 9p -o ro,$transport,cache=loose root "$rootmnt"
    mount -t ext4 /dev/vda "$rootmnt/var/tmp"
    mount -t 9p -o $transport share "$rootmnt/mnt"
}
mount_top() { :; }
mount_premount() { :; }
mount_bottom() { :; }
END
mkinitramfs -d "$DIR/initramfs" -o "$DIR/initrd.img" "$VERSION"
truncate -s 4G "$DIR/disk"
mkfs.ext4 -q -F "$DIR/disk"
cp "$SCRIPT" "$DIR/script.sh"

# boot ACCELERATOR: starts the machine in the background, for at most LONGEST seconds.
boot() {
    rm -f "$DIR/started" "$DIR/console.log"
    # Processors of hosts that are virtual machines themselves may not have this feature.
    # If this script is killed, the machine ends too.
    setpriv --pdeathsig TERM timeout --kill-after=10 "$LONGEST" qemu-system-x86_64 \
        -machine q35,accel="$1" -cpu max,arch-capabilities=off -smp 2 -m "$MEMORY" \
        -nodefaults -no-user-config -no-reboot -display none -serial "file:$DIR/console.log" \
        -kernel "$KERNEL" -initrd "$DIR/initrd.img" \
        -append "boot=capi init=$HERE/vm-init.sh console=ttyS0 quiet panic=-1" \
        -drive "file=$DIR/disk,format=raw,if=virtio,cache=unsafe" \
        -virtfs local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap \
        -virtfs "local,path=$DIR,mount_tag=share,security_model=none" \
        < /dev/null > "$DIR/qemu.log" 2>&1 &
    MACHINE=$!
}
trap 'kill $MACHINE 2> /dev/null || true' EXIT
MACHINE=

has_started() { [ -e "$DIR/started" ]; }
has_ended() { ! kill -0 $MACHINE 2> /dev/null; }
has_started_or_ended() { has_started || has_ended; }

if [ -w /dev/kvm ]; then
    step "start a virtual machine with KVM"
    boot kvm
    (wait_until 30 "the virtual machine" "$DIR/qemu.log" has_started_or_ended) 2> /dev/null || true
fi
# Some virtual hosts offer KVM, but it cannot run an unchanged kernel.
if ! has_started; then
    if [ -n "$MACHINE" ]; then kill $MACHINE 2> /dev/null || true; wait $MACHINE || true; fi
    step "start a virtual machine without KVM, which is ten times slower"
    boot tcg
fi
wait $MACHINE || fail "the virtual machine did not end within $LONGEST s" "$DIR/console.log"
rm -f "$DIR/disk" "$DIR/initrd.img"
[ -s "$DIR/status" ] || fail "the virtual machine ended without a status" "$DIR/console.log"
trap - ERR
exit "$(cat "$DIR/status")"
