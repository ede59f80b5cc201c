# The libraries that demit stands on, cross-built for one target from Debian's source packages. Sourced by ci/foreign.
# Static, unpatched, and only as far as demit uses them: they are there to be linked with, not to be shipped.
# shellcheck shell=bash

sources="$demit_top/build/foreign/sources"
source_packages=(apr c-ares cmocka jansson libcap2 libidn2 xxhash)

# ---- the sources -------------------------------------------------------------------------------------------------

# An apt of our own, beside the machine's: the same Debian sources and keys, asked for source packages.
apt_for_sources() {
    local apt="$demit_top/build/foreign/apt" codename file
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    rm -rf "$apt"
    mkdir -p "$apt/parts" "$apt/lists/partial" "$apt/cache/archives/partial"
    for file in /etc/apt/sources.list.d/*.sources; do
        ! grep -qsE "^Suites:.*\b$codename\b" "$file" || sed 's/^Types:.*/Types: deb-src/' "$file" >"$apt/parts/${file##*/}"
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        ! grep -qsE "^deb .*\b$codename\b" "$file" ||
            sed -nE "/^deb .*\b$codename\b/s/^deb /deb-src /p" "$file" >"$apt/parts/${file##*/}.list"
    done
    cat >"$apt/apt.conf" <<END
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$apt/parts";
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt/cache";
APT::Sandbox::User "root";
END
    export APT_CONFIG="$apt/apt.conf"
}

