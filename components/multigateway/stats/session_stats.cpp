#include "components/multigateway/stats/session_stats.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/pgwire/message.h"
#include "components/multigateway/stats/normalise.h"

namespace mg::multigateway::stats {

namespace {

constexpr size_t kHead = 5;
/// Of a query that comes in parts; its fingerprint is that of the beginning.
constexpr size_t kMostOfQuery = 64 << 10;
constexpr size_t kMostOfTag = 128;
/// A client that asks for more without reading answers is not counted any more.
constexpr size_t kMostAwaited = 100000;
constexpr size_t kMostPortals = 1000;
constexpr char kFromClient[] = "QPBECSF";
constexpr char kFromServer[] = "1CEISZs";

/// A text that ends with a zero byte, taken off the front; what is cut off ends with the body.
absl::string_view TakeText(absl::string_view* body) {
  size_t end = std::min(body->find('\0'), body->size());
  absl::string_view text = body->substr(0, end);
  body->remove_prefix(std::min(end + 1, body->size()));
  return text;
}

/// The number at the end of a command's tag: `INSERT 0 5`, `SELECT 3`.
std::uint64_t RowsOf(absl::string_view tag) {
  size_t space = tag.rfind(' ');
  std::uint64_t rows = 0;
  return space != absl::string_view::npos && absl::SimpleAtoi(tag.substr(space + 1), &rows) ? rows : 0;
}

}  // namespace

template <typename Take>
bool MessageWalker::Feed(absl::string_view data, Take take) {
  while (!data.empty()) {
    if (left_ > 0) {
      auto passing = static_cast<size_t>(std::min<std::uint64_t>(left_, data.size()));
      if (taking_ != 0) {
        held_.append(data.data(), std::min(passing, most_ - std::min(most_, held_.size())));
      }
      data.remove_prefix(passing);
      left_ -= passing;
      if (left_ == 0 && taking_ != 0) {
        take(taking_, held_);
        taking_ = 0;
        held_.clear();
        held_.shrink_to_fit();  // an idle session holds no buffers
      }
      continue;
    }
    const char* head = data.data();
    size_t head_size = kHead;
    if (!held_.empty() || data.size() < kHead) {
      size_t part = std::min(kHead - held_.size(), data.size());
      held_.append(data.data(), part);
      data.remove_prefix(part);
      if (held_.size() < kHead) {
        return true;
      }
      head = held_.data();
      head_size = 0;
    }
    const char type = head[0];
    const std::uint32_t length = pgwire::ReadUint32(head + 1);
    held_.clear();
    if (length < 4) {
      return false;
    }
    data.remove_prefix(head_size);
    const size_t body = length - 4;
    const bool wanted = wanted_[static_cast<unsigned char>(type)];
    if (wanted && data.size() >= body) {
      take(type, data.substr(0, body));
      data.remove_prefix(body);
      continue;
    }
    taking_ = wanted ? type : 0;
    left_ = body;
  }
  return true;
}

SessionStats::SessionStats(QueryStats* queries, Consolidator* consolidator)
    : queries_(queries),
      consolidator_(consolidator),
      client_(kFromClient, kMostOfQuery),
      server_(kFromServer, kMostOfTag) {}

void SessionStats::FromClient(absl::string_view data) {
  if (!broken_) {
    now_ = absl::Now();
    broken_ = !client_.Feed(data, [this](char type, absl::string_view body) { ClientMessage(type, body); }) ||
              awaited_.size() - first_ > kMostAwaited;
  }
}

void SessionStats::FromServer(absl::string_view data) {
  if (!broken_) {
    now_ = absl::Now();
    broken_ = !server_.Feed(data, [this](char type, absl::string_view body) { ServerMessage(type, body); });
  }
}

void SessionStats::ClientMessage(char type, absl::string_view body) {
  using Kind = Awaited::Kind;
  switch (type) {
    case 'Q': {
      absl::string_view sql = TakeText(&body);
      ForgetBySql(sql);
      Await({.kind = Kind::kQuery, .statement = queries_->Resolve(sql, HowToRead(sql)), .name = {}, .asked = now_});
      break;
    }
    case 'P': {
      std::string name(TakeText(&body));
      absl::string_view sql = TakeText(&body);
      ForgetBySql(sql);
      const Backslashes backslashes = HowToRead(sql);
      Prepared prepared{.statement = queries_->Resolve(sql, backslashes), .reference = nullptr};
      if (!name.empty()) {
        prepared.reference = consolidator_->Hold(sql, backslashes);
      }
      Await({.kind = Kind::kParse, .statement = prepared.statement, .name = name, .asked = now_});
      prepared_[name] = std::move(prepared);
      break;
    }
    case 'B': {
      absl::string_view portal = TakeText(&body);
      auto found = prepared_.find(TakeText(&body));
      StatementPtr statement = found == prepared_.end() ? nullptr : found->second.statement;
      if (portal.empty()) {
        unnamed_portal_ = std::move(statement);
        break;
      }
      if (portals_.size() >= kMostPortals) {
        portals_.clear();
      }
      portals_[portal] = std::move(statement);
      break;
    }
    case 'E': {
      absl::string_view name = TakeText(&body);
      auto portal = portals_.end();
      if (!name.empty()) {
        portal = portals_.find(name);
      }
      StatementPtr statement = name.empty() ? unnamed_portal_ : portal == portals_.end() ? nullptr : portal->second;
      Await({.kind = Kind::kExecute, .statement = std::move(statement), .name = {}, .asked = now_});
      break;
    }
    case 'C':
      if (!body.empty() && body[0] == 'S') {
        body.remove_prefix(1);
        Forget(std::string(TakeText(&body)));
      }
      break;
    default:  // Sync, and a function call, which ends with a ReadyForQuery too
      Await({.kind = Kind::kSync, .statement = nullptr, .name = {}, .asked = now_});
      break;
  }
}

void SessionStats::ServerMessage(char type, absl::string_view body) {
  using Kind = Awaited::Kind;
  if (type == 'S') {
    if (TakeText(&body) == "standard_conforming_strings") {
      backslashes_ = TakeText(&body) == "off" ? Backslashes::kEscape : Backslashes::kPlain;
      changes_backslashes_ |= backslashes_ == Backslashes::kEscape;
    }
    return;
  }
  Awaited* front = Front();
  if (front == nullptr) {
    return;
  }
  switch (type) {
    case '1':
      if (front->kind == Kind::kParse) {
        Pop();
      }
      break;
    case 'C':
      front->rows += RowsOf(TakeText(&body));
      [[fallthrough]];
    case 's':
    case 'I':
      if (front->kind == Kind::kExecute) {
        Count(*front);
        Pop();
      }
      break;
    case 'E':
      front->failed = true;
      if (front->kind != Kind::kQuery) {
        SkipToSync();
      }
      break;
    default:  // ReadyForQuery
      if (front->kind == Kind::kQuery) {
        Count(*front);
        Pop();
      } else {
        // What a client still waits for before its Sync was skipped.
        while (front != nullptr && front->kind != Kind::kSync) {
          Pop();
          front = Front();
        }
        Pop();
      }
      break;
  }
}

void SessionStats::Await(Awaited awaited) {
  constexpr size_t kMostAnswered = 64;
  if (first_ > kMostAnswered && first_ * 2 > awaited_.size()) {
    awaited_.erase(awaited_.begin(), awaited_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
  awaited_.push_back(std::move(awaited));
}

SessionStats::Awaited* SessionStats::Front() { return first_ < awaited_.size() ? &awaited_[first_] : nullptr; }

void SessionStats::Pop() {
  if (first_ < awaited_.size() && ++first_ == awaited_.size()) {
    awaited_.clear();
    first_ = 0;
  }
}

void SessionStats::Count(const Awaited& awaited) {
  // What was asked for while another answer was under way began with that one's end.
  absl::Time began = std::max(awaited.asked, answered_);
  answered_ = now_;
  if (awaited.statement != nullptr) {
    queries_->Record(awaited.statement, now_ - began, awaited.rows, awaited.failed, now_);
  }
}

// After an error the server skips everything up to the next Sync.
void SessionStats::SkipToSync() {
  bool first = true;
  for (Awaited* front = Front(); front != nullptr && front->kind != Awaited::Kind::kSync; front = Front()) {
    if (first) {
      Count(*front);
      first = false;
    }
    if (front->kind == Awaited::Kind::kParse) {
      Forget(front->name);
    }
    Pop();
  }
}

void SessionStats::Forget(const std::string& name) { prepared_.erase(name); }

// What is asked for while other answers are awaited may be read by a setting that one of those changes; that is looked
// at only in sessions that have to do with the setting.
Backslashes SessionStats::HowToRead(absl::string_view sql) {
  const Backslashes now = changes_backslashes_ && Front() != nullptr ? Backslashes::kUnknown : backslashes_;
  changes_backslashes_ |= absl::StrContains(sql, "onforming_str") || absl::StrContains(sql, "ONFORMING_STR");
  return now;
}

// DEALLOCATE and DISCARD ALL end statements of the protocol too.
void SessionStats::ForgetBySql(absl::string_view sql) {
  if (prepared_.empty() || sql.size() > 200 ||
      (!absl::StartsWithIgnoreCase(sql, "deallocate") && !absl::StartsWithIgnoreCase(sql, "discard"))) {
    return;
  }
  std::string text;
  Normalise(sql, backslashes_, &text);
  std::vector<absl::string_view> words = absl::StrSplit(text, ' ');
  absl::string_view last = words.back();
  if (last == "all") {
    prepared_.clear();
  } else if (words[0] == "deallocate") {
    bool quoted = last.size() >= 2 && last.front() == '"' && last.back() == '"';
    Forget(std::string(quoted ? last.substr(1, last.size() - 2) : last));
  }
}

}  // namespace mg::multigateway::stats
