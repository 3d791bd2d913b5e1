mg_test(NAME local_provisioner_test LABEL process TIMEOUT 300 PROCESSORS 2
  SOURCES local_provisioner_test.cpp
  DEPS mg::agentd::provisioners::local mg::common::fs mg::common::process mg::common::status)
foreach(program multigres-shim pgctld multiadmin multipooler multiorch multigateway)
  if(TARGET ${program})
    add_dependencies(local_provisioner_test ${program})
  endif()
endforeach()
