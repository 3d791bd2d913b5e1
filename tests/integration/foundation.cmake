set(sandbox_sources child_process.cpp etcd_sandbox.cpp pgctld_sandbox.cpp)
set(sandbox_deps mg::common::fs mg::common::logs mg::common::pginstall mg::common::pgsql mg::common::process mg::common::rpc
  mg::common::shim_protocol mg::common::status mg::proto::upstream mg::ext::grpc)

mg_test(NAME etcd_client_test LABEL process SOURCES etcd_client_test.cpp ${sandbox_sources} DEPS ${sandbox_deps} mg::common::etcd)
mg_test(NAME topology_test LABEL process SOURCES topology_test.cpp ${sandbox_sources}
  DEPS ${sandbox_deps} mg::common::etcd mg::common::topology)
mg_test(NAME multiadmin_test LABEL process
  SOURCES many_cells_test.cpp multiadmin_auth_test.cpp multiadmin_fuzz_test.cpp multiadmin_grpc_test.cpp multiadmin_http_test.cpp multiadmin_sandbox.cpp ${sandbox_sources}
  DEPS ${sandbox_deps} mg::common::admin_token mg::common::etcd mg::common::topology mg::components::multiadmin::auth
       mg::proto::admin mg::ext::httplib)
mg_test(NAME servenv_process_test LABEL process SOURCES servenv_certificates_test.cpp servenv_test.cpp ${sandbox_sources}
  DEPS ${sandbox_deps} mg::agentd::provisioners::local mg::proto::admin)
foreach(test multiadmin_test servenv_process_test)
  add_dependencies(${test} multiadmin)
endforeach()
