#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Shell library for devtools/ and test/vm/lab/. `source` it after `set -euo pipefail`.
#
# It defines the checkout (repo) and the only folder outside it that the scripts write to (cache),
# prints progress, and installs missing Debian packages. It keeps results in the cache: an
# interrupted build resumes where it stopped, and concurrent builds do not interfere.

# A failure inside $(...) counts as a failure.
shopt -s inherit_errexit

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${VDUSE_DP_CACHE:-$HOME/.cache/vduse-dp}
mkdir -p "$cache"

# step TEXT: prints a progress line with the seconds since the first of our commands began. It goes
# to stderr, because some functions print their result on stdout.
export VDUSE_DP_BEGIN=${VDUSE_DP_BEGIN:-$EPOCHSECONDS}
step() {
    printf '[%4d s] %s\n' $((EPOCHSECONDS - VDUSE_DP_BEGIN)) "$*" >&2
}

# with_progress TEXT HOW-FAR COMMAND...: runs COMMAND and prints its progress every ten seconds.
# HOW-FAR is shell code that prints a percentage, or nothing if none is known yet.
with_progress() {
    local text=$1 how_far=$2 shell=$BASHPID watcher
    shift 2
    step "$text"
    # The watcher keeps no pipe open that a reader reads to its end. It exits when the shell exits.
    (while sleep 10 2> /dev/null && kill -0 "$shell" 2> /dev/null; do
        percent=$(eval "$how_far" 2> /dev/null) || true
        [ -z "$percent" ] || step "$text: $percent %"
    done) > /dev/null 9>&- &
    watcher=$!
    "$@"
    set -- $?
    kill "$watcher"
    return "$1"
}

# For HOW-FAR. percent DONE ALL: ALL may be a guess.
percent() {
    echo $(($1 >= $2 ? 99 : 100 * $1 / $2))
}
percent_of_ninja() {
    # shellcheck disable=SC2046  # two numbers
    percent $(tail -c 2000 "$1" | sed -n 's/^\[\([0-9]*\)\/\([0-9]*\)\].*/\1 \2/p' | tail -1)
}
percent_of_apt() {
    tail -n 1 "$1" | cut -d: -f3 | cut -d. -f1
}
megabytes_of() {
    du -smx "$1" | cut -f1
}

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# record PART BEGIN [PASSED FAILED SKIPPED]: records for the final table of devtools/test that PART
# ran from BEGIN (an earlier value of EPOCHREALTIME) until now.
record() {
    [ -z "${VDUSE_DP_SPANS:-}" ] ||
        printf '%s\t%s\t%s\t%s\t%d\t%d\t%d\n' "$1" "${VDUSE_DP_PART:-}" "$2" "$EPOCHREALTIME" "${3:-0}" "${4:-0}" "${5:-0}" \
            >> "$VDUSE_DP_SPANS"
}

# apt_need PACKAGE...: installs the missing packages and names them.
apt_need() {
    local package missing=()
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2> /dev/null | grep -qx installed ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || die "packages are missing, as root: apt-get install ${missing[*]}"
    # One at a time: apt-get waits for another `apt-get install`, but not for an `apt-get update`.
    locked apt with_progress "installing ${missing[*]}" "percent_of_apt '$cache/apt.status'" apt_get "${missing[@]}" || exit
}

apt_get() {
    local log=$cache/apt.log
    apt_install "$@" > "$log" 2>&1 9>&- && return
    # The package lists are empty (a fresh container) or out of date.
    { apt-get update && apt_install "$@"; } >> "$log" 2>&1 9>&- && return
    tail -20 "$log" >&2
    die "apt-get could not install $*"
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o APT::Status-Fd=3 "$@" 3> "$cache/apt.status"
}

# apt_repositories FORMAT: prints a line for each Debian repository that this machine's apt knows.
# In a fresh container apt has only their addresses, so it fetches the package lists first.
apt_repositories() {
    local targets=(apt-get indextargets --format "$1" 'Created-By: Packages' 'Origin: Debian')
    [ -n "$("${targets[@]}")" ] || locked apt apt-get update > "$cache/apt.log" 2>&1 || true
    "${targets[@]}" | sort -u | grep . || die "apt knows no Debian repository on this machine (log: $cache/apt.log)"
}

# apt_of FOLDER: prints options that make apt programs keep their whole state in FOLDER.
apt_of() {
    echo -o "Dir::Etc::SourceList=$1/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o "Dir::State::Lists=$1/lists" -o Dir::State::Status=/dev/null -o "Dir::Cache=$1/cache" \
        -o APT::Sandbox::User=root -o Acquire::Languages=none
}

