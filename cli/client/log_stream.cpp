#include "cli/client/log_stream.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace mg::cli {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using Response = agent::TailLogsResponse;

constexpr char kMethod[] = "/multigres.agent.v1.AgentService/TailLogs";
constexpr std::uint32_t kTextTag =
    WireFormatLite::MakeTag(Response::kTextFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);

/// The pieces of the buffer that a field of bytes consists of.
bool TakePieces(CodedInputStream* in, std::vector<absl::string_view>* pieces) {
  std::uint32_t size = 0;
  if (!in->ReadVarint32(&size)) {
    return false;
  }
  while (size > 0) {
    const void* data = nullptr;
    int length = 0;
    if (!in->GetDirectBufferPointer(&data, &length)) {
      return false;
    }
    std::uint32_t take = std::min(size, static_cast<std::uint32_t>(length));
    pieces->emplace_back(static_cast<const char*>(data), take);
    in->Skip(static_cast<int>(take));
    size -= take;
  }
  return true;
}

/// A message as gRPC received it. It keeps the slices: a small one holds its bytes itself, so that they must not move.
class Received {
 public:
  explicit Received(const grpc::ByteBuffer& buffer) {
    good_ = buffer.Dump(&slices_).ok();
    for (const grpc::Slice& slice : slices_) {
      streams_.emplace_back(slice.begin(), static_cast<int>(slice.size()));
      pointers_.push_back(&streams_.back());
    }
  }
  Received(const Received&) = delete;
  Received& operator=(const Received&) = delete;

  /// Once. The text of a message in text form is left where it is: its pieces are valid as long as this object.
  bool Decode(bool text_form, Response* message, std::vector<absl::string_view>* text) {
    google::protobuf::io::ConcatenatingInputStream bytes(pointers_.data(), static_cast<int>(pointers_.size()));
    if (!good_ || !text_form) {
      return good_ && message->ParseFromZeroCopyStream(&bytes);
    }
    CodedInputStream in(&bytes);
    std::string rest;
    {
      google::protobuf::io::StringOutputStream kept(&rest);
      google::protobuf::io::CodedOutputStream out(&kept);
      while (std::uint32_t tag = in.ReadTag()) {
        if (tag == kTextTag ? !TakePieces(&in, text) : !WireFormatLite::SkipField(&in, tag, &out)) {
          return false;
        }
      }
    }
    return message->ParseFromString(rest);
  }

 private:
  std::vector<grpc::Slice> slices_;
  std::deque<google::protobuf::io::ArrayInputStream> streams_;
  std::vector<google::protobuf::io::ZeroCopyInputStream*> pointers_;
  bool good_ = false;
};

/// One call's queue: begins something, and waits for it.
class Events {
 public:
  ~Events() {
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }
  grpc::CompletionQueue* queue() { return &queue_; }
  bool Wait() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }

 private:
  grpc::CompletionQueue queue_;
};

}  // namespace

grpc::Status ReadLogs(const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext* context,
                      const agent::TailLogsRequest& request, const AgentClient::LogReader& reader) {
  void* const tag = nullptr;
  Events events;
  grpc::GenericStub stub(channel);
  auto call = stub.PrepareCall(context, kMethod, events.queue());
  call->StartCall(tag);
  bool damaged = false, enough = false;
  if (events.Wait()) {
    grpc::Slice bytes(request.SerializeAsString());
    call->WriteLast(grpc::ByteBuffer(&bytes, 1), grpc::WriteOptions(), tag);
    bool going = events.Wait();
    while (going && !damaged && !enough) {
      grpc::ByteBuffer buffer;
      call->Read(&buffer, tag);
      going = events.Wait();
      if (going) {
        Received received(buffer);
        Response message;
        std::vector<absl::string_view> text;
        damaged = !received.Decode(request.text(), &message, &text);
        enough = !damaged && !reader(message, text);
      }
    }
  }
  if (damaged || enough) {
    context->TryCancel();
  }
  grpc::Status status;
  call->Finish(&status, tag);
  (void)events.Wait();
  if (damaged) {
    return {grpc::StatusCode::INTERNAL, "the agent's answer cannot be read"};
  }
  return enough ? grpc::Status::OK : status;
}

}  // namespace mg::cli
