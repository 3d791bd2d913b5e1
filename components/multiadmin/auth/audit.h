/// The audit log: one record for every call that changes something, and for every one that was refused: who, what, on
/// what, outcome; and one before it for a call that may take long, which this process may not live to see the end of.
/// A log source of its own (a directory in the form that shims write), else part of the program's log.
/// Any thread.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/cri/cri_writer.h"
#include "components/multiadmin/auth/role.h"

namespace mg::multiadmin {

struct AuditRecord {
  std::string caller;  ///< empty: not known
  Role role = multigres::admin::v1::ROLE_UNSPECIFIED;
  std::string peer;
  std::string method;   ///< /package.Service/Method
  std::string subject;  ///< the request as JSON, cut at 500 bytes; empty: it is none, or none that can be read
  bool begins = false;  ///< its outcome has a record of its own, later
  absl::Status outcome = absl::OkStatus();
  absl::Duration took = absl::ZeroDuration();
};

/// A request as a record shows it; empty: it cannot be shown as JSON.
std::string RequestText(const google::protobuf::Message& request);

class Audit {
 public:
  /// `directory` empty: the program's own log. It is made when it is not there, for this user only.
  static absl::StatusOr<std::unique_ptr<Audit>> Open(const std::string& directory);
  void Write(const AuditRecord& record);

 private:
  std::mutex mutex_;
  std::unique_ptr<logs::CriWriter> writer_;
};

}  // namespace mg::multiadmin
