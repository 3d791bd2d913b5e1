mg_test(NAME shard_test LABEL process TIMEOUT 300 PROCESSORS 2
  SOURCES shard_test.cpp shard_sandbox.cpp pgctld_sandbox.cpp
  DEPS mg::common::consensus mg::common::fs mg::common::logs mg::common::pginstall mg::common::pgsql mg::common::process
       mg::common::rpc mg::common::shim_protocol mg::common::status mg::common::topology mg::proto::upstream mg::ext::grpc)
add_dependencies(shard_test pgctld multipooler multiorch multigres-shim)
mg_test(NAME shard_data_test LABEL process TIMEOUT 300 PROCESSORS 2
  SOURCES shard_data_test.cpp shard_sandbox.cpp pgctld_sandbox.cpp
  DEPS mg::common::consensus mg::common::fs mg::common::logs mg::common::pginstall mg::common::pgsql mg::common::process
       mg::common::rpc mg::common::shim_protocol mg::common::status mg::common::topology mg::proto::upstream mg::ext::grpc)
add_dependencies(shard_data_test pgctld multipooler multiorch multigres-shim)
