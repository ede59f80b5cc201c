# Packages: their names on this system, from ci/packages.table, and its package manager. Sourced by ci/lib.sh.
# shellcheck shell=bash

# The column of ci/packages.table for this system.
package_column() {
    case $(uname -s) in
    Linux)
        local name
        for name in apt-get:apt dnf:dnf apk:apk; do
            if command -v "${name%%:*}" >/dev/null; then
                echo "${name##*:}"
                return
            fi
        done
        die "there is none of apt-get, dnf and apk here: install by hand what ci/packages.table names"
        ;;
    FreeBSD | DragonFly) echo freebsd ;;
    OpenBSD) echo openbsd ;;
    NetBSD) echo pkgin ;;
    SunOS) echo ips ;;
    *) die "no package manager is known for $(uname -s): install by hand what ci/packages.table names" ;;
    esac
}

# packages_named FOR…: the packages of these groups, one per line. What the system does not have is told, not hidden.
packages_named() {
    local column group
    column=$(package_column)
    for group in "$@"; do
        awk -v column="$column" -v group="$group" '
            $1 == "#" && $2 == "for" { for (i = 2; i <= NF; i++) { if ($i == column) { at = i - 1 } } }
            $1 == group && $at == "!" { print "no package for " $2 " on this system" > "/dev/stderr" }
            $1 == group && $at != "!" && $at != "-" { gsub(",", "\n", $at); print $at }' "$demit_top/ci/packages.table"
    done
}

package_is_installed() {
    case $1 in
    apt) dpkg-query -W -f '${Status}' "$2" 2>/dev/null | grep -q ' installed$' ;;
    dnf) rpm --quiet -q --whatprovides "$2" ;;
    apk) apk info --quiet --installed "$2" ;;
    freebsd) pkg info --quiet --exists "$2" ;;
    openbsd) [ -n "$(pkg_info -qe "$2-*" 2>/dev/null || pkg_info -qe "$2->=0" 2>/dev/null)" ] ;;
    pkgin) pkg_info -qe "$2" >/dev/null ;;
    ips) pkg list -q "$2" ;;
    esac
}

# Those of the named packages that are not installed.
packages_missing() {
    local column package
    column=$(package_column)
    for package in "$@"; do
        package_is_installed "$column" "$package" || printf '%s\n' "$package"
    done
}

# What installs packages here, without a question.
package_install_command() {
    case $(package_column) in
    apt) apt_quietly update && apt_quietly install --yes --no-install-recommends "$@" ;;
    dnf) dnf --quiet --assumeyes --setopt=install_weak_deps=False install "$@" ;;
    apk) apk add --quiet --no-progress "$@" ;;
    freebsd) env ASSUME_ALWAYS_YES=yes pkg install --quiet "$@" ;;
    openbsd) pkg_add -I -z "$@" ;;
    pkgin) pkgin -y install "$@" ;;
    ips)
        # 4: nothing to do.
        local status=0
        pkg install -q --accept "$@" || status=$?
        [ "$status" -eq 0 ] || [ "$status" -eq 4 ]
        ;;
    esac
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
    is_root || die "these packages are missing, and only root can install them: ${missing[*]}"
    note "installing: ${missing[*]}"
    services_hold
    if ! package_install_command "${missing[@]}"; then
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

# Debian starts what it installs unless a policy says no; elsewhere nothing starts by itself.
policy=/usr/sbin/policy-rc.d
services_hold() {
    command -v dpkg >/dev/null || return 0
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
    if [ "$(package_column)" != apt ]; then
        note "no smtp-source and smtp-sink: they are unpacked from Debian's package only, and tests that want them skip"
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
