#include "cli/output/render.h"

#include <google/protobuf/util/json_util.h>
#include <yaml-cpp/yaml.h>

#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/output/ordered_json.h"

namespace mg::cli {
namespace {

std::string Print(const google::protobuf::Message& message, bool indent, bool all) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = indent;
  options.always_print_primitive_fields = all;
  return OrderedJson(message, options);
}

/// A string that some reader of YAML, of 1.1 or 1.2, would take for something else where it stands without quotes: a
/// number, a time, a boolean, null, or no scalar at all.
bool NeedsQuotes(const std::string& text) {
  static const auto* const words =
      new std::set<std::string>{"~", "y", "n", "yes", "no", "on", "off", "true", "false", "null"};
  if (text.empty() || text.find_first_of("0123456789+-.=<") == 0 || words->contains(absl::AsciiStrToLower(text))) {
    return true;
  }
  try {
    YAML::Node plain = YAML::Load(text);
    return !plain.IsScalar() || plain.Scalar() != text;
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

std::string OnOneLine(const std::string& json) {
  std::vector<std::string> lines = absl::StrSplit(json, '\n');
  for (std::string& line : lines) {
    absl::StripLeadingAsciiWhitespace(&line);
  }
  return absl::StrCat(absl::StrJoin(lines, ""), "\n");
}

}  // namespace mg::cli
