/// Versions of this build. Constants.
#pragma once

namespace mg {

/// Of all our programs; one release has one version.
inline constexpr char kVersion[] = "0.1.0";

/// The agent's protocol: what this build speaks, oldest and newest.
inline constexpr int kAgentProtocolMin = 1;
inline constexpr int kAgentProtocol = 1;

}  // namespace mg
