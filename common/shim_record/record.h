/// The form of the files between launcher and shim: `multigres-shim 1`, then `key=value` lines (values escaped, keys
/// may repeat), then a checksum over all before it. Unknown keys are kept and ignored. No dependency beyond the C++
/// library, for the shim.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace mg::shim {

/// `NAME=` of the environment variable that marks every process of a component: the run directory follows. So what a
/// killed shim left behind is found, whatever it is called by then.
inline constexpr char kRunDirVariable[] = "MULTIGRES_SHIM_RUN_DIR=";

class Record {
 public:
  void Add(const std::string& key, const std::string& value) { fields_.emplace_back(key, value); }
  void Add(const std::string& key, std::int64_t value) { Add(key, std::to_string(value)); }
  /// The first value, or `fallback`.
  std::string Get(const std::string& key, const std::string& fallback = "") const;
  std::int64_t GetInt(const std::string& key, std::int64_t fallback = 0) const;
  std::vector<std::string> GetAll(const std::string& key) const;

  std::string Encode() const;
  /// Empty problem: fine. Otherwise why the text is not a record; the object is then empty.
  static std::pair<Record, std::string> Decode(const std::string& text);

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

/// Reads and decodes a file. `problem` is empty when fine, "absent" when there is no such file, else what is wrong with
/// it.
std::pair<Record, std::string> ReadRecord(const std::string& path);
/// Replaces the file by rename; with `sync` its content is on disk before it has its name. 0 or an errno.
int WriteRecord(const std::string& path, const Record& record, bool sync);
/// Takes the disk space that a later WriteRecord of this path needs, so that a disk which is full by then does not
/// matter. Best effort.
void ReserveRecord(const std::string& path);
/// Brings a file and its directory's entry to disk. 0 or an errno.
int SyncRecord(const std::string& path);

}  // namespace mg::shim
