# Cross-compiles with `zig cc`, which carries the C library headers of FreeBSD, NetBSD, OpenBSD and musl, and for each
# release the list of the symbols that its libraries have. ci/foreign calls it, and writes the tools that it names:
#
#     cmake --toolchain cmake/toolchains/zig.cmake -DDEMIT_ZIG_TOOLS=DIRECTORY -DDEMIT_ZIG_TARGET=x86_64-freebsd.14.0 …
#
# DIRECTORY holds cc, ar and ranlib for that one target, and lib/pkgconfig of what was cross-built for it.
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES DEMIT_ZIG_TOOLS DEMIT_ZIG_TARGET)

if(NOT DEMIT_ZIG_TARGET MATCHES "^([a-z0-9_]+)-(freebsd|netbsd|openbsd|linux)[.-]([a-z0-9.]+)$")
  message(FATAL_ERROR "DEMIT_ZIG_TARGET=${DEMIT_ZIG_TARGET} is no target that this file knows; "
                      "right would be x86_64-freebsd.14.0 or aarch64-linux-musl")
endif()
set(CMAKE_SYSTEM_PROCESSOR "${CMAKE_MATCH_1}")
set(CMAKE_SYSTEM_VERSION "${CMAKE_MATCH_3}")
set(_demit_name_freebsd FreeBSD)
set(_demit_name_netbsd NetBSD)
set(_demit_name_openbsd OpenBSD)
set(_demit_name_linux Linux)
set(CMAKE_SYSTEM_NAME "${_demit_name_${CMAKE_MATCH_2}}")

set(CMAKE_C_COMPILER "${DEMIT_ZIG_TOOLS}/bin/cc")
set(CMAKE_AR "${DEMIT_ZIG_TOOLS}/bin/ar")
set(CMAKE_RANLIB "${DEMIT_ZIG_TOOLS}/bin/ranlib")

# What nothing calls would be left out before anybody asks whether its symbols are there: not what a compiler of these
# systems does, and not what this is for.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,--no-gc-sections")

# Nothing of this machine's own: neither its libraries nor its pkg-config files fit another system.
set(CMAKE_FIND_ROOT_PATH "${DEMIT_ZIG_TOOLS}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} "${DEMIT_ZIG_TOOLS}/lib/pkgconfig")
set(ENV{PKG_CONFIG_PATH} "")
