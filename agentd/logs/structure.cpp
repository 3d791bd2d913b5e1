#include "agentd/logs/structure.h"

#include <google/protobuf/util/json_util.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/logs/level.h"
#include "common/text/text.h"
#include "common/text/utf8.h"

namespace mg::logs {
namespace {

bool FillFromJson(const std::string& text, multigres::agent::v1::LogRecord* record) {
  google::protobuf::Struct fields;
  if (text.empty() || text[0] != '{' || !google::protobuf::util::JsonStringToMessage(text, &fields).ok()) {
    return false;
  }
  auto& map = *fields.mutable_fields();
  for (const char* key : {"msg", "message"}) {
    auto found = map.find(key);
    if (found != map.end() && found->second.kind_case() == google::protobuf::Value::kStringValue) {
      record->set_message(found->second.string_value());
      map.erase(found);
      break;
    }
  }
  if (!record->level().empty()) {
    map.erase("level");
  }
  *record->mutable_fields() = std::move(fields);
  return true;
}

bool FillFromPostgres(const std::string& text, multigres::agent::v1::LogRecord* record) {
  std::optional<PostgresLine> line = ParsePostgres(text);
  if (!line.has_value()) {
    return false;
  }
  record->set_message(text::ToValidUtf8(line->message));
  auto& map = *record->mutable_fields()->mutable_fields();
  double pid = 0;
  if (absl::SimpleAtod(line->pid, &pid)) {
    map["pid"].set_number_value(pid);
  }
  for (auto [key, value] :
       {std::pair("severity", line->severity), std::pair("user", line->user), std::pair("database", line->database)}) {
    if (!value.empty()) {
      map[key].set_string_value(text::ToValidUtf8(value));
    }
  }
  return true;
}

bool FillFromCapnslog(const std::string& text, multigres::agent::v1::LogRecord* record) {
  std::optional<CapnslogLine> line = ParseCapnslog(text);
  if (!line.has_value()) {
    return false;
  }
  record->set_message(text::ToValidUtf8(line->message));
  if (!line->package.empty()) {
    (*record->mutable_fields()->mutable_fields())["package"].set_string_value(text::ToValidUtf8(line->package));
  }
  return true;
}

}  // namespace

void FillStructure(const std::string& text, multigres::agent::v1::LogRecord* record) {
  if (!FillFromJson(text, record) && !FillFromPostgres(text, record) && !FillFromCapnslog(text, record)) {
    record->set_message(text::ToValidUtf8(text));
  }
}

std::string Gist(const std::string& text, int width) {
  multigres::agent::v1::LogRecord record;
  FillStructure(text, &record);
  std::string gist = record.message().empty() ? text : record.message();
  for (const char* key : {"error", "err"}) {
    auto field = record.fields().fields().find(key);
    if (field != record.fields().fields().end() && !field->second.string_value().empty()) {
      absl::StrAppend(&gist, ": ", field->second.string_value());
    }
  }
  return text::Truncate(text::ToValidUtf8(gist), width);
}

}  // namespace mg::logs
