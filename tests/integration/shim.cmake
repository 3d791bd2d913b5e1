mg_process_test(shim_test DEPS mg::common::shim_protocol mg::common::shim_record mg::common::fs mg::common::process PROGRAMS multigres-shim)
mg_test(NAME shim_version_test LABEL process SOURCES shim_version_test.cpp
  DEPS mg::common::shim_protocol mg::common::shim_record mg::common::fs mg::common::process)
if(MG_SANITIZE)
  target_compile_definitions(shim_test PRIVATE MG_SANITIZED)
endif()
