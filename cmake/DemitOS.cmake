# Chooses the one back end under os/ that is built. -DDEMIT_OS= overrides.
set(DEMIT_OS_CHOICES linux bsd)

if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  set(_demit_os_default linux)
elseif(CMAKE_SYSTEM_NAME MATCHES "^(FreeBSD|OpenBSD|NetBSD|DragonFly)$")
  set(_demit_os_default bsd)
else()
  set(_demit_os_default "")
endif()

set(DEMIT_OS "${_demit_os_default}" CACHE STRING "Back end under os/: how this build lets go of root")
set_property(CACHE DEMIT_OS PROPERTY STRINGS ${DEMIT_OS_CHOICES})

if(NOT DEMIT_OS IN_LIST DEMIT_OS_CHOICES)
  list(JOIN DEMIT_OS_CHOICES ", " _demit_os_list)
  if(DEMIT_OS STREQUAL "")
    message(FATAL_ERROR "There is no back end for the system ${CMAKE_SYSTEM_NAME}. "
                        "Choose one with -DDEMIT_OS=; choices: ${_demit_os_list}")
  endif()
  message(FATAL_ERROR "DEMIT_OS=${DEMIT_OS} is not a back end. Choices: ${_demit_os_list}")
endif()
if(DEMIT_OS STREQUAL "linux" AND NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
  message(FATAL_ERROR "DEMIT_OS=linux needs Linux, not ${CMAKE_SYSTEM_NAME}. Choices: bsd")
endif()
message(STATUS "demit: back end os/${DEMIT_OS} on ${CMAKE_SYSTEM_NAME}")
