# mg_test(NAME … LABEL unit|process|e2e|lint SOURCES … DEPS … [PROCESSORS n] [TIMEOUT s] [DISCOVER] [ENVIRONMENT …]):
# one test program. DISCOVER registers each test case by itself (for programs that start fast); otherwise the program is one ctest
# entry. Label `unit` tests touch no other process.
include(GoogleTest)
function(mg_test)
  if(NOT MG_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(A "DISCOVER" "NAME;LABEL;PROCESSORS;TIMEOUT" "SOURCES;DEPS;ENVIRONMENT" ${ARGN})
  if(NOT A_LABEL)
    set(A_LABEL unit)
  endif()
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 120)
  endif()
  if(NOT A_PROCESSORS)
    set(A_PROCESSORS 1)
  endif()
  file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  mg_view(${folder} view)
  add_executable(${A_NAME} ${A_SOURCES})
  target_include_directories(${A_NAME} PRIVATE ${view})
  target_link_libraries(${A_NAME} PRIVATE ${A_DEPS} mg::ext::gtest mg_warnings)
  # What is tested is optimised; the tests themselves need not be, and compile in half the time.
  target_compile_options(${A_NAME} PRIVATE -O0)
  set_target_properties(${A_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  set(env MULTIGRES_BUILD_DIR=${CMAKE_BINARY_DIR} MULTIGRES_SOURCE_DIR=${CMAKE_SOURCE_DIR} ${A_ENVIRONMENT})
  if(A_DISCOVER)
    # One variable each: a list would be split on its way through the scripts of gtest_discover_tests.
    gtest_discover_tests(${A_NAME} DISCOVERY_MODE PRE_TEST
      PROPERTIES LABELS ${A_LABEL} TIMEOUT ${A_TIMEOUT} ENVIRONMENT MULTIGRES_BUILD_DIR=${CMAKE_BINARY_DIR}
                 ENVIRONMENT_MODIFICATION MULTIGRES_SOURCE_DIR=set:${CMAKE_SOURCE_DIR})
  else()
    add_test(NAME ${A_NAME} COMMAND ${A_NAME})
    set_tests_properties(${A_NAME} PROPERTIES LABELS ${A_LABEL} TIMEOUT ${A_TIMEOUT} PROCESSORS ${A_PROCESSORS}
      ENVIRONMENT "${env}" SKIP_RETURN_CODE 77)
  endif()
endfunction()
