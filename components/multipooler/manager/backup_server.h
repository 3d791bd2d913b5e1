/// The pooler's PostgreSQL, as backups name it.
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include "absl/time/time.h"
#include "components/multipooler/backup/engine.h"
#include "components/multipooler/manager/base_backup.h"
#include "components/multipooler/manager/config.h"
#include "components/multipooler/manager/postgres_settings.h"

namespace mg::multipooler {

inline backup::Server ServerOf(const Config& config) {
  return {.data_directory = config.data_directory,
          .socket_directory =
              config.postgres.socket_directory.empty() ? config.postgres.host : config.postgres.socket_directory,
          .port = config.postgres.port,
          .superuser = config.postgres.superuser,
          .passfile = ReplicationPassfile(config),
          .run_as = config.run_as,
          .postgres_major = config.postgres_major};
}

}  // namespace mg::multipooler
