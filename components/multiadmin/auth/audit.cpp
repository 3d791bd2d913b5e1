#include "components/multiadmin/auth/audit.h"

#include <google/protobuf/util/json_util.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/servenv/pages.h"
#include "common/status/status.h"
#include "common/text/utf8.h"

namespace mg::multiadmin {
namespace {

constexpr std::uint64_t kFileBytes = 10 << 20;
constexpr int kFiles = 10;
constexpr size_t kLongest = 500;

std::string Json(const std::string& text) { return servenv::JsonString(text::ToValidUtf8(text.substr(0, kLongest))); }

}  // namespace

std::string RequestText(const google::protobuf::Message& request) {
  std::string json;
  return google::protobuf::util::MessageToJsonString(request, &json).ok() ? json : "";
}

absl::StatusOr<std::unique_ptr<Audit>> Audit::Open(const std::string& directory) {
  auto audit = std::make_unique<Audit>();
  if (!directory.empty()) {
    MG_RETURN_IF_ERROR(MakeDirectories(directory, 0700));
    audit->writer_ = std::make_unique<logs::CriWriter>(directory, kFileBytes, kFiles);
    if (int error = audit->writer_->Open(); error != 0) {
      return ErrnoStatus(error, absl::StrCat("open the audit log in ", directory));
    }
  }
  return audit;
}

void Audit::Write(const AuditRecord& record) {
  std::string outcome = record.begins         ? "BEGUN"
                        : record.outcome.ok() ? "OK"
                                              : absl::StatusCodeToString(record.outcome.code());
  std::string who = record.caller.empty() ? "unknown" : record.caller;
  if (writer_ == nullptr) {
    log::Write(record.outcome.ok() ? log::Level::kInfo : log::Level::kWarn, "audit",
               {{"event_type", "audit"},
                {"caller", who},
                {"role", RoleWord(record.role)},
                {"peer", record.peer},
                {"method", record.method},
                {"request", record.subject.substr(0, kLongest)},
                {"outcome", outcome},
                {"error", record.outcome.message()}});
    return;
  }
  std::string line = absl::StrCat(
      "{\"time\":\"", absl::FormatTime(absl::RFC3339_full, absl::Now(), absl::UTCTimeZone()), "\",\"level\":\"",
      record.outcome.ok() ? "INFO" : "WARN", "\",\"msg\":\"audit\",\"caller\":", Json(who), ",\"role\":\"",
      RoleWord(record.role), "\",\"peer\":", Json(record.peer), ",\"method\":", Json(record.method),
      ",\"request\":", Json(record.subject), ",\"outcome\":\"", outcome, "\"");
  if (!record.outcome.ok()) {
    absl::StrAppend(&line, ",\"error\":", Json(std::string(record.outcome.message())));
  }
  if (record.took > absl::ZeroDuration()) {
    absl::StrAppend(&line, ",\"milliseconds\":", absl::ToInt64Milliseconds(record.took));
  }
  absl::StrAppend(&line, "}\n");
  std::lock_guard lock(mutex_);
  writer_->Append(logs::CriWriter::Stream::kStdout, line.data(), line.size());
}

}  // namespace mg::multiadmin
