#include "components/pgctld/configuration.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/fs/fs.h"
#include "common/status/status.h"
#include "components/pgctld/data_files.h"

namespace mg::pgctld {
namespace {

/// WAL sizes follow the volume, within the contract's bounds; MB.
struct WalSizes {
  int max_wal = 1024, keep = 512, min_wal = 256;
};

WalSizes SizesFor(const std::string& directory) {
  struct statvfs info {};
  WalSizes sizes;
  if (::statvfs(directory.c_str(), &info) == 0) {
    double mib = static_cast<double>(info.f_blocks) * static_cast<double>(info.f_frsize) / (1 << 20);
    sizes.max_wal = std::clamp(static_cast<int>(std::min(mib / 4, 4096.0)), 64, 4096);
    sizes.keep = std::clamp(static_cast<int>(std::min(mib / 8, 1000.0)), 32, 1000);
    sizes.min_wal = std::clamp(sizes.max_wal / 4, 32, 1024);
  }
  return sizes;
}

/// Last of all, so that what they say counts.
std::string ExtraConfiguration(const Options& options) {
  std::string text;
  for (const std::string& file : options.extra_conf) {
    absl::StrAppend(&text, "include_if_exists = '", absl::StrReplaceAll(file, {{"'", "''"}}), "'\n");
  }
  return text;
}

std::string Configuration(const Options& options) {
  WalSizes wal = SizesFor(options.pooler_dir);
  return absl::StrCat(
      "\n# Written by pgctld. Port, addresses and socket directory are given on the command line.\n"
      "max_connections = 110\nshared_buffers = 64MB\nwal_level = logical\nhot_standby = on\nwal_log_hints = on\n"
      "max_wal_senders = 25\nmax_replication_slots = 25\nwal_sender_timeout = 10s\nwal_receiver_timeout = 10s\n"
      "# The default of 5 s would dominate every start of a standby; each try is a line in the "
      "log.\nwal_retrieve_retry_interval = 50ms\n"
      "# One call instead of one per file after a crash or a base backup.\nrecovery_init_sync_method = syncfs\n"
      "max_wal_size = ",
      wal.max_wal, "MB\nmin_wal_size = ", wal.min_wal, "MB\nwal_keep_size = ", wal.keep,
      "MB\nmax_slot_wal_keep_size = ", wal.max_wal,
      "MB\npassword_encryption = scram-sha-256\nlog_destination = stderr\nlogging_collector = off\n"
      "log_line_prefix = '%m [%p] %q%u@%d '\nlog_timezone = UTC\n",
      ExtraConfiguration(options));
}

constexpr char kHba[] =
    "# Written by pgctld.\n"
    "# TYPE  DATABASE     USER  ADDRESS         METHOD\n"
    "local   all          all                   scram-sha-256\n"
    "host    all          all   127.0.0.1/32    scram-sha-256\n"
    "host    all          all   ::1/128         scram-sha-256\n"
    "host    all          all   0.0.0.0/0       scram-sha-256\n"
    "host    all          all   ::/0            scram-sha-256\n"
    "local   replication  all                   scram-sha-256\n"
    "host    replication  all   127.0.0.1/32    scram-sha-256\n"
    "host    replication  all   ::1/128         scram-sha-256\n";

/// Not synced: the whole of a new data directory is synced once, by whoever declares the cluster ready.
absl::Status Write(const Options& options, const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc);
  file << text;
  file.close();
  if (!file) {
    return ErrnoStatus(errno, absl::StrCat("write ", path));
  }
  return GiveToUser(path, options.run_as);
}

}  // namespace

absl::Status WriteConfiguration(const Options& options, const std::string& data_dir) {
  std::string path = JoinPath(data_dir, "postgresql.conf");
  std::string text;
  if (options.config_template.empty()) {
    MG_ASSIGN_OR_RETURN(text, ReadFile(path));
    text += Configuration(options);
  } else {
    MG_ASSIGN_OR_RETURN(text, ReadFile(options.config_template));
    text += ExtraConfiguration(options);
  }
  MG_RETURN_IF_ERROR(Write(options, path, text));
  std::string hba = kHba;
  if (!options.hba_template.empty()) {
    MG_ASSIGN_OR_RETURN(hba, ReadFile(options.hba_template));
  }
  return Write(options, JoinPath(data_dir, "pg_hba.conf"), hba);
}

}  // namespace mg::pgctld
