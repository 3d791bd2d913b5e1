#include "common/config/reader.h"

#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace mg::config {
namespace {

constexpr int kMaxDepth = 16;
constexpr int kMaxNodes = 20000;

}  // namespace

std::string Reader::Place(const YAML::Mark& mark) const {
  return mark.is_null() ? path_ : absl::StrCat(path_, ":", mark.line + 1, ":", mark.column + 1);
}

absl::Status Reader::Error(const YAML::Mark& mark, const std::string& message, const std::string& hint) const {
  return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat(Place(mark), ": ", message),
                   {.reason = "BAD_CONFIGURATION", .hint = hint});
}

absl::StatusOr<std::string> Reader::String(const YAML::Node& node, const std::string& key) const {
  if (!node.IsScalar()) {
    return Error(node.Mark(), absl::StrCat(key, ": expected a text", node.IsNull() ? ", not nothing" : ""));
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
    return Error(node.Mark(), absl::StrCat(key, ": expected a list"), "a list is written as [one, two]");
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

absl::Status Reader::CheckShape(const YAML::Node& root) const {
  int count = 0;
  return CheckNode(root, 0, &count);
}

absl::Status Reader::CheckNode(const YAML::Node& node, int depth, int* count) const {
  if (depth > kMaxDepth || ++*count > kMaxNodes) {
    return Error(node.Mark(), "expected a configuration; this is nested too deeply or too large");
  }
  if (node.IsSequence()) {
    for (const auto& item : node) {
      MG_RETURN_IF_ERROR(CheckNode(item, depth + 1, count));
    }
  }
  std::set<std::string> seen;
  if (node.IsMap()) {
    for (const auto& item : node) {
      if (!item.first.IsScalar()) {
        return Error(item.first.Mark(), "expected a key");
      }
      if (!seen.insert(item.first.Scalar()).second) {
        return Error(item.first.Mark(), absl::StrCat("the key '", item.first.Scalar(), "' is there twice"));
      }
      MG_RETURN_IF_ERROR(CheckNode(item.second, depth + 1, count));
    }
  }
  return absl::OkStatus();
}

void Reader::NotePort(const std::string& owner, int number, const YAML::Mark& mark) {
  ports_[owner] = {.number = number, .mark = mark};
}

absl::Status Reader::CheckPorts() const {
  std::map<int, std::string> owners;
  for (const auto& [owner, place] : ports_) {
    auto [it, fresh] = owners.emplace(place.number, owner);
    if (!fresh) {
      // The later one in the file is the one to change.
      const PortPlace& other = ports_.at(it->second);
      const YAML::Mark& mark = place.mark.pos >= other.mark.pos ? place.mark : other.mark;
      return Error(mark, absl::StrCat("port ", place.number, " is given twice: for ", it->second, " and for ", owner));
    }
  }
  return absl::OkStatus();
}

}  // namespace mg::config
