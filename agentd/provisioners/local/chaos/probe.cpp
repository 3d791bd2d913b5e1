#include "agentd/provisioners/local/chaos/probe.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/pgwire/client.h"
#include "common/status/status.h"

namespace mg::local {
namespace {

constexpr char kTable[] = "multigres_chaos_probe";
constexpr absl::Duration kConnectLimit = absl::Seconds(3);
/// Longer than a gateway holds work during a failover, so that its own answer is heard.
constexpr absl::Duration kWriteLimit = absl::Seconds(15);
constexpr absl::Duration kEffect = absl::Seconds(1);        // within which a fault interrupts writes
constexpr absl::Duration kPause = absl::Milliseconds(500);  // between two acknowledged writes: an interruption
constexpr int kPauseMilliseconds = 5;
constexpr int kPauseAfterErrorMilliseconds = 20;
constexpr int kPauseWhileWaitingMilliseconds = 10;
constexpr char kCannotConnect[] = "08001";
constexpr char kConnectionLost[] = "08006";

/// "57P01: …" begins with a SQLSTATE; what else went wrong is a connection that failed.
std::string SqlStateOf(const absl::Status& status, const char* otherwise) {
  std::string message(status.message());
  if (message.size() > 6 && message.substr(5, 2) == ": " &&
      std::all_of(message.begin(), message.begin() + 5, [](char c) {
        return absl::ascii_isdigit(static_cast<unsigned char>(c)) || absl::ascii_isupper(static_cast<unsigned char>(c));
      })) {
    return message.substr(0, 5);
  }
  return otherwise;
}

bool Readable(int fd, int milliseconds) {
  pollfd waiting = {.fd = fd, .events = POLLIN};
  return ::poll(&waiting, 1, milliseconds) == 1;
}

}  // namespace

Probe::Probe(const multigres::state::v1::FaultRecord& record, std::string password)
    : user_(record.user()),
      database_(record.database()),
      password_(std::move(password)),
      ending_(::eventfd(0, EFD_CLOEXEC)) {
  for (const auto& port : record.gateways()) {
    gateways_.push_back(std::make_unique<Gateway>());
    gateways_.back()->name = port.component();
    gateways_.back()->port = port.port();
  }
}

Probe::~Probe() {
  StopThreads();
  ::close(ending_);
}

void Probe::StopThreads() {
  ::eventfd_write(ending_, 1);
  for (const std::unique_ptr<Gateway>& gateway : gateways_) {
    if (gateway->thread.joinable()) {
      gateway->thread.join();
    }
  }
}

absl::Status Probe::Once(int port, const std::string& sql, absl::Time deadline) const {
  MG_ASSIGN_OR_RETURN(std::unique_ptr<pgwire::Client> client,
                      pgwire::Client::Connect({.host = "127.0.0.1",
                                               .port = port,
                                               .user = user_,
                                               .database = database_,
                                               .password = password_,
                                               .application_name = "multigres-chaos"},
                                              deadline));
  return client->Query(sql, deadline).status();
}

absl::Status Probe::Start(absl::Time deadline) {
  // One that a killed probe left behind goes first.
  MG_RETURN_IF_ERROR(WithContext(
      Once(gateways_[0]->port,
           absl::StrCat("DROP TABLE IF EXISTS ", kTable, "; CREATE TABLE ", kTable, " (value bigint)"), deadline),
      absl::StrCat("the probe cannot make its table through ", gateways_[0]->name)));
  absl::Time begun = absl::Now();
  for (const std::unique_ptr<Gateway>& gateway : gateways_) {
    gateway->thread = std::thread([this, gateway = gateway.get()] { Run(gateway); });
  }
  while (!AllWroteSince(begun)) {
    if (absl::Now() > deadline) {
      return MakeError(
          absl::StatusCode::kFailedPrecondition, "the probe cannot write through every gateway",
          {.reason = "CLUSTER_NOT_HEALTHY", .hint = "see 'multigres status', or leave it out: --no-probe"});
    }
    Readable(ending_, kPauseWhileWaitingMilliseconds);
  }
  return absl::OkStatus();
}

void Probe::Run(Gateway* gateway) {
  std::unique_ptr<pgwire::Client> client;
  for (int pause = 0; !Readable(ending_, pause);) {
    Write write{.begun = absl::Now(), .value = next_++};
    absl::Status status;
    const char* otherwise = kConnectionLost;
    if (client == nullptr) {
      absl::StatusOr<std::unique_ptr<pgwire::Client>> made =
          pgwire::Client::Connect({.host = "127.0.0.1",
                                   .port = gateway->port,
                                   .user = user_,
                                   .database = database_,
                                   .password = password_,
                                   .application_name = "multigres-chaos"},
                                  absl::Now() + kConnectLimit);
      status = made.status();
      otherwise = kCannotConnect;
      if (made.ok()) {
        client = *std::move(made);
        write.begun = absl::Now();
      }
    }
    if (client != nullptr) {
      otherwise = kConnectionLost;
      status =
          client->Query(absl::StrCat("INSERT INTO ", kTable, " VALUES (", write.value, ")"), absl::Now() + kWriteLimit)
              .status();
    }
    write.ended = absl::Now();
    write.acknowledged = status.ok();
    if (!status.ok()) {
      client.reset();
      write.sqlstate = SqlStateOf(status, otherwise);
      write.message = std::string(status.message());
    }
    pause = status.ok() ? kPauseMilliseconds : kPauseAfterErrorMilliseconds;
    std::lock_guard lock(mutex_);
    gateway->writes.push_back(std::move(write));
  }
}

bool Probe::AllWroteSince(absl::Time since) const {
  std::lock_guard lock(mutex_);
  return std::all_of(gateways_.begin(), gateways_.end(), [&](const auto& gateway) {
    return std::any_of(gateway->writes.rbegin(), gateway->writes.rend(),
                       [&](const Write& write) { return write.acknowledged && write.begun >= since; });
  });
}

void Probe::Describe(const Gateway& gateway, absl::Time fault,
                     multigres::provisioner::v1::GatewayReport* report) const {
  report->set_gateway(gateway.name);
  std::optional<absl::Time> last, first, resumed;
  absl::Duration longest = absl::ZeroDuration();
  std::map<std::string, multigres::provisioner::v1::FaultError> errors;
  for (const Write& write : gateway.writes) {
    if (!write.acknowledged) {
      if (write.ended >= fault) {
        auto& error = errors[write.sqlstate];
        if (error.count() == 0) {
          error.set_sqlstate(write.sqlstate);
          error.set_message(write.message);
        }
        error.set_count(error.count() + 1);
      }
      continue;
    }
    report->set_acknowledged(report->acknowledged() + 1);
    if (write.begun >= fault && !first) {
      first = write.ended;
    }
    if (last && write.ended >= fault && write.ended - *last > longest) {
      longest = write.ended - *last;
      resumed = *last < fault + kEffect ? write.ended : resumed;
    }
    last = write.ended;
  }
  if (first) {
    // One that slipped in between the fault and its effect says nothing.
    const bool slipped = longest >= kPause && resumed && *resumed > *first;
    report->set_first_write_seconds(absl::ToDoubleSeconds((slipped ? *resumed : *first) - fault));
  }
  report->set_longest_pause_seconds(absl::ToDoubleSeconds(longest));
  for (auto& [sqlstate, error] : errors) {
    *report->add_errors() = std::move(error);
  }
}

absl::Status Probe::ReadBack(absl::Duration each, int* lost) const {
  absl::Status last = absl::UnknownError("there is no gateway");
  for (const std::unique_ptr<Gateway>& gateway : gateways_) {
    const absl::Time deadline = absl::Now() + each;
    absl::StatusOr<std::unique_ptr<pgwire::Client>> client =
        pgwire::Client::Connect({.host = "127.0.0.1",
                                 .port = gateway->port,
                                 .user = user_,
                                 .database = database_,
                                 .password = password_,
                                 .application_name = "multigres-chaos"},
                                deadline);
    last = client.status();
    if (!client.ok()) {
      continue;
    }
    absl::StatusOr<std::vector<pgwire::Client::Row>> rows =
        (*client)->Query(absl::StrCat("SELECT value FROM ", kTable), deadline);
    last = rows.status();
    if (!rows.ok()) {
      continue;
    }
    std::set<std::int64_t> there;
    for (const pgwire::Client::Row& row : *rows) {
      std::int64_t value = 0;
      if (row.size() == 1 && row[0] && absl::SimpleAtoi(*row[0], &value)) {
        there.insert(value);
      }
    }
    for (const std::unique_ptr<Gateway>& wrote : gateways_) {
      *lost += static_cast<int>(std::count_if(wrote->writes.begin(), wrote->writes.end(), [&](const Write& write) {
        return write.acknowledged && !there.contains(write.value);
      }));
    }
    return (*client)->Query(absl::StrCat("DROP TABLE ", kTable), deadline).status();
  }
  return last;
}

void Probe::Finish(absl::Time fault, absl::Duration each, multigres::provisioner::v1::FaultReport* report) {
  StopThreads();
  for (const std::unique_ptr<Gateway>& gateway : gateways_) {
    auto* described = report->add_gateways();
    Describe(*gateway, fault, described);
    if (described->has_first_write_seconds() &&
        (!report->has_first_write_seconds() || described->first_write_seconds() < report->first_write_seconds())) {
      report->set_first_write_seconds(described->first_write_seconds());
      report->set_first_write_gateway(gateway->name);
    }
  }
  int lost = 0;
  report->set_verified(ReadBack(each, &lost).ok());
  report->set_lost_writes(lost);
}

}  // namespace mg::local
