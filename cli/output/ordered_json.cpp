#include "cli/output/ordered_json.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/type_resolver.h>
#include <google/protobuf/util/type_resolver_util.h>

#include "absl/strings/str_cat.h"

namespace mg::cli {

std::string OrderedJson(const google::protobuf::Message& message,
                        const google::protobuf::util::JsonPrintOptions& options) {
  // By way of the wire's form, in which the entries of maps can be had in order.
  std::string wire;
  {
    google::protobuf::io::StringOutputStream stream(&wire);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  static google::protobuf::util::TypeResolver* const resolver =
      google::protobuf::util::NewTypeResolverForDescriptorPool("type.googleapis.com",
                                                               google::protobuf::DescriptorPool::generated_pool());
  std::string json;
  // Fails only for an Any of an unknown type, of which our messages have none.
  if (!google::protobuf::util::BinaryToJsonString(
           resolver, absl::StrCat("type.googleapis.com/", message.GetDescriptor()->full_name()), wire, &json, options)
           .ok()) {
    return "{}\n";
  }
  if (json.empty() || json.back() != '\n') {
    json += '\n';
  }
  return json;
}

}  // namespace mg::cli
