# What ci/test and ci/try share: words for people, packages, builds. Sourced by bash.
# shellcheck shell=bash disable=SC2034 # the variables are for those who source this

demit_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
demit_jobs=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
export PATH="/usr/local/sbin:/usr/local/bin:/usr/pkg/sbin:/usr/pkg/bin:/opt/ooce/bin:/usr/sbin:/usr/bin:/sbin:/bin"
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive CLICOLOR=0

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' dim=$'\e[2m' plain=$'\e[0m'
else
    bold='' green='' red='' dim='' plain=''
fi

title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
good() { printf '  %sok%s    %s\n' "$green" "$plain" "$*"; }
bad() { printf '  %sFAIL%s  %s\n' "$red" "$plain" "$*"; }
note() { printf '        %s%s%s\n' "$dim" "$*" "$plain"; }
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

system_name() {
    if [ -r /etc/os-release ]; then
        (. /etc/os-release && echo "$PRETTY_NAME")
    else
        uname -sr
    fi
}

is_root() { [ "$(id -u)" -eq 0 ]; }

# shellcheck source=ci/packages.sh
. "$demit_top/ci/packages.sh"
# shellcheck source=ci/roots.sh
. "$demit_top/ci/roots.sh"

# ---- builds ------------------------------------------------------------------------------------------------------

# flavour_build NAME PRESET [CMAKE-OPTION…]: configures and builds into build/NAME; its words go to build/log/NAME.build.
# With the variable flavour_target that target is built, and what it needs, instead of everything.
flavour_build() {
    local name=$1 preset=$2 started=$SECONDS
    shift 2
    mkdir -p "$demit_top/build/log"
    local log="$demit_top/build/log/$name.build"
    [ ! -t 1 ] || note "building $name: this may take some minutes; build/log/$name.build shows how far it is"
    if (
        cd "$demit_top" &&
            cmake --preset "$preset" -B "build/$name" "$@" &&
            cmake --build "build/$name" --parallel "$demit_jobs" ${flavour_target:+--target "$flavour_target"}
    ) >"$log" 2>&1 </dev/null; then
        good "build $name ($((SECONDS - started)) s)"
    else
        bad "build $name ($((SECONDS - started)) s); the end of build/log/$name.build:"
        tail -n 40 "$log" | sed 's/^/        /'
        return 1
    fi
}

# ---- cells of ci/matrix.table ------------------------------------------------------------------------------------

# The names of the cells that ci/test all runs.
cells_of_all() { awk '$1 != "#" && $9 == "all" { print $1 }' "$demit_top/ci/matrix.table"; }

# cell_read NAME: its line, as cell_system, cell_processor and so on.
cell_read() {
    local line
    line=$(awk -v name="$1" '$1 == name' "$demit_top/ci/matrix.table")
    [ -n "$line" ] || die "ci/matrix.table has no cell $1"
    read -r cell_name cell_system cell_processor cell_compiler cell_back_end cell_build cell_checker cell_tests _ <<<"$line"
}

# The packages that the cell wants, by their groups in ci/packages.table.
cell_groups() {
    printf '%s\n' build try test
    case $cell_compiler in clang) echo clang ;; *) echo gcc ;; esac
    [ "$cell_checker" != pool-debug ] || echo source
    [ "$cell_tests" != everything ] || printf '%s\n' clang lint valgrind package foreign
    [ "$cell_tests" != emulated ] || echo "$cell_processor"
}

# The compiler by the name that it has here.
cell_compiler_here() {
    if [ "$cell_compiler" = clang ] && command -v clang-14 >/dev/null; then
        echo clang-14
    elif command -v "$cell_compiler" >/dev/null; then
        echo "$cell_compiler"
    else
        echo cc
    fi
}

# cell_build NAME [CMAKE-OPTION…]: builds the cell into build/NAME.
cell_build() {
    cell_read "$1"
    local preset=dev options=("${@:2}") pkg_config_path=${PKG_CONFIG_PATH:-}
    [ "$cell_build" != Release ] || preset=release
    options+=(-DCMAKE_BUILD_TYPE="$cell_build" -DDEMIT_OS="${cell_back_end%-model}")
    [ "$cell_back_end" = "${cell_back_end%-model}" ] || options+=(-DDEMIT_MODEL=ON -DDEMIT_BUILD_DAEMON=OFF)
    [ "$cell_tests" = emulated ] || options+=(-DCMAKE_C_COMPILER="$(cell_compiler_here)")
    case $cell_checker in
    -) ;;
    pool-debug)
        apr_pool_debug_build || return 1
        pkg_config_path=$demit_top/build/apr-pool-debug/lib/pkgconfig
        ;;
    *) options+=(-DDEMIT_SANITIZE="$cell_checker") ;;
    esac
    # libFuzzer comes with clang; on other systems the name of its package varies too much.
    [ "$cell_compiler-$cell_system" != clang-debian-12 ] || options+=(-DDEMIT_BUILD_FUZZERS=ON)
    if [ "$cell_tests" = emulated ]; then
        cross_prepare "$cell_processor" || return 1
        options+=(-DCMAKE_TOOLCHAIN_FILE="$demit_top/build/roots/$cell_processor.cmake")
    fi
    PKG_CONFIG_PATH=$pkg_config_path flavour_build "$1" "$preset" "${options[@]}"
}

# built FLAVOUR PROGRAM: the path of a program that flavour_build() made.
built() {
    local path
    path=$(find "$demit_top/build/$1/core" -type f -perm -u+x -name "$2" -print -quit)
    [ -n "$path" ] || die "the build $1 made no $2"
    printf '%s\n' "$path"
}
