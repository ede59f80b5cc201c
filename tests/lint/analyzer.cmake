# gcc 12's -fanalyzer: over core/ and os/ in the ordinary build on Linux; where another back end is built, over that one.
# Other versions of gcc say other things, and a sanitizer's code is not ours.
find_program(DEMIT_GCC_12 gcc-12)
if(DEMIT_GCC_12 AND CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_BUILD_TYPE STREQUAL "Debug" AND NOT DEMIT_SANITIZE)
  find_program(DEMIT_PYTHON NAMES python3 PATHS /usr/bin /usr/local/bin NO_DEFAULT_PATH REQUIRED)
  add_test(NAME lint/analyzer COMMAND "${DEMIT_PYTHON}" -B "${CMAKE_CURRENT_LIST_DIR}/lint.py" analyzer "${PROJECT_SOURCE_DIR}"
           "${PROJECT_BINARY_DIR}")
  set(_labels "lint;slow")
  if(NOT DEMIT_OS STREQUAL "linux")
    set(_labels analysis)
  endif()
  set_tests_properties(lint/analyzer PROPERTIES LABELS "${_labels}" TIMEOUT 1800 PROCESSORS 2 SKIP_RETURN_CODE 77
                       ENVIRONMENT "DEMIT_OS=${DEMIT_OS}")
endif()
