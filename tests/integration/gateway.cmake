mg_test(NAME gateway_test LABEL process TIMEOUT 300 PROCESSORS 2
  SOURCES gateway_test.cpp gateway_pool_test.cpp gateway_remote_test.cpp gateway_sandbox.cpp pgctld_sandbox.cpp postgres_fixture.cpp
  DEPS mg::agentd::provisioners::local mg::components::multipooler::pool mg::common::fs mg::common::logs mg::common::pginstall mg::common::pgsql mg::common::pgwire
       mg::common::process mg::common::rpc mg::common::shim_protocol mg::common::status mg::common::topology
       mg::proto::upstream mg::ext::grpc mg::ext::libpq)
add_dependencies(gateway_test multigateway multigres-shim pgctld)
