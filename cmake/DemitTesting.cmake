# demit_add_unit_test(NAME config_parser SOURCES … LIBRARIES … [WRAP read write] [LABEL unit])
# A cmocka program; WRAP puts the linker's --wrap before the named functions of libraries, to inject
# faults or to see them called.
function(demit_add_unit_test)
  cmake_parse_arguments(T "ROOT" "NAME;LABEL" "SOURCES;LIBRARIES;WRAP" ${ARGN})
  if(NOT T_LABEL)
    set(T_LABEL unit)
  endif()
  add_executable(test_${T_NAME} ${T_SOURCES})
  target_link_libraries(test_${T_NAME} PRIVATE demit::compiler ${T_LIBRARIES} PkgConfig::CMOCKA Threads::Threads)
  target_include_directories(test_${T_NAME} PRIVATE "${PROJECT_SOURCE_DIR}")
  foreach(_symbol IN LISTS T_WRAP)
    # Where _FILE_OFFSET_BITS=64 gives a function another name, that one is called, and so must be wrapped.
    if(CMAKE_SIZEOF_VOID_P EQUAL 4 AND CMAKE_SYSTEM_NAME STREQUAL "Linux" AND _symbol MATCHES "^p(read|write)v?$")
      target_compile_definitions(test_${T_NAME} PRIVATE __wrap_${_symbol}=__wrap_${_symbol}64 __real_${_symbol}=__real_${_symbol}64)
      string(APPEND _symbol 64)
    endif()
    target_link_options(test_${T_NAME} PRIVATE "-Wl,--wrap=${_symbol}")
  endforeach()
  add_test(NAME ${T_LABEL}/${T_NAME} COMMAND test_${T_NAME})
  # 77 is the exit code of a test that says why it cannot run here.
  set_tests_properties(${T_LABEL}/${T_NAME} PROPERTIES LABELS ${T_LABEL} TIMEOUT 400 SKIP_RETURN_CODE 77)
endfunction()
