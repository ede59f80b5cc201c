# What ci/test and ci/try share: words for people, packages, builds. Sourced by bash.
# shellcheck shell=bash disable=SC2034 # the variables are for those who source this

demit_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
demit_jobs=$(nproc 2>/dev/null || echo 2)
export PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive CLICOLOR=0

# What to compile, and what the daemon stands on.
packages_build=(gcc libc6-dev cmake ninja-build pkg-config
    libapr1-dev libc-ares-dev libcap-dev libidn2-dev libjansson-dev libseccomp-dev libxxhash-dev libcmocka-dev)
# A client for ci/try, and what both it and the system tests use to look at a process and a network.
packages_try=(swaks iproute2 libcap2-bin)
# Everything that ci/test needs beyond these.
packages_test=(clang-14 clang-tidy-14 clang-format-14 libclang-rt-14-dev cppcheck shellcheck valgrind libc6-dbg mandoc binutils
    python3 dnsmasq-base dovecot-core dovecot-lmtpd)

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

is_root() { [ "$(id -u)" -eq 0 ]; }

# ---- packages ----------------------------------------------------------------------------------------------------

# Those of the named packages that are not installed.
packages_missing() {
    local package
    for package in "$@"; do
        case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
        *' installed') ;;
        *) printf '%s\n' "$package" ;;
        esac
    done
}

# Installs what is missing of the named packages. A daemon that comes with one is neither started nor enabled: the tests
# start their own instances, and a developer's machine must not find itself with a new server.
packages_install() {
    local missing
    mapfile -t missing < <(packages_missing "$@")
    if [ ${#missing[@]} -eq 0 ]; then
        good "packages: all ${#} are here"
        return 0
    fi
    command -v apt-get >/dev/null || die "these packages are missing, and there is no apt-get to install them: ${missing[*]}"
    is_root || die "these packages are missing, and only root can install them: ${missing[*]}"
    note "installing: ${missing[*]}"
    services_hold
    if ! { apt_quietly update && apt_quietly install --yes --no-install-recommends "${missing[@]}"; }; then
        services_release
        die "the packages could not be installed"
    fi
    services_release
    local package
    for package in "${missing[@]}"; do
        if [ "$package" = dovecot-core ] && command -v systemctl >/dev/null; then
            systemctl --quiet disable dovecot.service dovecot.socket 2>/dev/null || true
        fi
    done
    good "packages: installed ${#missing[@]}"
}

apt_quietly() {
    local log status=0
    log=$(mktemp)
    # Another apt may be at work on a fresh machine: wait for it.
    apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -qq "$@" >"$log" 2>&1 </dev/null || status=$?
    [ "$status" -eq 0 ] || cat "$log" >&2
    rm -f "$log"
    return "$status"
}

policy=/usr/sbin/policy-rc.d
services_hold() {
    services_release # what a run that was killed left behind is not the administrator's
    [ ! -e "$policy" ] || mv "$policy" "$policy.demit-saved"
    printf '#!/bin/sh\n# Put here by demit while it installs packages; removed afterwards.\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}
services_release() {
    if grep -qs 'Put here by demit' "$policy"; then rm -f "$policy"; fi
    [ ! -e "$policy.demit-saved" ] || mv "$policy.demit-saved" "$policy"
}

# smtp-source and smtp-sink are part of Postfix, whose package would replace the mail server that this machine runs.
# So it is unpacked beside the build, not installed; only the libraries that it needs are.
tools_unpack() {
    local tools="$demit_top/build/tools" library
    if [ -x /usr/sbin/smtp-source ] || [ -x "$tools/bin/smtp-source" ]; then
        good "smtp-source and smtp-sink are here"
        return 0
    fi
    rm -rf "$tools"
    mkdir -p "$tools/bin"
    (cd "$tools" && apt-get -qq download postfix >/dev/null 2>&1) || {
        apt_quietly update
        (cd "$tools" && apt-get -qq download postfix >/dev/null 2>&1) || die "postfix could not be downloaded"
    }
    dpkg-deb -x "$tools"/postfix_*.deb "$tools"
    mapfile -t library < <(dpkg-deb -f "$tools"/postfix_*.deb Depends | tr ',' '\n' | sed -n 's/^ *\(lib[^ :(]*\).*/\1/p')
    packages_install "${library[@]}"
    local name
    for name in smtp-source smtp-sink; do
        printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' "$tools/usr/lib/postfix" "$tools/usr/sbin/$name" >"$tools/bin/$name"
        chmod 755 "$tools/bin/$name"
    done
    good "smtp-source and smtp-sink: unpacked from the package postfix into build/tools"
}

# ---- builds ------------------------------------------------------------------------------------------------------

# flavour_build NAME PRESET [CMAKE-OPTION…]: configures and builds into build/NAME; its words go to build/log/NAME.build.
flavour_build() {
    local name=$1 preset=$2 started=$SECONDS
    shift 2
    mkdir -p "$demit_top/build/log"
    local log="$demit_top/build/log/$name.build"
    [ ! -t 1 ] || note "building $name: this may take some minutes; build/log/$name.build shows how far it is"
    if (
        cd "$demit_top" &&
            cmake --preset "$preset" -B "build/$name" "$@" &&
            cmake --build "build/$name" --parallel "$demit_jobs"
    ) >"$log" 2>&1 </dev/null; then
        good "build $name ($((SECONDS - started)) s)"
    else
        bad "build $name ($((SECONDS - started)) s); the end of build/log/$name.build:"
        tail -n 40 "$log" | sed 's/^/        /'
        return 1
    fi
}

# built FLAVOUR PROGRAM: the path of a program that flavour_build() made.
built() {
    local path
    path=$(find "$demit_top/build/$1/core" -type f -perm -u+x -name "$2" -print -quit)
    [ -n "$path" ] || die "the build $1 made no $2"
    printf '%s\n' "$path"
}
