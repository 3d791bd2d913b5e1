/// The last lines of a component's log directory, for error messages. Any thread; blocking.
#pragma once

#include <string>
#include <vector>

namespace mg::logs {

/// Texts of the last `count` lines of current.log (and, when it is shorter, of the file before it), oldest first.
std::vector<std::string> LastLinesOfDirectory(const std::string& directory, int count);

}  // namespace mg::logs
