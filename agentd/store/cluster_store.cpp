#include "agentd/store/cluster_store.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <array>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agentd/store/previous.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/shim_record/record.h"
#include "common/status/status.h"

namespace mg::store {

namespace {

constexpr mode_t kRecordMode = 0600;

absl::Status Write(const std::string& path, const ClusterRecord& record, bool broken) {
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  auto status = google::protobuf::util::MessageToJsonString(record, &text, options);
  if (!status.ok()) {
    return absl::InternalError(absl::StrCat("print the cluster's record: ", status.ToString()));
  }
  return WriteKeepingPrevious(path, text, kRecordMode, broken);
}

absl::StatusOr<ClusterRecord> Read(const std::string& root, const std::string& path) {
  MG_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  ClusterRecord record;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  auto status = google::protobuf::util::JsonStringToMessage(text, &record, options);
  if (!status.ok() || record.cluster_id().empty()) {
    return MakeError(
        absl::StatusCode::kDataLoss, absl::StrCat(path, " cannot be read: ", status.ToString()),
        {.reason = "RECORD_UNREADABLE",
         .hint = absl::StrCat("the data itself is untouched in ", Paths(root).Data(),
                              "; restore the file from a backup, or move the directory away and start anew")});
  }
  return record;
}

/// The last change is missing from the record. Starts that it does not know of left their numbers in the run
/// directories.
void CountWhatWasLaunched(const Paths& paths, ClusterRecord* record) {
  for (auto& [name, entry] : *record->mutable_components()) {
    absl::StatusOr<ComponentName> parsed = ComponentName::Parse(name);
    if (parsed.ok()) {
      auto [launch, problem] = shim::ReadRecord(JoinPath(paths.RunDir(*parsed), "launch"));
      entry.set_generation(std::max(entry.generation(), problem.empty() ? launch.GetInt("generation") : 0));
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<ClusterStore>> ClusterStore::Open(const std::string& root) {
  Paths paths(root);
  absl::StatusOr<ClusterRecord> record = Read(root, paths.Record());
  if (record.ok()) {
    return std::unique_ptr<ClusterStore>(new ClusterStore(root, *std::move(record), /*on_disk=*/true));
  }
  absl::StatusOr<ClusterRecord> previous = Read(root, PreviousOf(paths.Record()));
  if (!previous.ok()) {
    return record.status();
  }
  log::Warn("the cluster's record is lost or broken: its previous version and what runs are used instead",
            {{"root", root}, {"error", std::string(record.status().message())}});
  CountWhatWasLaunched(paths, &*previous);
  auto store = std::unique_ptr<ClusterStore>(new ClusterStore(root, *std::move(previous), /*on_disk=*/false));
  MG_RETURN_IF_ERROR(store->Update([](ClusterRecord*) {}));
  return store;
}

std::unique_ptr<ClusterStore> ClusterStore::New(const std::string& root, ClusterRecord record) {
  record.set_version(kRecordVersion);
  return std::unique_ptr<ClusterStore>(new ClusterStore(root, std::move(record), /*on_disk=*/false));
}

ClusterRecord ClusterStore::Get() const {
  std::lock_guard lock(mutex_);
  return record_;
}

absl::Status ClusterStore::Update(const std::function<void(ClusterRecord*)>& change) {
  std::lock_guard lock(mutex_);
  ClusterRecord changed = record_;
  change(&changed);
  if (on_disk_ && google::protobuf::util::MessageDifferencer::Equals(changed, record_)) {
    return absl::OkStatus();
  }
  MG_RETURN_IF_ERROR(Write(paths_.Record(), changed, /*broken=*/!on_disk_));
  record_ = std::move(changed);
  on_disk_ = true;
  return absl::OkStatus();
}

absl::StatusOr<std::int64_t> ClusterStore::NextGeneration(const std::string& component) {
  std::int64_t generation = 0;
  MG_RETURN_IF_ERROR(Update([&](ClusterRecord* record) {
    auto& entry = (*record->mutable_components())[component];
    generation = entry.generation() + 1;
    entry.set_generation(generation);
  }));
  return generation;
}

std::string NewUuid() {
  std::random_device source;
  std::array<unsigned char, 16> b{};
  for (unsigned char& byte : b) {
    byte = static_cast<unsigned char>(source());
  }
  b[6] = static_cast<unsigned char>((b[6] & 0x0f) | 0x40);
  b[8] = static_cast<unsigned char>((b[8] & 0x3f) | 0x80);
  std::string text;
  for (size_t i = 0; i < b.size(); ++i) {
    absl::StrAppend(&text, i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", absl::StrFormat("%02x", b[i]));
  }
  return text;
}

}  // namespace mg::store
