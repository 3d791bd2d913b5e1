#include "agentd/operations/operation.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status/status.h"
#include "common/text/utf8.h"

namespace mg::operations {
namespace {

/// News of one operation that is kept for late joiners; the largest bring-up (seven cells) has about a hundred.
constexpr size_t kKeptNews = 2000;

template <typename Out>
void Fill(Out* out, timespec value) {
  out->set_seconds(value.tv_sec);
  out->set_nanos(static_cast<int>(value.tv_nsec));
}

}  // namespace

v1::Failure FailureOf(const absl::Status& status) {
  ErrorDetail detail = DetailOf(status).value_or(ErrorDetail{});
  v1::Failure failure;
  failure.set_code(static_cast<int>(status.code()));
  failure.set_reason(detail.reason.empty() ? absl::StatusCodeToString(status.code()) : detail.reason);
  failure.set_message(text::ToValidUtf8(status.message()));
  failure.set_hint(text::ToValidUtf8(detail.hint));
  failure.set_component(text::ToValidUtf8(detail.subject));
  for (const std::string& line : detail.log_tail) {
    failure.add_last_lines(text::ToValidUtf8(line));
  }
  return failure;
}

Operation::Operation(Identity identity) : identity_(std::move(identity)), feed_(kKeptNews) {
  // The first news only names the operation, so that whoever began it can join or cancel it from the start.
  Append([](v1::ProvisionProgress*) {});
}

template <typename Fill>
void Operation::Append(Fill fill) {
  feed_.Append([&](std::int64_t sequence) {
    Event event;
    event.set_operation_id(identity_.id);
    event.set_sequence(sequence);
    event.set_kind(identity_.kind);
    event.set_cluster(identity_.cluster);
    event.mutable_progress()->set_operation_id(identity_.id);
    ::mg::operations::Fill(event.mutable_progress()->mutable_time(), absl::ToTimespec(absl::Now()));
    fill(event.mutable_progress());
    return event;
  });
}

void Operation::Cancel(const std::string& why) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!result_ && !cancel_.cancelled()) {
    cancel_reason_ = why;
    cancel_.Cancel();
  }
}

void Operation::AddStep(const v1::StepProgress& step) {
  Append([&](v1::ProvisionProgress* progress) {
    *progress->mutable_step() = step;
    progress->mutable_step()->set_detail(text::ToValidUtf8(step.detail()));
  });
}

void Operation::AddMessage(const std::string& message) {
  Append([&](v1::ProvisionProgress* progress) { progress->set_message(text::ToValidUtf8(message)); });
}

void Operation::AddFault(const v1::FaultReport& report) {
  Append([&](v1::ProvisionProgress* progress) { *progress->mutable_fault() = report; });
}

void Operation::End(const absl::StatusOr<bool>& outcome) {
  v1::OperationResult result;
  Fill(result.mutable_elapsed(), absl::ToTimespec(absl::Now() - identity_.start));
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (outcome.ok()) {
      result.set_unchanged(*outcome);
    } else if (cancel_.cancelled()) {
      ErrorDetail detail = DetailOf(outcome.status()).value_or(ErrorDetail{});
      detail.reason = "CANCELLED";
      *result.mutable_failure() =
          FailureOf(MakeError(absl::StatusCode::kCancelled,
                              absl::StrCat(identity_.kind, " was cancelled: ", cancel_reason_), std::move(detail)));
    } else {
      *result.mutable_failure() = FailureOf(outcome.status());
    }
    result_ = result;
  }
  Append([&](v1::ProvisionProgress* progress) { *progress->mutable_result() = result; });
  feed_.Close();
}

std::optional<v1::OperationResult> Operation::result() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return result_;
}

multigres::agent::v1::Operation Operation::Summary() const {
  multigres::agent::v1::Operation summary;
  summary.set_id(identity_.id);
  summary.set_kind(identity_.kind);
  summary.set_cluster(identity_.cluster);
  Fill(summary.mutable_start_time(), absl::ToTimespec(identity_.start));
  if (std::optional<v1::OperationResult> ended = result()) {
    *summary.mutable_result() = *std::move(ended);
  }
  return summary;
}

}  // namespace mg::operations
