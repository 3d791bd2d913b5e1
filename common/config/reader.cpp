#include "common/config/reader.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace mg::config {

std::string Reader::Place(const YAML::Mark& mark) const {
  return absl::StrCat(path_, ":", mark.line + 1, ":", mark.column + 1);
}

absl::Status Reader::Error(const YAML::Mark& mark, const std::string& message, const std::string& hint) const {
  return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat(Place(mark), ": ", message),
                   {.reason = "BAD_CONFIGURATION", .hint = hint});
}

absl::StatusOr<std::string> Reader::String(const YAML::Node& node, const std::string& key) const {
  if (!node.IsScalar()) {
    return Error(node.Mark(), absl::StrCat(key, ": expected a text"));
  }
  return node.Scalar();
}

absl::StatusOr<long> Reader::Integer(const YAML::Node& node, const std::string& key, long minimum, long maximum) const {
  std::int64_t value = 0;
  if (!node.IsScalar() || !absl::SimpleAtoi(node.Scalar(), &value)) {
    return Error(node.Mark(), absl::StrCat(key, ": expected a whole number",
                                           minimum == maximum ? "" : absl::StrCat(" from ", minimum, " to ", maximum)));
  }
  if (minimum != maximum && (value < minimum || value > maximum)) {
    return Error(node.Mark(), absl::StrCat(key, ": ", value, " is not from ", minimum, " to ", maximum));
  }
  return static_cast<long>(value);
}

absl::StatusOr<std::vector<std::string>> Reader::List(const YAML::Node& node, const std::string& key) const {
  if (!node.IsSequence()) {
    return Error(node.Mark(), absl::StrCat(key, ": expected a list"));
  }
  std::vector<std::string> result;
  for (const auto& item : node) {
    MG_ASSIGN_OR_RETURN(std::string text, String(item, key));
    result.push_back(std::move(text));
  }
  return result;
}

absl::Status Reader::ExpectMap(const YAML::Node& node, const std::string& key) const {
  return node.IsMap() ? absl::OkStatus()
                      : Error(node.Mark(), absl::StrCat(key, ": expected keys with values below it"));
}

}  // namespace mg::config