# locked NAME COMMAND...: runs COMMAND while no other `locked NAME` runs on this cache. COMMAND runs
# in a subshell. Programs that it leaves in the background must close descriptor 9.
locked() {
    local name=$1
    shift
    mkdir -p "$cache/locks"
    (
        flock -n 9 || { step "waiting for another process that is at $name" && flock 9; }
        "$@"
    ) 9> "$cache/locks/${name//\//-}"
}

# once NAME KEY COMMAND...: makes the folder $cache/NAME unless it exists and was made with the same
# KEY. COMMAND gets a new, empty folder as its last argument; the folder is renamed to NAME only
# when it is complete. COMMAND fails like a function under `set -e`: at its first failing line. If
# $how_far is set, it is passed to with_progress.
once() {
    locked "$1" once_locked "$@"
}

once_locked() {
    local name=$1 key=$2 target=$cache/$1 begin=$EPOCHREALTIME
    shift 2
    [ "$(cat "$target/.key" 2> /dev/null)" != "$key" ] || return 0
    rm -rf "$target.part"
    mkdir -p "$target.part"
    with_progress "making $target" "${how_far:-}" "$@" "$target.part"
    echo "$key" > "$target.part/.key"
    rm -rf "$target"
    mv "$target.part" "$target"
    record "making $name" "$begin"
}

# logged NAME COMMAND...: writes the output to a log of the lab. On failure it prints the end of the
# log.
logged() {
    local log=$cache/lab/$1.log
    shift
    "$@" > "$log" 2>&1 < /dev/null && return
    tail -20 "$log" >&2
    die "failed: $1 (log: $log)"
}

