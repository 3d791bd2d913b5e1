#include "components/multigateway/stats/consolidator.h"

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

namespace mg::multigateway::stats {

namespace {

/// What the answer carries of each text.
constexpr size_t kShownBytes = 4096;

}  // namespace

struct Consolidator::Prepared {
  std::shared_ptr<State> state;
  std::string query;
  Backslashes backslashes = Backslashes::kUnknown;  ///< of those who hold it; unknown: they differ
  std::uint64_t number = 0;
  ~Prepared();
};

struct Consolidator::State {
  struct Text {
    std::weak_ptr<Prepared> shared;
    const Prepared* place = nullptr;  ///< whose text the key is
  };
  mutable std::mutex mutex;
  absl::flat_hash_map<absl::string_view, Text> texts;
  std::uint64_t numbered = 0;
};

Consolidator::Prepared::~Prepared() {
  std::lock_guard lock(state->mutex);
  auto found = state->texts.find(query);
  if (found != state->texts.end() && found->second.place == this) {
    state->texts.erase(found);
  }
}

Consolidator::Consolidator() : state_(std::make_shared<State>()) {}
Consolidator::~Consolidator() = default;

Consolidator::Reference Consolidator::Hold(absl::string_view query, Backslashes backslashes) {
  Reference fresh;  // ends after the lock, should it not be needed
  std::lock_guard lock(state_->mutex);
  if (auto found = state_->texts.find(query); found != state_->texts.end()) {
    if (Reference present = found->second.shared.lock(); present != nullptr) {
      if (present->backslashes != backslashes) {
        present->backslashes = Backslashes::kUnknown;
      }
      return present;
    }
    state_->texts.erase(found);  // its last holder is about to take it out itself
  }
  fresh = std::make_shared<Prepared>();
  fresh->state = state_;
  fresh->query = std::string(query);
  fresh->backslashes = backslashes;
  fresh->number = ++state_->numbered;
  state_->texts[fresh->query] = {.shared = fresh, .place = fresh.get()};
  return fresh;
}

multigatewaymanagerdata::ConsolidatorStats Consolidator::Snapshot() const {
  multigatewaymanagerdata::ConsolidatorStats stats;
  std::lock_guard lock(state_->mutex);
  struct Row {
    const Prepared* text;
    std::uint32_t references;
  };
  std::vector<Row> rows;
  std::uint32_t references = 0;
  for (const auto& [query, text] : state_->texts) {
    auto holders = static_cast<std::uint32_t>(text.shared.use_count());
    if (holders > 0) {
      rows.push_back({text.place, holders});
      references += holders;
    }
  }
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return a.references != b.references ? a.references > b.references : a.text->number < b.text->number;
  });
  std::string shown;
  for (const Row& row : rows) {
    auto* prepared = stats.add_prepared_statements();
    prepared->set_name(absl::StrCat("stmt", row.text->number));
    // Cut before, for a literal that is cut in two is one that does not end.
    Normalise(absl::string_view(row.text->query).substr(0, kShownBytes), row.text->backslashes, &shown);
    prepared->set_query(shown);
    prepared->set_refs(row.references);
  }
  stats.set_unique_statements(static_cast<std::uint32_t>(rows.size()));
  stats.set_total_references(references);
  return stats;
}

}  // namespace mg::multigateway::stats
