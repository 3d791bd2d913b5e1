mg_test(NAME rule_store_test LABEL process
  SOURCES rule_store_test.cpp postgres_fixture.cpp
  DEPS mg::components::multipooler::manager mg::common::consensus mg::common::fs mg::common::process mg::common::pgsql)
