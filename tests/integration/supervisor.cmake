mg_test(NAME supervisor_test LABEL process TIMEOUT 120
  SOURCES supervisor_test.cpp
  DEPS mg::agentd::supervisor mg::common::fs mg::common::process mg::common::shim_protocol)
add_dependencies(supervisor_test multigres-shim)