# in_root ROOT COMMAND...: chroots into one of the lab's roots, in a new mount namespace if the
# machine allows that. A plain container and a chroot do not allow it. /proc is not mounted then;
# only the kernel's objtool needs something from it: the address of its stack.
in_root() {
    local root=$1
    shift
    if unshare --mount true 2> /dev/null; then
        # shellcheck disable=SC2016  # for the inner shell to expand
        unshare --mount bash -ec 'mount -t proc proc "$0/proc"; mount --bind /dev "$0/dev"
            exec chroot "$0" "$@"' "$root" env DEBIAN_FRONTEND=noninteractive "$@"
    else
        mkdir -p "$root/proc/self"
        echo '7ff000000000-7ffffffff000 rw-p 00000000 00:00 0 [stack]' > "$root/proc/self/maps"
        chroot "$root" env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

# beside COMMAND...: runs COMMAND in the background, two at a time. `wait` waits for the last ones.
beside() {
    [ "$(jobs -rp | wc -l)" -lt 2 ] || wait -n || true
    "$@" &
}

# copy_checkout FOLDER: copies the files that meson needs. A file that has not changed keeps its
# mtime, so little is recompiled, even if another clone is copied over an earlier one.
copy_checkout() {
    mkdir -p "$1"
    locked "copy$1" python3 - "$repo" "$1" << 'EOF'
import filecmp, os, pathlib, shutil, sys

here, there = map(pathlib.Path, sys.argv[1:])
PLACES = ("lib", "app", "drivers", "tools", "bench", "test")


def files(root):
    found = [path for place in PLACES for path in (root / place).rglob("*") if path.is_file()]
    found += root.glob("meson*")
    return {path.relative_to(root) for path in found if "__pycache__" not in path.parts}


wanted = files(here)
for name in files(there) - wanted:
    (there / name).unlink()
for name in wanted:
    source, target = here / name, there / name
    if target.exists() and filecmp.cmp(source, target, shallow=False):
        shutil.copymode(source, target)
        continue
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    shutil.copyfile(source, part)
    shutil.copymode(source, part)
    os.replace(part, target)  # another build may be reading it
EOF
}

# tree_of_checkout: prints the folder build/NUMBER of the cache, which holds this checkout's builds.
# If a checkout no longer exists, its folder is reused for the next new checkout. A fresh clone,
# such as CI's, then has little to compile.
tree_of_checkout() {
    local number=1 free='' owner
    while owner=$(cat "$cache/build/$number/checkout" 2> /dev/null); do
        [ "$owner" != "$repo" ] || { echo "$cache/build/$number" && return; }
        [ -e "$owner" ] || free=${free:-$number}
        number=$((number + 1))
    done
    free=${free:-$number}
    mkdir -p "$cache/build/$free"
    echo "$repo" > "$cache/build/$free/checkout"
    echo "$cache/build/$free"
}
mkdir -p "$cache/locks"
tree=$({ flock 9 && tree_of_checkout; } 9> "$cache/locks/trees")
# Builds read the sources from here. The relative path from a build folder to the sources is always
# the same, so ccache recognizes a file that was compiled for another clone.
sources=$tree/src

# ccache is shared by all build folders and clones.
export CCACHE_DIR=$cache/ccache CCACHE_BASEDIR=$tree CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=2G

# Packages that every build needs, that builds with tests need, and that builds with clang need.
build_packages=(ccache python3 meson ninja-build pkg-config libdpdk-dev libnuma-dev libmnl-dev)
test_packages=("${build_packages[@]}" libgtest-dev python3-scapy)
clang_packages=(clang-14 libclang-rt-14-dev)

# driver_sdk_option: prints the option that makes meson build the PMD net_vduse, if DPDK's driver
# headers are available. Without them meson reports that it leaves the PMD out.
driver_sdk_option() {
    echo "-Ddriver_sdk=$("$repo/devtools/driver-sdk" || true)"
}

# build_native: compiles the checkout with g++ as a user would and prints the build folder.
build_native() {
    apt_need g++ "${test_packages[@]}" libbenchmark-dev
    CXX="ccache g++" build_tree native --buildtype=release "$(driver_sdk_option)"
}

# install_tree BUILD FOLDER: installs a build into FOLDER as a packager would and prints the folder
# of its libraries.
install_tree() {
    local libs
    DESTDIR=$2 meson install -C "$1" --no-rebuild > "$2.log" || die "meson install failed: $2.log"
    libs=$(dirname "$(find "$2" -name libvduse.a)")
    # The .pc files contain the prefix without DESTDIR.
    sed -i "s|^prefix=|prefix=$2|" "$libs"/pkgconfig/*.pc
    echo "$libs"
}

# build_app: compiles without tests and benchmarks.
build_app() {
    apt_need g++ "${build_packages[@]}"
    CXX="ccache g++" build_tree app --buildtype=release -Dtests=false -Dbench=disabled
}

# For builds that are run but never measured: they compile in half the time without optimisation.
# Reports need only line numbers.
unoptimised=(--buildtype=debug -Db_lundef=false)

# build_sanitized: compiles only the unit tests, with clang, AddressSanitizer,
# UndefinedBehaviorSanitizer (a report ends the program), and gcov counters in lib/.
build_sanitized() {
    apt_need "${clang_packages[@]}" "${test_packages[@]}"
    # ccache does not know that the ignore list is an input file, and does not know
    # -fprofile-filter-files at all.
    CXX="ccache clang++-14" CCACHE_EXTRAFILES=$sources/test/support/sanitize-ours \
        only=${only:-unit-tests} build_tree sanitized "${unoptimised[@]}" -Db_sanitize=address,undefined \
        -Dcpp_link_args=--coverage -Dcpp_args="--coverage -Xclang -fprofile-filter-files=/lib/ -gline-tables-only \
        -fno-sanitize-recover=all -fsanitize-ignorelist=$sources/test/support/sanitize-ours" "$(driver_sdk_option)"
}

# build_thread_sanitized: compiles only the unit tests, with clang and ThreadSanitizer.
build_thread_sanitized() {
    apt_need "${clang_packages[@]}" "${test_packages[@]}"
    CXX="ccache clang++-14" only=unit-tests build_tree thread "${unoptimised[@]}" -Db_sanitize=thread \
        -Dcpp_args=-gline-tables-only "$(driver_sdk_option)"
}

# build_fuzz: compiles the fuzz targets of test/fuzz, and the library instrumented for libFuzzer.
build_fuzz() {
    apt_need "${clang_packages[@]}" "${test_packages[@]}"
    CXX="ccache clang++-14" build_tree fuzz --buildtype=debugoptimized -Db_lundef=false \
        -Db_sanitize=address,undefined -Dfuzz=true
}

# tree_name NAME: prints a name that is unique to this checkout.
tree_name() {
    echo "$1-$(basename "$tree")"
}

# build_tree NAME MESON-OPTION...: compiles the checkout, or only its target $only if that is set,
# and prints the build folder.
build_tree() {
    local name=$1 build
    build=$tree/$name
    shift
    locked "$(tree_name "build-$name")" build_tree_locked "$build" "$@" >&2
    echo "$build"
}

# set_up_and_compile BUILD MESON-OPTION...
set_up_and_compile() {
    local build=$1 log=$1.log
    shift
    { [ -e "$build" ] || meson setup "$@" "$build" "$sources"; } > "$log" 2>&1 &&
        ninja -C "$build" ${only:+"$only"} >> "$log" 2>&1
}

build_tree_locked() {
    local build=$1 log=$1.log begin=$EPOCHREALTIME
    shift
    copy_checkout "$sources"
    # Set up the folder again if an earlier set-up was interrupted (there is no build.ninja) or the
    # options changed. meson handles all other changes.
    if [ ! -e "$build/build.ninja" ] || [ "$(cat "$build.options" 2> /dev/null)" != "$*" ]; then
        rm -rf "$build"
        echo "$*" > "$build.options"
    fi
    if with_progress "compiling into $build" "percent_of_ninja '$log'" set_up_and_compile "$build" "$@"; then
        record "build $(basename "$build")" "$begin"
        return
    fi
    tail -40 "$log"
    die "the build failed: $log"
}
