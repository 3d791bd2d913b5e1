/// The components that people name. Pure; any thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "agentd/provisioners/local/model.h"

namespace mg::local {

/// The model's component of this name; NOT_FOUND with the one that was probably meant, INVALID_ARGUMENT for what names
/// no single component. The model owns it.
absl::StatusOr<const v1::ComponentSpec*> Named(const Model& model, const std::string& component);

}  // namespace mg::local
