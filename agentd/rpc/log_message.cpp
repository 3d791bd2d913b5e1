#include "agentd/rpc/log_message.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/slice.h>

#include <memory>
#include <string>

namespace mg::rpc {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;
using Message = multigres::agent::v1::TailLogsResponse;
using Text = std::shared_ptr<const logs::TextBuffer>;

constexpr std::uint32_t kTextTag =
    WireFormatLite::MakeTag(Message::kTextFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);

grpc::Slice SliceOf(const Text& text) {
  auto* holder = new Text(text);
  return grpc::Slice(
      const_cast<char*>(text->view().data()), text->size(), [](void* held) { delete static_cast<Text*>(held); },
      holder);
}

}  // namespace

grpc::ByteBuffer EncodeLogs(const logs::LogTail::Batch& batch) {
  std::string head = batch.message.SerializeAsString();
  if (batch.text == nullptr || batch.text->size() == 0) {
    grpc::Slice slice(head);
    return {&slice, 1};
  }
  std::uint8_t field[2 * 10];
  std::uint8_t* end = CodedOutputStream::WriteVarint32ToArray(kTextTag, field);
  end = CodedOutputStream::WriteVarint64ToArray(batch.text->size(), end);
  head.append(reinterpret_cast<const char*>(field), static_cast<size_t>(end - field));
  grpc::Slice slices[] = {grpc::Slice(head), SliceOf(batch.text)};
  return {slices, 2};
}

}  // namespace mg::rpc
