#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Shell library for devtools/ and test/vm/lab/. `source` it after `set -euo pipefail`.
#
# It names the checkout (repo) and the one folder outside it that we write to (cache), prints
# progress, installs missing Debian packages, and keeps results in the cache so that a build that
# was interrupted goes on where it stopped and two builds at once do not meet.

# A failure inside $(...) is one.
shopt -s inherit_errexit

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${VDUSE_DP_CACHE:-$HOME/.cache/vduse-dp}
mkdir -p "$cache"

# step TEXT: one line of progress with the seconds since the first of our commands began. On stderr, as some
# functions print their result on stdout.
export VDUSE_DP_BEGIN=${VDUSE_DP_BEGIN:-$EPOCHSECONDS}
step() {
    printf '[%4d s] %s\n' $((EPOCHSECONDS - VDUSE_DP_BEGIN)) "$*" >&2
}

# with_progress TEXT HOW-FAR COMMAND...: runs COMMAND, and says every ten seconds how far it is: HOW-FAR is shell that
# prints a percentage, or nothing yet.
with_progress() {
    local text=$1 how_far=$2 shell=$BASHPID watcher
    shift 2
    step "$text"
    # It holds no pipe that a reader waits for the end of, and goes when the shell does.
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

# For HOW-FAR. percent DONE ALL: as nobody knows ALL before, it may be a guess.
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

# record PART BEGIN [PASSED FAILED SKIPPED]: notes, for the table that devtools/test ends with, that PART took from then,
# which is what EPOCHREALTIME was, until now.
record() {
    [ -z "${VDUSE_DP_SPANS:-}" ] ||
        printf '%s\t%s\t%s\t%s\t%d\t%d\t%d\n' "$1" "${VDUSE_DP_PART:-}" "$2" "$EPOCHREALTIME" "${3:-0}" "${4:-0}" "${5:-0}" \
            >> "$VDUSE_DP_SPANS"
}

# apt_need PACKAGE...: installs what is missing, and says what that is.
apt_need() {
    local package missing=()
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2> /dev/null | grep -qx installed ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || die "packages are missing, as root: apt-get install ${missing[*]}"
    # One at a time: apt-get waits for another one that installs, not for one that updates.
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

# apt_repositories FORMAT: a line for each of Debian's that this machine's apt knows. In a fresh container it has their
# addresses, and learns their names first.
apt_repositories() {
    local targets=(apt-get indextargets --format "$1" 'Created-By: Packages' 'Origin: Debian')
    [ -n "$("${targets[@]}")" ] || locked apt apt-get update > "$cache/apt.log" 2>&1 || true
    "${targets[@]}" | sort -u | grep . || die "apt knows no Debian repository on this machine (log: $cache/apt.log)"
}

# apt_of FOLDER: options for apt programs that keep all they know in FOLDER.
apt_of() {
    echo -o "Dir::Etc::SourceList=$1/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o "Dir::State::Lists=$1/lists" -o Dir::State::Status=/dev/null -o "Dir::Cache=$1/cache" \
        -o APT::Sandbox::User=root -o Acquire::Languages=none
}

# locked NAME COMMAND...: runs COMMAND while no other `locked NAME` runs on this cache. COMMAND runs
# in a subshell; programs that it leaves in the background must close descriptor 9.
locked() {
    local name=$1
    shift
    mkdir -p "$cache/locks"
    (
        flock -n 9 || { step "waiting for another process that is at $name" && flock 9; }
        "$@"
    ) 9> "$cache/locks/${name//\//-}"
}

# once NAME KEY COMMAND...: makes the folder $cache/NAME by running COMMAND with a new, empty folder
# as its last argument, unless the folder is there and was made for the same KEY. The folder gets
# its name when it is complete, never before. The command fails as a function under `set -e` does:
# at its first failing line. $how_far, where set, is for with_progress.
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

# logged NAME COMMAND...: output goes to a log of the lab, of which a failure shows the end.
logged() {
    local log=$cache/lab/$1.log
    shift
    "$@" > "$log" 2>&1 < /dev/null && return
    tail -20 "$log" >&2
    die "failed: $1 (log: $log)"
}

# in_root ROOT COMMAND...: chroot into one of the lab's roots, in a mount namespace of its own when
# the machine allows that. A plain container and a chroot do not; of /proc, only the kernel's objtool
# misses something there: where its stack is.
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

# beside COMMAND...: runs it in the background, two at a time; `wait` waits for the last ones.
beside() {
    [ "$(jobs -rp | wc -l)" -lt 2 ] || wait -n || true
    "$@" &
}

# copy_checkout FOLDER: what meson needs of the checkout. A file that is there and the same keeps its time, so that little
# is compiled again, even where another clone is copied over the one before.
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

# tree_of_checkout: prints build/NUMBER of the cache, where this checkout's builds are. One whose checkout is gone goes to
# the next checkout without one: what a fresh clone compiles, as CI's, is little where an earlier one was compiled.
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
# Where builds have the sources from: with the same way from each build folder to them, the compilers' cache knows a file
# again whose clone was elsewhere.
sources=$tree/src

# What was compiled once is taken from there, whichever build folder or clone it is for.
export CCACHE_DIR=$cache/ccache CCACHE_BASEDIR=$tree CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=2G

# What every build takes, and what it takes besides with clang.
build_packages=(ccache python3 meson ninja-build pkg-config libdpdk-dev libnuma-dev libmnl-dev)
test_packages=("${build_packages[@]}" libgtest-dev python3-scapy)
clang_packages=(clang-14 libclang-rt-14-dev)

# driver_sdk_option: what makes meson build the driver net_vduse too, where DPDK's driver headers can be had. Without
# them the driver is left out, and meson says so.
driver_sdk_option() {
    echo "-Ddriver_sdk=$("$repo/devtools/driver-sdk" || true)"
}

# build_native: compiles the checkout with g++, as a user would, and prints the build folder.
build_native() {
    apt_need g++ "${test_packages[@]}" libbenchmark-dev
    CXX="ccache g++" build_tree native --buildtype=release "$(driver_sdk_option)"
}

# install_tree BUILD FOLDER: installs a build into the folder as a packager would, and prints where its libraries are.
install_tree() {
    local libs
    DESTDIR=$2 meson install -C "$1" --no-rebuild > "$2.log" || die "meson install failed: $2.log"
    libs=$(dirname "$(find "$2" -name libvduse.a)")
    # They name the place where all would be without DESTDIR.
    sed -i "s|^prefix=|prefix=$2|" "$libs"/pkgconfig/*.pc
    echo "$libs"
}

# build_app: the program alone.
build_app() {
    apt_need g++ "${build_packages[@]}"
    CXX="ccache g++" build_tree app --buildtype=release -Dtests=false -Dbench=disabled
}

# What is only run and never measured compiles in half the time unoptimised, and reports need no more than line numbers.
unoptimised=(--buildtype=debug -Db_lundef=false)

# build_sanitized: the unit tests alone, with clang, AddressSanitizer and UndefinedBehaviorSanitizer, whose reports
# end the program, and with counters for gcov in lib/.
build_sanitized() {
    apt_need "${clang_packages[@]}" "${test_packages[@]}"
    # Of these, ccache does not know that the list of what to ignore is a file, and knows -fprofile-filter-files not at all.
    CXX="ccache clang++-14" CCACHE_EXTRAFILES=$sources/test/support/sanitize-ours \
        only=${only:-unit-tests} build_tree sanitized "${unoptimised[@]}" -Db_sanitize=address,undefined \
        -Dcpp_link_args=--coverage -Dcpp_args="--coverage -Xclang -fprofile-filter-files=/lib/ -gline-tables-only \
        -fno-sanitize-recover=all -fsanitize-ignorelist=$sources/test/support/sanitize-ours" "$(driver_sdk_option)"
}

# build_thread_sanitized: the unit tests alone, with clang and ThreadSanitizer.
build_thread_sanitized() {
    apt_need "${clang_packages[@]}" "${test_packages[@]}"
    CXX="ccache clang++-14" only=unit-tests build_tree thread "${unoptimised[@]}" -Db_sanitize=thread \
        -Dcpp_args=-gline-tables-only "$(driver_sdk_option)"
}

# build_fuzz: the fuzz targets of test/fuzz, and the library as libFuzzer wants it.
build_fuzz() {
    apt_need "${clang_packages[@]}" "${test_packages[@]}"
    CXX="ccache clang++-14" build_tree fuzz --buildtype=debugoptimized -Db_lundef=false \
        -Db_sanitize=address,undefined -Dfuzz=true
}

# tree_name NAME: a name that no other checkout has.
tree_name() {
    echo "$1-$(basename "$tree")"
}

# build_tree NAME MESON-OPTION...: compiles the checkout, or the target $only of it, and prints the build folder.
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
    # A set-up that was interrupted leaves no build.ninja, and other options ask for another; meson itself takes up
    # the rest.
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
