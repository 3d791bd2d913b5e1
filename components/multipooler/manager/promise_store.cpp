#include "components/multipooler/manager/promise_store.h"

#include <google/protobuf/util/json_util.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg::multipooler {

absl::StatusOr<std::unique_ptr<PromiseStore>> PromiseStore::Open(const std::string& path) {
  clustermetadata::ConsensusPromises promises;
  absl::StatusOr<std::string> text = ReadFile(path);
  if (text.ok()) {
    google::protobuf::util::JsonParseOptions options;
    options.ignore_unknown_fields = true;
    auto parsed = google::protobuf::util::JsonStringToMessage(*text, &promises, options);
    if (!parsed.ok()) {
      return absl::DataLossError(absl::StrCat("read ", path, ": ", std::string(parsed.message())));
    }
  } else if (!absl::IsNotFound(text.status())) {
    return text.status();
  }
  return std::unique_ptr<PromiseStore>(new PromiseStore(path, std::move(promises)));
}

PromiseStore::PromiseStore(std::string path, clustermetadata::ConsensusPromises promises)
    : path_(std::move(path)), promises_(std::move(promises)) {}

clustermetadata::ConsensusPromises PromiseStore::Get() const {
  std::lock_guard lock(mutex_);
  return promises_;
}

absl::Status PromiseStore::Put(const clustermetadata::ConsensusPromises& promises) {
  std::string text;
  auto printed = google::protobuf::util::MessageToJsonString(promises, &text);
  if (!printed.ok()) {
    return absl::InternalError(absl::StrCat("print promises: ", std::string(printed.message())));
  }
  std::lock_guard lock(mutex_);
  MG_RETURN_IF_ERROR(WriteFileAtomically(path_, text + "\n", 0600));
  promises_ = promises;
  return absl::OkStatus();
}

}  // namespace mg::multipooler
