#include "cli/output/render.h"

#include <google/protobuf/util/json_util.h>
#include <yaml-cpp/yaml.h>

#include "absl/strings/str_cat.h"

namespace mg::cli {
namespace {

std::string Print(const google::protobuf::Message& message, bool indent, bool all) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = indent;
  options.always_print_primitive_fields = all;
  std::string json;
  // Fails only for an Any of an unknown type, of which our messages have none.
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) {
    return "{}\n";
  }
  if (json.empty() || json.back() != '\n') {
    json += '\n';
  }
  return json;
}

/// A plain scalar that YAML would read as something else than the string that it is.
bool NeedsQuotes(const std::string& text) {
  if (text.empty()) {
    return true;
  }
  try {
    YAML::Node plain = YAML::Load(text);
    if (!plain.IsScalar() || plain.Scalar() != text) {
      return true;
    }
    bool as_bool = false;
    double as_number = 0;
    return plain.IsNull() || YAML::convert<bool>::decode(plain, as_bool) ||
           YAML::convert<double>::decode(plain, as_number) || text == "~" || text == "null";
  } catch (const YAML::Exception&) {
    return true;
  }
}

void Emit(YAML::Emitter* out, const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Map:
      *out << YAML::BeginMap;
      for (const auto& entry : node) {
        *out << YAML::Key << entry.first.Scalar() << YAML::Value;
        Emit(out, entry.second);
      }
      *out << YAML::EndMap;
      break;
    case YAML::NodeType::Sequence:
      if (node.size() == 0) {
        *out << YAML::Flow;
      }
      *out << YAML::BeginSeq;
      for (const auto& entry : node) {
        Emit(out, entry);
      }
      *out << YAML::EndSeq;
      break;
    case YAML::NodeType::Scalar:
      // JSON quotes exactly its strings; yaml-cpp shows that by the tag "!".
      if (node.Tag() == "!" && NeedsQuotes(node.Scalar())) {
        *out << YAML::DoubleQuoted;
      }
      *out << node.Scalar();
      break;
    default:
      *out << YAML::Null;
  }
}

}  // namespace

std::string ToJson(const google::protobuf::Message& message) { return Print(message, true, true); }

std::string ToJsonLine(const google::protobuf::Message& message) { return Print(message, false, false); }

std::string ToYaml(const google::protobuf::Message& message) { return JsonToYaml(ToJson(message)); }

std::string JsonToYaml(const std::string& json) {
  YAML::Emitter out;
  Emit(&out, YAML::Load(json));
  return absl::StrCat(out.c_str(), "\n");
}

}  // namespace mg::cli
