# Roots of other processors and of clean systems, made by mmdebstrap below build/roots from this machine's own package
# sources, and kept there. Sourced by ci/lib.sh.
# shellcheck shell=bash disable=SC2154 # demit_top and demit_jobs come from ci/lib.sh

# This machine's sources of Debian's packages, as lines of sources.list. The release alone: its updates come and go
# between the processors' indexes, and a root for tests gains nothing from them.
root_sources() {
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
        awk '$3 !~ /-(security|updates|backports)$/' | sort -u
}

# root_make NAME PROCESSOR VARIANT PACKAGE…: the root build/roots/NAME, made anew if other packages are asked for.
root_make() {
    local name=$1 processor=$2 variant=$3 root="$demit_top/build/roots/$1" wanted
    shift 3
    wanted="$processor $variant $*"
    if [ "$(cat "$root.made" 2>/dev/null)" = "$wanted" ]; then
        good "root $name is here"
        return 0
    fi
    is_root || die "only root can make the root $name"
    note "making the root $name: build/log/root-$name shows how far it is"
    mkdir -p "$demit_top/build/roots" "$demit_top/build/log"
    rm -rf "$root" "$root.made"
    local packages
    packages=$(IFS=, && echo "$*")
    if ! root_sources | mmdebstrap --variant="$variant" --architectures="$processor" ${packages:+--include="$packages"} \
        "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$root" - >"$demit_top/build/log/root-$name" 2>&1; then
        bad "the root $name could not be made; the end of build/log/root-$name:"
        tail -n 20 "$demit_top/build/log/root-$name" | sed 's/^/        /'
        return 1
    fi
    echo "$wanted" >"$root.made"
    good "root $name is made"
}

# root_run NAME COMMAND…: runs a command with the root NAME as /, the source at its own path, and build/NAME.root as the
# source's build: what is compiled inside must not meet what is compiled outside. Namespaces end with the command, and of
# the environment it sees nothing: what it names is not there.
root_run() {
    local root="$demit_top/build/roots/$1" build="$demit_top/build/$1.root"
    shift
    mkdir -p "$build" "$root$demit_top" "$root/old"
    unshare --mount --pid --fork --kill-child "$BASH" -c '
        set -e
        root=$1 top=$2 build=$3
        shift 3
        mount --make-rprivate /
        mount --bind "$root" "$root"
        mount --bind "$top" "$root$top"
        mount --bind "$build" "$root$top/build"
        mount -t proc proc "$root/proc"
        mount --rbind /sys "$root/sys"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs -o mode=755 tmpfs "$root/run"
        mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
        cp -L /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
        cd "$root"
        pivot_root . old
        umount -l /old
        cd "$top"
        exec env -i PATH="$PATH" HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"' root_run "$root" "$demit_top" "$build" "$@"
}

# ---- another processor -------------------------------------------------------------------------------------------

debian_processor() { case $1 in aarch64) echo arm64 ;; *) echo "$1" ;; esac; }

# cross_prepare PROCESSOR: a root with its libraries, and build/roots/PROCESSOR.cmake to compile for it. The programs name
# the root's loader and libraries themselves, so that qemu need not translate paths: its -L would show the tests a file
# system that is not there.
cross_prepare() {
    local processor=$1 root="$demit_top/build/roots/$1" loader libraries
    mapfile -t libraries < <(packages_named build | grep -E '^(lib|linux)')
    root_make "$processor" "$(debian_processor "$processor")" extract "${libraries[@]}" || return 1
    loader=$(find "$root/lib/" -maxdepth 1 -name 'ld*.so.[0-9]' | head -n 1)
    cat >"$root.cmake" <<CMAKE
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR $processor)
set(CMAKE_C_COMPILER $processor-linux-gnu-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE $processor-linux-gnu)
set(CMAKE_SYSROOT $root)
set(CMAKE_FIND_ROOT_PATH $root)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} $root)
set(ENV{PKG_CONFIG_LIBDIR} $root/usr/lib/$processor-linux-gnu/pkgconfig:$root/usr/share/pkgconfig)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-$processor-static)
set(CMAKE_EXE_LINKER_FLAGS_INIT
    "-Wl,--dynamic-linker=$loader,--disable-new-dtags,-rpath,$root/lib/$processor-linux-gnu:$root/usr/lib/$processor-linux-gnu")
CMAKE
}

# ---- APR that checks how its pools are used ----------------------------------------------------------------------

# Builds Debian's APR with --enable-pool-debug into build/apr-pool-debug. apt checks what it fetches against the
# signed index; the signature of the package's own maintainer is not looked at again.
apr_pool_debug_build() {
    local made="$demit_top/build/apr-pool-debug" source="$demit_top/build/apr-source" log="$demit_top/build/log/apr-pool-debug"
    if [ -e "$made/lib/libapr-1.so" ]; then
        good "APR with --enable-pool-debug is here"
        return 0
    fi
    rm -rf "$source" "$made"
    mkdir -p "$source/lists/partial" "$demit_top/build/log"
    root_sources | sed 's/^deb /deb-src /' >"$source/sources.list"
    local apt=(apt-get -qq -o Dir::Etc::sourcelist="$source/sources.list" -o Dir::Etc::sourceparts=-
        -o Dir::State::lists="$source/lists" -o Dir::Cache::pkgcache='' -o Dir::Cache::srcpkgcache='')
    if (
        cd "$source" &&
            "${apt[@]}" update && "${apt[@]}" source --download-only apr &&
            dpkg-source --no-check -x apr_*.dsc apr && cd apr &&
            ./configure --prefix="$made" --enable-pool-debug --disable-static && make -j"$demit_jobs" && make install
    ) >"$log" 2>&1 </dev/null; then
        good "APR with --enable-pool-debug is built"
    else
        bad "APR with --enable-pool-debug could not be built; the end of build/log/apr-pool-debug:"
        tail -n 20 "$log" | sed 's/^/        /'
        return 1
    fi
}
