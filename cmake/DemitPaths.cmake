# Default paths, from GNUInstallDirs, as one generated header.
set(DEMIT_PATH_CONFIG "${CMAKE_INSTALL_FULL_SYSCONFDIR}/demit/demit.conf")
set(DEMIT_PATH_SPOOL "${CMAKE_INSTALL_FULL_LOCALSTATEDIR}/spool/demit")
set(DEMIT_PATH_LOG_DIR "${CMAKE_INSTALL_FULL_LOCALSTATEDIR}/log/demit")
set(DEMIT_PATH_RUN_DIR "${CMAKE_INSTALL_FULL_RUNSTATEDIR}/demit")
# GNUInstallDirs knows /var/run only, which has been a link to /run on every Linux since FHS 3.0; one name is enough.
if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND DEMIT_PATH_RUN_DIR STREQUAL "/var/run/demit")
  set(DEMIT_PATH_RUN_DIR "/run/demit")
endif()
set(DEMIT_PATH_CONTROL "${DEMIT_PATH_RUN_DIR}/control.sock")
configure_file(cmake/build.h.in include/demit/build.h @ONLY)
