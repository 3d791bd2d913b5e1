// Calls one RPC without a pause and prints calls a second and the median of one call in microseconds:
//   bench-admin TARGET /package.Service/Method TOKENFILE|- SECONDS OUTSTANDING
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "common/rpc/rpc.h"

namespace {

struct Call {
  grpc::ClientContext context;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
  grpc::ByteBuffer response;
  grpc::Status status;
  std::chrono::steady_clock::time_point begun;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: bench-admin TARGET METHOD TOKENFILE|- SECONDS OUTSTANDING\n");
    return 2;
  }
  std::string method = argv[2], token;
  if (std::string(argv[3]) != "-") {
    std::ifstream(argv[3]) >> token;
  }
  const double seconds = std::atof(argv[4]);
  const int outstanding = std::atoi(argv[5]);
  grpc::GenericStub stub(mg::rpc::DialPlain(argv[1]));
  grpc::CompletionQueue queue;
  grpc::Slice empty("");
  grpc::ByteBuffer request(&empty, 1);
  auto begin = [&] {
    auto* call = new Call();
    call->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    if (!token.empty()) {
      call->context.AddMetadata("authorization", "Bearer " + token);
    }
    call->begun = std::chrono::steady_clock::now();
    call->reader = stub.PrepareUnaryCall(&call->context, method, request, &queue);
    call->reader->StartCall();
    call->reader->Finish(&call->response, &call->status, call);
  };
  for (int i = 0; i < outstanding; ++i) {
    begin();
  }
  std::vector<double> micros;
  auto start = std::chrono::steady_clock::now();
  auto end =
      start + std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(seconds));
  void* tag = nullptr;
  bool ok = false;
  for (int left = outstanding; left > 0 && queue.Next(&tag, &ok);) {
    std::unique_ptr<Call> call(static_cast<Call*>(tag));
    auto now = std::chrono::steady_clock::now();
    if (!call->status.ok()) {
      std::fprintf(stderr, "%s: %s\n", method.c_str(), call->status.error_message().c_str());
      return 1;
    }
    micros.push_back(std::chrono::duration<double, std::micro>(now - call->begun).count());
    if (now < end) {
      begin();
    } else {
      --left;
    }
  }
  double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::nth_element(micros.begin(), micros.begin() + static_cast<std::ptrdiff_t>(micros.size() / 2), micros.end());
  std::printf("%.0f %.1f\n", static_cast<double>(micros.size()) / took, micros[micros.size() / 2]);
  return 0;
}
