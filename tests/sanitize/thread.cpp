// What ThreadSanitizer is told in every program of its build, however and by whomever the program is started.

extern "C" {

/// gRPC, protobuf and Abseil are Debian's and were built without ThreadSanitizer's instructions, so that the atomics by
/// which they hand memory from thread to thread are not seen: what they do by libc's functions (memmove, free,
/// epoll_wait) is left out with the rest.
const char* __tsan_default_options() {
  return "halt_on_error=1:abort_on_error=1:second_deadlock_stack=1:ignore_noninstrumented_modules=1";
}

/// What gRPC's headers put into our objects has the same reason: their own functions, and requests and responses, whose
/// memory gRPC lends and uses again. Handlers do their work on threads of our own (agentd/rpc/worker_pool), so our own
/// code's accesses and locks are all seen. The locale's table of narrow characters is filled by whoever needs it first
/// (std::regex), with the same bytes by all.
const char* __tsan_default_suppressions() {
  return "race:^std::ctype<char>::narrow\n"
         "race:^grpc::\n"
         "race:^multigres::*Request::\n"
         "race:^multigres::*Response::\n";
}
}
