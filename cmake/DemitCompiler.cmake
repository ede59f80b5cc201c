# Warnings, hardening and sanitizers, as one interface target that every target links.
include(CheckCCompilerFlag)
include(CheckPIESupported)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

set(DEMIT_SANITIZE "" CACHE STRING "Sanitizers to build with, as -fsanitize= takes them: address,undefined or thread")

add_library(demit_compiler INTERFACE)
add_library(demit::compiler ALIAS demit_compiler)
target_include_directories(demit_compiler INTERFACE "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/include" "${PROJECT_BINARY_DIR}/include")

# A system of 32 bits has files of more than 2 GiB all the same. Not _TIME_BITS: c-ares was built without, and takes a timeval.
if(CMAKE_SIZEOF_VOID_P EQUAL 4)
  target_compile_definitions(demit_compiler INTERFACE _FILE_OFFSET_BITS=64)
endif()

# C11 without extensions hides POSIX too; each system has its own word for "show me everything".
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  target_compile_definitions(demit_compiler INTERFACE _GNU_SOURCE)
elseif(CMAKE_SYSTEM_NAME STREQUAL "NetBSD")
  target_compile_definitions(demit_compiler INTERFACE _NETBSD_SOURCE)
elseif(CMAKE_SYSTEM_NAME STREQUAL "SunOS")
  target_compile_definitions(demit_compiler INTERFACE __EXTENSIONS__ _POSIX_PTHREAD_SEMANTICS)
endif()

set(_warnings -Wall -Wextra -Wconversion -Wshadow -Wswitch-enum -Wstrict-prototypes
              -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla -Wformat=2 -Wundef)
if(DEMIT_WERROR)
  list(APPEND _warnings -Werror)
endif()
target_compile_options(demit_compiler INTERFACE ${_warnings})

function(demit_add_flag_if_supported flag)
  string(MAKE_C_IDENTIFIER "DEMIT_HAS${flag}" _var)
  set(CMAKE_REQUIRED_FLAGS "-Werror")
  check_c_compiler_flag("${flag}" ${_var})
  if(${_var})
    target_compile_options(demit_compiler INTERFACE ${flag})
  endif()
endfunction()

check_pie_supported(LANGUAGES C)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
demit_add_flag_if_supported(-fstack-protector-strong)
demit_add_flag_if_supported(-fstack-clash-protection)
demit_add_flag_if_supported(-fno-common)
# Control-flow protection: x86 and arm64 spell it differently, others have none.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64|i[3-6]86)$")
  demit_add_flag_if_supported(-fcf-protection=full)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  demit_add_flag_if_supported(-mbranch-protection=standard)
endif()

# Counters of what ran, for ci/coverage. They lie in a shared mapping of a file that is opened before main(): so they count
# behind a chroot, a sandbox and another identity, and in a process that is killed, and the product knows nothing of them.
option(DEMIT_COVERAGE "Count which lines run (needs clang)" OFF)
if(DEMIT_COVERAGE)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "DEMIT_COVERAGE needs clang (CC=clang), not ${CMAKE_C_COMPILER_ID}")
  endif()
  target_compile_options(demit_compiler INTERFACE -fprofile-instr-generate -fcoverage-mapping
                                                  "SHELL:-mllvm -runtime-counter-relocation=true")
  target_link_options(demit_compiler INTERFACE -fprofile-instr-generate)
endif()

if(DEMIT_SANITIZE)
  target_compile_options(demit_compiler INTERFACE -fsanitize=${DEMIT_SANITIZE} -fno-omit-frame-pointer
                                                  -fno-sanitize-recover=all)
  target_link_options(demit_compiler INTERFACE -fsanitize=${DEMIT_SANITIZE})
else()
  # FORTIFY needs optimisation and hides errors from the sanitizers, so it is for the other builds.
  target_compile_options(demit_compiler INTERFACE
    $<$<CONFIG:Release,RelWithDebInfo,MinSizeRel>:-U_FORTIFY_SOURCE> $<$<CONFIG:Release,RelWithDebInfo,MinSizeRel>:-D_FORTIFY_SOURCE=2>)
endif()

include(CheckLinkerFlag)
foreach(_flag -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed)
  string(MAKE_C_IDENTIFIER "DEMIT_HAS_LINK${_flag}" _var)
  check_linker_flag(C "${_flag}" ${_var})
  if(${_var})
    target_link_options(demit_compiler INTERFACE "${_flag}")
  endif()
endforeach()
