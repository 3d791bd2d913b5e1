#include "components/multipooler/manager/base_backup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/pginstall/pginstall.h"
#include "common/process/helper.h"
#include "common/status/status.h"
#include "common/topology/topology.h"
#include "components/multipooler/manager/postgres_settings.h"

namespace mg::multipooler {
namespace {

absl::Status Rename(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("rename ", from, " to ", to));
  }
  return absl::OkStatus();
}

std::string CopyDirectory(const Config& config) { return config.data_directory + ".new"; }

}  // namespace

std::string AsideDirectory(const Config& config) { return config.data_directory + ".aside"; }

absl::Status PrepareStandby(const Config& config, const std::string& data_directory, const std::string& host,
                            int port) {
  MG_RETURN_IF_ERROR(WriteReplicationPassfile(config));
  MG_RETURN_IF_ERROR(EditAutoConf(
      data_directory,
      {{"primary_conninfo", PrimaryConninfo(config, host, port)}, {"synchronous_standby_names", std::nullopt}},
      config.run_as));
  std::string signal = JoinPath(data_directory, "standby.signal");
  MG_RETURN_IF_ERROR(WriteFileAtomically(signal, "", 0600));
  return ChangeOwner(signal, config.run_as);
}

absl::Status TakeBaseBackup(const Config& config, const std::string& host, int port, absl::Time deadline,
                            const std::atomic<bool>& cancelled) {
  MG_RETURN_IF_ERROR(CopyData(config, host, port, deadline, cancelled));
  return PutCopyInPlace(config);
}

absl::Status CopyData(const Config& config, const std::string& host, int port, absl::Time deadline,
                      const std::atomic<bool>& cancelled) {
  std::string copy = CopyDirectory(config);
  MG_RETURN_IF_ERROR(WriteReplicationPassfile(config));
  MG_RETURN_IF_ERROR(RemoveTree(copy));
  MG_RETURN_IF_ERROR(MakeDirectories(config.pooler_dir, 0711));  // PostgreSQL's user passes through it
  MG_RETURN_IF_ERROR(MakeDirectories(copy, 0700));
  MG_RETURN_IF_ERROR(ChangeOwner(copy, config.run_as));
  // A newer pg_basebackup copies from an older server too.
  MG_ASSIGN_OR_RETURN(pginstall::Installation installation,
                      config.postgres_major == 0 ? pginstall::Newest() : pginstall::OfMajor(config.postgres_major));
  HelperSpec helper;
  helper.argv = {installation.Program("pg_basebackup"),
                 "--pgdata=" + copy,
                 "--format=plain",
                 "--wal-method=stream",
                 "--checkpoint=fast",
                 "--no-sync",
                 "--no-password",
                 "--no-manifest",
                 absl::StrCat("--dbname=", PrimaryConninfo(config, host, port))};
  helper.environment = {"PGPASSFILE=" + ReplicationPassfile(config)};
  helper.working_directory = "/";
  helper.run_as = config.run_as;
  helper.timeout = deadline - absl::Now();
  helper.cancelled = &cancelled;
  absl::Status copied = RunHelperOk(helper).status();
  if (copied.ok()) {
    copied = PrepareStandby(config, copy, host, port);
  }
  if (!copied.ok()) {
    (void)RemoveTree(copy);
  }
  return copied;
}

absl::Status PutCopyInPlace(const Config& config) {
  if (Exists(config.data_directory) && Exists(AsideDirectory(config))) {
    // A copy that has never streamed; what is aside is the node's own data.
    MG_RETURN_IF_ERROR(RemoveTree(config.data_directory));
  } else if (Exists(config.data_directory)) {
    MG_RETURN_IF_ERROR(Rename(config.data_directory, AsideDirectory(config)));
  }
  MG_RETURN_IF_ERROR(Rename(CopyDirectory(config), config.data_directory));
  return RemoveTree(ReplaySentinel(config));
}

}  // namespace mg::multipooler
