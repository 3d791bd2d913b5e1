/// libpq's connection strings, as primary_conninfo has them: `keyword = value` with blanks between, values quoted by '
/// where need be, or a URI. Pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace mg::multipooler {

/// Of the first form; empty when absent.
std::string ConninfoValue(absl::string_view conninfo, absl::string_view keyword);

/// The string as it may be shown: what stands for the password (and sslpassword) is `***`.
std::string WithoutPassword(absl::string_view conninfo);

}  // namespace mg::multipooler
