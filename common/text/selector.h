/// The words by which people choose components. Any thread.
#pragma once

#include <string>

namespace mg::text {

/// Whether a word names this component (KIND, KIND/CELL or KIND/CELL/DATABASE): by its name, or by any part of it.
bool SelectsComponent(const std::string& word, const std::string& component);

}  // namespace mg::text
