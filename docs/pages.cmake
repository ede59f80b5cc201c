# Section 8 of the manual. Default paths come from the build.
find_program(DEMIT_MANDOC mandoc DOC "Checks the manual pages")

foreach(_page demitd.8 demitctl.8)
  configure_file(${_page}.in ${_page} @ONLY)
  install(FILES "${CMAKE_CURRENT_BINARY_DIR}/${_page}" DESTINATION "${CMAKE_INSTALL_MANDIR}/man8")
endforeach()

if(DEMIT_BUILD_TESTS)
  # This directory comes before tests/, and a directory takes over only what was enabled before it.
  enable_testing()
  foreach(_page demitd.8 demitctl.8)
    if(DEMIT_MANDOC)
      # Not -Wstyle: it wants every page that is referred to installed on this machine.
      add_test(NAME lint/${_page} COMMAND "${DEMIT_MANDOC}" -Tlint -Wwarning "${CMAKE_CURRENT_BINARY_DIR}/${_page}")
    else()
      # Visible as skipped, with the reason in the output.
      add_test(NAME lint/${_page} COMMAND "${CMAKE_COMMAND}" -E echo "mandoc is not installed")
      set_tests_properties(lint/${_page} PROPERTIES SKIP_REGULAR_EXPRESSION "mandoc is not installed")
    endif()
    set_tests_properties(lint/${_page} PROPERTIES LABELS lint TIMEOUT 30)
  endforeach()
endif()
