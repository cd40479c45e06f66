# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# QEMU's options for a Linux guest. The QEMU that boots the guest when the lab is built and those of
# the scenarios, which resume its state, must use the same options.

# guest_machine MACHINE FOLDER: sets guest_options. FOLDER has the guest's kernel and initramfs. The
# caller adds the chardevs `console` and `shell`, and QMP.
guest_machine() {
    # No firmware that looks for disks, no clock that is slow to read, nothing to decompress: if the
    # lab's VM is emulated, the guest is emulated inside an emulation.
    guest_options=(
        -accel 'tcg,thread=single' -cpu max -smp 1 -m 128
        -object memory-backend-memfd,id=m0,size=128M,share=on
        -machine "$1,memory-backend=m0,hpet=off,sata=off,smbus=off,i8042=off" -bios qboot.rom
        -nodefaults -display none -kernel "$2/vmlinux" -initrd "$2/initramfs"
        -append "console=ttyS0 quiet panic=-1 reboot=t tsc=reliable no_timer_check 8250.nr_uarts=2"
        -serial chardev:console -serial chardev:shell)
}
