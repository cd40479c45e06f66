# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Programs that one scenario wants and a lab root lacks, for an archive that the scenario unpacks over the root. They are no
# part of the root, which takes minutes to make and for which all other scenarios would have to wait.

# unpack_missing DEBIAN LOG FOLDER APT PACKAGE...: unpacks packages into FOLDER, with all that they need and the root DEBIAN
# (debian12, debian13) of the lab has not. Makes `options` those of apt programs that know what the root knows and has,
# and keep what they do in APT.
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
