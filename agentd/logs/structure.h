/// Takes a log line apart, as our components, etcd and PostgreSQL write them. Pure; any thread.
#pragma once

#include <string>

#include "multigres/agent/v1/agent.pb.h"

namespace mg::logs {

/// Fills message and fields: of a JSON object its `msg` or `message` and the rest without the level; of a line of
/// PostgreSQL the text behind the severity, and severity, pid, user, database; of any other line itself and none.
void FillStructure(const std::string& text, multigres::agent::v1::LogRecord* record);

/// What a line says, in at most `width` cells: its message, and its error where it has one.
std::string Gist(const std::string& text, int width);

}  // namespace mg::logs
