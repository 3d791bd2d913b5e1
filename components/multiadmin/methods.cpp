#include "components/multiadmin/methods.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace mg::multiadmin {
namespace {

constexpr size_t kLongestHeader = 2000;

/// Cell names and reasons come from callers and other programs; a header may only have printable ASCII, and not much.
std::string ForHeader(std::string text) {
  if (text.size() > kLongestHeader) {
    text.resize(kLongestHeader);
    text += "...";
  }
  for (char& c : text) {
    c = c >= 0x20 && c < 0x7f ? c : '?';
  }
  return text;
}

}  // namespace

std::string ErrorsText(const CellErrors& errors) {
  return ForHeader(absl::StrJoin(errors, "; ", [](std::string* out, const auto& error) {
    absl::StrAppend(out, error.first, ": ", error.second);
  }));
}

std::string ErrorCells(const CellErrors& errors) {
  return ForHeader(
      absl::StrJoin(errors, ",", [](std::string* out, const auto& error) { absl::StrAppend(out, error.first); }));
}

void Methods::AddMethod(const std::string& method, const google::protobuf::Message& request,
                        const google::protobuf::Message& response, Act act) {
  methods_[method] = {.request = &request, .response = &response, .act = std::move(act)};
}

Methods::Answer Methods::Call(const std::string& name, const Credentials& credentials, absl::Time wanted,
                              const std::function<absl::Status(google::protobuf::Message*)>& fill,
                              const grpc::ServerContextBase* rpc) const {
  const RpcRule* rule = FindRule(name);
  auto it = rule == nullptr ? methods_.end() : methods_.find(name);
  auto refused = [&]() -> std::string {
    if (it == methods_.end()) {
      return "";
    }
    std::unique_ptr<google::protobuf::Message> request(it->second.request->New());
    return fill(request.get()).ok() ? RequestText(*request) : "";
  };
  // Whether a method exists is told only to those who may ask.
  absl::StatusOr<Caller> caller =
      rule == nullptr ? gate_->Recognise(credentials) : gate_->Admit(*rule, credentials, refused);
  if (!caller.ok()) {
    return {.status = caller.status(), .response = nullptr, .errors = {}};
  }
  if (it == methods_.end()) {
    return {.status = absl::UnimplementedError(absl::StrCat("method ", name, " is not implemented")),
            .response = nullptr,
            .errors = {}};
  }
  const Method& method = it->second;
  std::unique_ptr<google::protobuf::Message> request(method.request->New());
  Answer answer{.status = fill(request.get()), .response = nullptr, .errors = {}};
  std::unique_ptr<google::protobuf::Message> response(method.response->New());
  absl::Time begun = rule->audited() ? absl::Now() : absl::InfinitePast();
  AuditRecord record;
  if (rule->audited()) {
    record = {.caller = caller->name,
              .role = caller->role,
              .peer = credentials.peer,
              .method = name,
              .subject = RequestText(*request)};
    if (answer.status.ok()) {
      WriteBeginning(*rule, record);
    }
  }
  if (answer.status.ok()) {
    CallContext context{.deadline = std::min(wanted, absl::Now() + rule->limit),
                        .caller = *std::move(caller),
                        .errors = {},
                        .rpc = rpc};
    answer.status = method.act(*request, &context, response.get());
    answer.errors = std::move(context.errors);
  }
  if (answer.status.ok()) {
    answer.response = std::move(response);
  }
  if (!answer.errors.empty()) {
    log::Warn("a list is incomplete", {{"errors", ErrorsText(answer.errors)}});
  }
  if (rule->audited()) {
    record.outcome = answer.status;
    record.took = absl::Now() - begun;
    audit_->Write(record);
  }
  return answer;
}

void Methods::WriteBeginning(const RpcRule& rule, AuditRecord record) const {
  if (rule.takes_long()) {
    record.begins = true;
    audit_->Write(record);
  }
}

absl::Status Methods::Stream(const std::string& name, const Credentials& credentials, absl::Time wanted,
                             const google::protobuf::Message& request,
                             const std::function<StreamEnd(absl::Time deadline)>& act) const {
  const RpcRule* rule = FindRule(name);
  if (rule == nullptr) {
    return absl::UnimplementedError(absl::StrCat("method ", name, " is not implemented"));
  }
  MG_ASSIGN_OR_RETURN(Caller caller, gate_->Admit(*rule, credentials, [&] { return RequestText(request); }));
  absl::Time begun = absl::Now();
  AuditRecord record{.caller = caller.name,
                     .role = caller.role,
                     .peer = credentials.peer,
                     .method = name,
                     .subject = RequestText(request)};
  WriteBeginning(*rule, record);
  StreamEnd end = act(std::min(wanted, begun + rule->limit));
  record.outcome = end.status.ok() ? end.told : end.status;
  record.took = absl::Now() - begun;
  audit_->Write(record);
  return end.status;
}

}  // namespace mg::multiadmin
