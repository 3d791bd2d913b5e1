if(TARGET mg::agentd::startup AND TARGET mg::cli::client)
  # The agent with a provisioner that only pretends, for tests of the process itself.
  add_executable(multigres-agent-fake agent_fake_main.cpp)
  target_link_libraries(multigres-agent-fake PRIVATE mg::agentd::startup mg::agentd::provisioners::fake mg_warnings)
  set_target_properties(multigres-agent-fake PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  mg_test(NAME agent_process_test LABEL process
    SOURCES agent_process_test.cpp agent_systemd_test.cpp agent_forwarding_test.cpp agent_sandbox.cpp
    DEPS mg::cli::client mg::common::fs mg::common::process mg::common::rpc mg::common::status mg::ext::grpc
         mg::proto::agent mg::proto::upstream mg::proto::google)
  add_dependencies(agent_process_test multigres-agent-fake)
endif()
