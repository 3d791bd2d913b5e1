mg_test(NAME pgctld_test LABEL process TIMEOUT 240
  SOURCES pgctld_test.cpp pgctld_trouble_test.cpp pgctld_sandbox.cpp
  DEPS mg::common::fs mg::common::pginstall mg::common::pgsql mg::common::process mg::common::rpc mg::common::shim_protocol
       mg::common::status mg::proto::upstream mg::ext::grpc)
add_dependencies(pgctld_test pgctld multigres-shim)