# Unpacks each package's upstream archive into build/foreign/sources/PACKAGE.
sources_get() {
    local package missing=()
    for package in "${source_packages[@]}"; do
        [ -e "$sources/$package/.complete" ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || {
        echo "error: there is no apt-get to fetch the sources of ${missing[*]} with"
        return 1
    }
    mkdir -p "$sources"
    (
        apt_for_sources
        cd "$sources"
        apt-get -qq update && apt-get -qq --download-only source "${missing[@]}"
    ) || return 1
    for package in "${missing[@]}"; do
        rm -rf "${sources:?}/$package"
        mkdir "$sources/$package"
        tar -xf "$(find "$sources" -maxdepth 1 -name "${package}_*.orig.tar.*" ! -name '*.asc' -print -quit)" \
            -C "$sources/$package" --strip-components=1
        touch "$sources/$package/.complete"
    done
}

# ---- one target --------------------------------------------------------------------------------------------------

# library NAME: builds it into $prefix unless it is there. Its words go to standard output.
library() {
    local name=$1 work="$prefix/work/$1"
    [ ! -e "$prefix/have-$name" ] || return 0
    rm -rf "$work"
    mkdir -p "$work" "$prefix/lib/pkgconfig" "$prefix/include"
    (cd "$work" && "library_$name") || return 1
    rm -rf "$work"
    touch "$prefix/have-$name"
}

with_cmake() {
    local source=$1
    shift
    cmake -G Ninja -S "$source" -B . --toolchain "$demit_top/cmake/toolchains/zig.cmake" -DDEMIT_ZIG_TOOLS="$prefix" \
        -DDEMIT_ZIG_TARGET="$target" -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_BUILD_TYPE=Release \
        "$@" &&
        ninja -j "$demit_jobs" install
}

with_configure() {
    local source=$1 host
    shift
    # x86_64-freebsd.14.0 is x86_64-unknown-freebsd14.0 to autoconf.
    host="${target%%-*}-unknown-$(printf '%s' "${target#*-}" | sed 's/\.//')"
    "$source/configure" --host="$host" --prefix="$prefix" --disable-shared CC="$prefix/bin/cc" AR="$prefix/bin/ar" \
        RANLIB="$prefix/bin/ranlib" "$@"
}

# pkg_config NAME VERSION LIBRARIES [FLAGS]: what the library's own build would have installed.
pkg_config() {
    cat >"$prefix/lib/pkgconfig/$1.pc" <<END
Name: $1
Description: cross-built for $target
Version: $2
Cflags: -I$prefix/include ${4:-}
Libs: -L$prefix/lib $3
END
}

archive() {
    "$prefix/bin/ar" rcs "$prefix/lib/lib$1.a" "${@:2}"
}

# Without thread-local storage, which OpenBSD's compilers emulate in a library of their own. No case has two threads that
# assert. _UINTPTR_T: its header knows of the uintptr_t of glibc only, and would define another.
library_cmocka() {
    "$prefix/bin/cc" -O2 -D_UINTPTR_T -I"$sources/cmocka/include" -DHAVE_INTTYPES_H -DHAVE_SIGNAL_H -DHAVE_STRINGS_H \
        -DHAVE_STRSIGNAL -DHAVE_SIGLONGJMP -DHAVE_STRUCT_TIMESPEC -DHAVE_CLOCK_REALTIME -c "$sources/cmocka/src/cmocka.c" -o cmocka.o &&
        archive cmocka cmocka.o &&
        cp "$sources/cmocka/include/"cmocka*.h "$prefix/include/" &&
        pkg_config cmocka 1.1.5 -lcmocka -D_UINTPTR_T
}

library_xxhash() {
    "$prefix/bin/cc" -O2 -c "$sources/xxhash/xxhash.c" -o xxhash.o &&
        archive xxhash xxhash.o &&
        cp "$sources/xxhash/xxhash.h" "$prefix/include/" &&
        pkg_config libxxhash 0.8.1 -lxxhash
}

library_jansson() {
    with_cmake "$sources/jansson" -DJANSSON_BUILD_DOCS=OFF -DJANSSON_WITHOUT_TESTS=ON -DJANSSON_EXAMPLES=OFF
}

library_cares() {
    with_cmake "$sources/c-ares" -DCARES_STATIC=ON -DCARES_SHARED=OFF -DCARES_BUILD_TOOLS=OFF
}

# With the few files of libunistring that come with it; the library whole takes longer than everything else together.
library_idn2() {
    with_configure "$sources/libidn2" --with-included-libunistring --disable-doc --disable-nls \
        --disable-gcc-warnings --without-libiconv-prefix --without-libintl-prefix &&
        make -j "$demit_jobs" -C gl &&
        make -j "$demit_jobs" -C unistring &&
        make -j "$demit_jobs" -C lib install &&
        make install-pkgconfigDATA
}

# What APR's configure would find out by running programs. All of these systems have threads, locks and sockets as POSIX
# 2008 wants them; where they differ, the answer is the one that asks least.
library_apr() {
    export ac_cv_file__dev_zero=yes ac_cv_struct_rlimit=yes ac_cv_func_setpgrp_void=no ac_cv_strerror_r_rc_int=yes
    export ap_cv_atomic_builtins=yes ap_cv__atomic_builtins=yes ap_cv_atomic_builtins64=yes ap_cv__atomic_builtins64=yes
    export apr_cv_pthreads_cflags=-pthread apr_cv_pthreads_lib=-lpthread
    export apr_cv_mutex_recursive=yes apr_cv_process_shared_works=yes apr_cv_mutex_robust_shared=no
    export apr_cv_tcp_nodelay_with_cork=no ac_cv_o_nonblock_inherited=yes
    export ac_cv_working_getaddrinfo=yes ac_cv_working_getnameinfo=yes ac_cv_negative_eai=no
    # Threads by name: what it knows of FreeBSD's it asks the running kernel for.
    with_configure "$sources/apr" --enable-threads CC_FOR_BUILD=cc CFLAGS_FOR_BUILD=-O &&
        make -j "$demit_jobs" &&
        make install
}

# The Makefile of the library alone; its names are made by a program that runs here.
library_cap() {
    cp -R "$sources/libcap2/." . &&
        make -C libcap CC="$prefix/bin/cc" AR="$prefix/bin/ar" RANLIB="$prefix/bin/ranlib" BUILD_CC=cc PTHREADS=no SHARED=no \
            USE_GPERF=no libcap.a &&
        cp libcap/libcap.a "$prefix/lib/" &&
        cp -R libcap/include/sys "$prefix/include/" &&
        pkg_config libcap 2.66 -lcap
}
