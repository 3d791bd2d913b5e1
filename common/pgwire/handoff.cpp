#include "common/pgwire/handoff.h"

#include <filesystem>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/pgwire/message.h"

namespace mg::pgwire {
namespace {

constexpr char kVersion = 1;
constexpr std::uint32_t kMaxHandoff = 8 << 20;  // a replay may be in it

}  // namespace

std::string EncodeHandoff(const Handoff& handoff) {
  Writer writer(handoff.cancel ? 'X' : 'H');
  if (handoff.cancel) {
    writer.CString("pid")
        .CString(absl::StrCat(handoff.backend_pid))
        .CString("secret")
        .CString(absl::StrCat(handoff.backend_secret));
  } else {
    writer.CString("mode").CString(handoff.read_only ? "ro" : "rw");
    writer.CString("verifier").CString(handoff.verifier);
    writer.CString("client_key").CString(absl::BytesToHexString(handoff.keys.client_key));
    writer.CString("server_key").CString(absl::BytesToHexString(handoff.keys.server_key));
    writer.CString("client").CString(handoff.client);
    writer.CString("park").CString(absl::BytesToHexString(handoff.park_token));
    if (!handoff.replay.empty()) {
      writer.CString("replay").CString(absl::BytesToHexString(handoff.replay));
    }
    for (const auto& [name, value] : handoff.parameters) {
      writer.CString(absl::StrCat("p:", name)).CString(value);
    }
  }
  return std::string(1, kVersion) + writer.Byte('\0').Finish();
}

absl::StatusOr<Handoff> DecodeHandoff(const std::string& data, size_t* consumed) {
  *consumed = 0;
  Handoff handoff;
  if (data.size() < 6) {
    return handoff;
  }
  std::uint32_t length = ReadUint32(data.data() + 2);
  if (data[0] != kVersion || (data[1] != 'H' && data[1] != 'X') || length < 5 || length > kMaxHandoff) {
    return absl::InvalidArgumentError("this is no hand-off of a gateway");
  }
  if (data.size() < 2 + length) {
    return handoff;
  }
  handoff.cancel = data[1] == 'X';
  absl::string_view body(data.data() + 6, length - 4);
  while (!body.empty() && body[0] != '\0') {
    auto [name, value] = ParseParameterStatus(body);
    if (name.size() + value.size() + 2 > body.size()) {
      return absl::InvalidArgumentError("this is no hand-off of a gateway");
    }
    body.remove_prefix(name.size() + value.size() + 2);
    if (name == "mode") {
      handoff.read_only = value == "ro";
    } else if (name == "verifier") {
      handoff.verifier = value;
    } else if (name == "client_key") {
      handoff.keys.client_key = absl::HexStringToBytes(value);
    } else if (name == "server_key") {
      handoff.keys.server_key = absl::HexStringToBytes(value);
    } else if (name == "park") {
      handoff.park_token = absl::HexStringToBytes(value);
    } else if (name == "replay") {
      handoff.replay = absl::HexStringToBytes(value);
    } else if (name == "client") {
      handoff.client = value;
    } else if (name == "pid" && !absl::SimpleAtoi(value, &handoff.backend_pid)) {
      return absl::InvalidArgumentError("this is no hand-off of a gateway");
    } else if (name == "secret" && !absl::SimpleAtoi(value, &handoff.backend_secret)) {
      return absl::InvalidArgumentError("this is no hand-off of a gateway");
    } else if (absl::StartsWith(name, "p:")) {
      handoff.parameters[name.substr(2)] = value;
    }
  }
  *consumed = 2 + length;
  return handoff;
}

std::string ParkMarker(absl::string_view token) { return Writer('m').Bytes(token).Finish(); }

std::string EncodeReplay(const Replay& replay) {
  if (replay.messages.empty()) {
    return "";
  }
  std::string text(4, '\0');
  for (int i = 0; i < 4; ++i) {
    text[static_cast<std::size_t>(i)] = static_cast<char>(static_cast<std::uint32_t>(replay.ready) >> (24 - 8 * i));
  }
  return text + replay.messages;
}

absl::StatusOr<Replay> DecodeReplay(absl::string_view text) {
  Replay replay;
  if (text.empty()) {
    return replay;
  }
  if (text.size() < 4) {
    return absl::InvalidArgumentError("this is no replay of a session");
  }
  replay.ready = static_cast<int>(ReadUint32(text.data()));
  replay.messages = std::string(text.substr(4));
  return replay;
}

std::string PoolerSocketPath(const std::string& pooler_dir) {
  std::error_code error;
  std::filesystem::path run = std::filesystem::canonical(pooler_dir + "/run", error);
  return (error ? pooler_dir + "/run" : run.string()) + "/pooler.sock";
}

}  // namespace mg::pgwire
