/// What an edited configuration changes in a cluster that exists: the specs of a plan against what was launched and
/// what lies on disk. Reads only; any thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agentd/provisioners/local/model.h"
#include "common/shim_protocol/shim.h"

namespace mg::local {

/// How a component's launch differs: `now` was launched, `planned` would be. Stop ladders and log bounds do not count,
/// nor does what the agent's own environment adds, nor what an earlier version of ours did not give. Pure.
std::vector<v1::SettingChange> CompareLaunches(const shim::LaunchSpec& now, const shim::LaunchSpec& planned);

/// An orch that would watch other databases, and changes in nothing else.
bool OnlyWatchesOthers(const v1::ComponentChange& change);

/// How two files of PostgreSQL's settings differ. What was computed from the machine's memory does not count, unless
/// the configuration gives it. Pure.
std::vector<v1::SettingChange> CompareSettings(const std::string& now, const std::string& planned,
                                               const std::map<std::string, std::string>& given);

/// A running PostgreSQL takes this setting over only by a restart.
bool NeedsRestart(const std::string& setting);
/// It gives a server less of something than the data was last written with: replay stops then, and every start begins
/// with replay.
bool StopsReplay(const v1::SettingChange& change);

/// Every component that does not run as `model` (built for a plan or a start) says; and fills model->to_restart. Empty
/// for a cluster of which nothing runs, except for what would endanger its data.
std::vector<v1::ComponentChange> FindChanges(Model* model);
/// Those that a bring-up makes or refuses: without what waits for a component's next start.
std::vector<v1::ComponentChange> FindChangesOfNow(Model* model);

/// FAILED_PRECONDITION with the first of those that must not be made; OK when there is none.
absl::Status Refusal(const std::vector<v1::ComponentChange>& changes);

/// One line for people: "multigateway/zone1: restart (pg-port 15432 -> 16000)".
std::string DescribeChange(const v1::ComponentChange& change);

}  // namespace mg::local
