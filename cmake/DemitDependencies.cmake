# What demit stands on. docs/dependencies.md gives the reason for each.
find_package(PkgConfig REQUIRED)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

pkg_check_modules(APR REQUIRED IMPORTED_TARGET apr-1>=1.6)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash>=0.8)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.10)
pkg_check_modules(IDN2 REQUIRED IMPORTED_TARGET libidn2>=2.3)
pkg_check_modules(CARES REQUIRED IMPORTED_TARGET libcares>=1.16)
if(DEMIT_OS STREQUAL "linux")
  pkg_check_modules(CAP REQUIRED IMPORTED_TARGET libcap>=2.66)
endif()

set(DEMIT_BUILT_WITH "APR ${APR_VERSION}, c-ares ${CARES_VERSION}, jansson ${JANSSON_VERSION}, libidn2 ${IDN2_VERSION}, xxHash ${XXHASH_VERSION}")
if(CAP_FOUND)
  string(APPEND DEMIT_BUILT_WITH ", libcap ${CAP_VERSION}")
endif()

if(DEMIT_BUILD_TESTS)
  pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka>=1.1)
endif()
