#include "agentd/provisioners/local/probes.h"
#include "common/pgwire/client.h"
#include "common/status/status.h"

namespace mg::local {

absl::Status SelectOne(const Login& login, absl::Time deadline) {
  pgwire::ClientOptions options{.host = "127.0.0.1",
                                .port = login.port,
                                .user = login.user,
                                .database = login.database,
                                .password = login.password,
                                .application_name = "multigres-up"};
  MG_ASSIGN_OR_RETURN(std::unique_ptr<pgwire::Client> client, pgwire::Client::Connect(options, deadline));
  MG_ASSIGN_OR_RETURN(std::vector<pgwire::Client::Row> rows, client->Query("SELECT 1", deadline));
  bool one = rows.size() == 1 && rows[0].size() == 1 && rows[0][0] == "1";
  return one ? absl::OkStatus() : absl::DataLossError("SELECT 1 gave something else");
}

}  // namespace mg::local
