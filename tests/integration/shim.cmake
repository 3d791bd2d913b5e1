mg_process_test(shim_test DEPS mg::common::shim_protocol mg::common::fs mg::common::process PROGRAMS multigres-shim)
