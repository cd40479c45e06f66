# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Programs that one scenario needs and a lab root lacks. They are put into an archive, which the
# scenario unpacks over the root. They are not part of the root: making a root takes minutes, and
# all other scenarios would have to wait.

# unpack_missing DEBIAN LOG FOLDER APT PACKAGE...: unpacks packages into FOLDER, with the
# dependencies that the lab's root DEBIAN (debian12, debian13) lacks. Sets `options` to apt options
# that use the root's sources and installed packages, and keep apt's state in APT.
unpack_missing() {
    local lab_root=$cache/lab/$1 log=$2 folder=$3 apt=$4 package
    shift 4
    mkdir -p "$folder" "$apt"/{lists/partial,cache/archives/partial}
    cp "$lab_root/sources.list" "$apt/"
    read -ra options <<< "$(apt_of "$apt") -o Dir::State::Status=$lab_root/root/var/lib/dpkg/status -o Debug::NoLocking=1"
    logged "$log" apt-get "${options[@]}" update
    logged "$log" apt-get "${options[@]}" install -y --no-install-recommends --download-only "$@"
    for package in "$apt"/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$folder"
    done
    rm -rf "$folder"/usr/share/{doc,man,locale,info,lintian}
}
