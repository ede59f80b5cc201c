# Default paths, from GNUInstallDirs, as one generated header.
set(DEMIT_PATH_CONFIG "${CMAKE_INSTALL_FULL_SYSCONFDIR}/demit/demit.conf")
set(DEMIT_PATH_SPOOL "${CMAKE_INSTALL_FULL_LOCALSTATEDIR}/spool/demit")
set(DEMIT_PATH_LOG_DIR "${CMAKE_INSTALL_FULL_LOCALSTATEDIR}/log/demit")
set(DEMIT_PATH_RUN_DIR "${CMAKE_INSTALL_FULL_RUNSTATEDIR}/demit")
set(DEMIT_PATH_CONTROL "${DEMIT_PATH_RUN_DIR}/control.sock")
configure_file(cmake/build.h.in include/demit/build.h @ONLY)
