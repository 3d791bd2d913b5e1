#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/security/credentials.h>

#include "absl/time/clock.h"
#include "common/rpc/channel_arguments.h"
#include "common/rpc/rpc.h"

namespace mg::rpc {
namespace {

constexpr int kMaxMessageBytes = 16 << 20;
constexpr int kMaxReconnectMillis = 1000;
constexpr int kMinReconnectMillis = 50;
/// How much a server may send before the reader has taken it, and at once: for logs, which are the only large answers.
constexpr int kWindowBytes = 4 << 20;
constexpr int kFrameBytes = 1 << 20;
/// Of headers. Ours keep within gRPC's 8 KiB; upstream's servers, in Go, know no such bound for an error's text.
constexpr int kMaxMetadataBytes = 1 << 20;

}  // namespace

grpc::ChannelArguments StandardArguments() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kMinReconnectMillis);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kMaxReconnectMillis);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMillis);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // A proxy from the environment is never meant for the local machine.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // No TXT lookups for service configurations.
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  return arguments;
}

std::shared_ptr<grpc::Channel> DialPlain(const std::string& target) {
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), StandardArguments());
}

std::shared_ptr<grpc::Channel> ChannelFromFd(UniqueFd fd) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kFrameBytes);
  return grpc::CreateCustomInsecureChannelFromFd("localhost", fd.Release(), arguments);
}

void SetDeadline(grpc::ClientContext* context, absl::Time deadline) {
  if (deadline != absl::InfiniteFuture()) {
    context->set_deadline(absl::ToChronoTime(deadline));
  }
}

}  // namespace mg::rpc
