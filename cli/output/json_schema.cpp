#include "cli/output/json_schema.h"

#include <google/protobuf/descriptor.h>

#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/status.h"

namespace mg::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;

std::string Quoted(const std::string& text) { return absl::StrCat("\"", text, "\""); }

// Names in proto files, and command lines, need no escapes.
class Writer {
 public:
  explicit Writer(bool all_fields) : all_fields_(all_fields) {}

  std::string Document(const Descriptor* root, const std::string& title) {
    std::string reference = Reference(root);
    std::vector<std::string> definitions;
    for (size_t i = 0; i < pending_.size(); ++i) {
      const Descriptor* message = pending_[i];
      definitions.push_back(absl::StrCat("    ", Quoted(message->full_name()), ": ", Object(message)));
    }
    return absl::StrCat("{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n  \"title\": ",
                        Quoted(title), ",\n  ", reference.substr(1, reference.size() - 2), ",\n  \"$defs\": {\n",
                        absl::StrJoin(definitions, ",\n"), "\n  }\n}\n");
  }

 private:
  std::string Reference(const Descriptor* message) {
    if (seen_.insert(message).second) {
      pending_.push_back(message);
    }
    return absl::StrCat("{\"$ref\": \"#/$defs/", message->full_name(), "\"}");
  }

  std::string OfMessage(const Descriptor* message) {
    const std::string& name = message->full_name();
    if (name == "google.protobuf.Timestamp") {
      return R"({"type": "string", "format": "date-time"})";
    }
    if (name == "google.protobuf.Duration") {
      return R"({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$"})";
    }
    if (name == "google.protobuf.Struct" || name == "google.protobuf.Any") {
      return R"({"type": "object"})";
    }
    return Reference(message);
  }

  std::string OfValue(const FieldDescriptor* field) {
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
      case FieldDescriptor::CPPTYPE_UINT32:
        return R"({"type": "integer"})";
      case FieldDescriptor::CPPTYPE_INT64:
      case FieldDescriptor::CPPTYPE_UINT64:
        return R"({"type": "string", "pattern": "^-?[0-9]+$"})";
      case FieldDescriptor::CPPTYPE_DOUBLE:
      case FieldDescriptor::CPPTYPE_FLOAT:
        return R"({"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]})";
      case FieldDescriptor::CPPTYPE_BOOL:
        return R"({"type": "boolean"})";
      case FieldDescriptor::CPPTYPE_STRING:
        return field->type() == FieldDescriptor::TYPE_BYTES ? R"({"type": "string", "contentEncoding": "base64"})"
                                                            : R"({"type": "string"})";
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return OfMessage(field->message_type());
      case FieldDescriptor::CPPTYPE_ENUM:
        break;
    }
    std::vector<std::string> words;
    for (int i = 0; i < field->enum_type()->value_count(); ++i) {
      words.push_back(Quoted(field->enum_type()->value(i)->name()));
    }
    // A number is a value of a later version.
    return absl::StrCat("{\"anyOf\": [{\"enum\": [", absl::StrJoin(words, ", "), "]}, {\"type\": \"integer\"}]}");
  }

  std::string OfField(const FieldDescriptor* field) {
    if (field->is_map()) {
      return absl::StrCat(R"({"type": "object", "additionalProperties": )", OfValue(field->message_type()->map_value()),
                          "}");
    }
    std::string value = OfValue(field);
    return field->is_repeated() ? absl::StrCat("{\"type\": \"array\", \"items\": ", value, "}") : value;
  }

  // What has no presence is always printed; a message, a member of a oneof or an optional only when it is set.
  std::string Object(const Descriptor* message) {
    std::vector<std::string> properties, required;
    for (int i = 0; i < message->field_count(); ++i) {
      const FieldDescriptor* field = message->field(i);
      properties.push_back(absl::StrCat("        ", Quoted(field->json_name()), ": ", OfField(field)));
      if (all_fields_ && !field->has_presence()) {
        required.push_back(Quoted(field->json_name()));
      }
    }
    return absl::StrCat("{\n      \"type\": \"object\",\n      \"properties\": {\n", absl::StrJoin(properties, ",\n"),
                        properties.empty() ? "" : "\n", "      },\n      \"required\": [",
                        absl::StrJoin(required, ", "), "]\n    }");
  }

  bool all_fields_;
  std::set<const Descriptor*> seen_;
  std::vector<const Descriptor*> pending_;
};

}  // namespace

absl::StatusOr<std::string> JsonSchema(const std::string& message, const std::string& title, bool all_fields) {
  const Descriptor* descriptor = DescriptorPool::generated_pool()->FindMessageTypeByName(message);
  if (descriptor == nullptr) {
    return absl::NotFoundError(absl::StrCat("this program has no message ", message));
  }
  return Writer(all_fields).Document(descriptor, title);
}

}  // namespace mg::cli
