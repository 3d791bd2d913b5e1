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
constexpr size_t kNoteHead = 1 + 4 + 3 * 4 + 2 * 8;

void AppendUint64(Writer* writer, std::uint64_t value) {
  writer->Int32(static_cast<std::int32_t>(value >> 32)).Int32(static_cast<std::int32_t>(value & 0xFFFFFFFF));
}
std::uint64_t ReadUint64(const char* data) { return std::uint64_t{ReadUint32(data)} << 32 | ReadUint32(data + 4); }

}  // namespace

std::string EncodeHandoff(const Handoff& handoff) {
  Writer writer(handoff.cancel ? 'X' : handoff.listen ? 'L' : 'H');
  if (handoff.listen) {
    writer.CString("gateway").CString(absl::BytesToHexString(handoff.gateway));
  } else if (handoff.cancel) {
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
    writer.CString("gateway").CString(absl::BytesToHexString(handoff.gateway));
    writer.CString("tag").CString(absl::StrCat(handoff.tag));
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
  if (data[0] != kVersion || !absl::StrContains("HXL", data[1]) || length < 5 || length > kMaxHandoff) {
    return absl::InvalidArgumentError("this is no hand-off of a gateway");
  }
  if (data.size() < 2 + length) {
    return handoff;
  }
  handoff.cancel = data[1] == 'X';
  handoff.listen = data[1] == 'L';
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
    } else if (name == "gateway") {
      handoff.gateway = absl::HexStringToBytes(value);
    } else if (name == "tag" && !absl::SimpleAtoi(value, &handoff.tag)) {
      return absl::InvalidArgumentError("this is no hand-off of a gateway");
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

std::string EncodeRestNote(const RestNote& note) {
  Writer writer('r');
  writer.Int32(static_cast<std::int32_t>(note.tag))
      .Int32(static_cast<std::int32_t>(note.backend_pid))
      .Int32(static_cast<std::int32_t>(note.backend_secret));
  AppendUint64(&writer, note.heard);
  AppendUint64(&writer, note.said);
  return writer.Bytes(note.replay).Finish();
}

absl::StatusOr<RestNote> DecodeRestNote(absl::string_view data, size_t* consumed) {
  *consumed = 0;
  RestNote note;
  if (data.size() < kNoteHead) {
    return note;
  }
  std::uint32_t length = ReadUint32(data.data() + 1);
  if (data[0] != 'r' || length < kNoteHead - 1 || length > kMaxHandoff) {
    return absl::InvalidArgumentError("this is no note of a pooler");
  }
  if (data.size() < 1 + size_t{length}) {
    return note;
  }
  note.tag = ReadUint32(data.data() + 5);
  note.backend_pid = ReadUint32(data.data() + 9);
  note.backend_secret = ReadUint32(data.data() + 13);
  note.heard = ReadUint64(data.data() + 17);
  note.said = ReadUint64(data.data() + 25);
  note.replay = std::string(data.substr(kNoteHead, 1 + length - kNoteHead));
  *consumed = 1 + length;
  return note;
}

std::string PoolerSocketPath(const std::string& pooler_dir) {
  std::error_code error;
  std::filesystem::path run = std::filesystem::canonical(pooler_dir + "/run", error);
  return (error ? pooler_dir + "/run" : run.string()) + "/pooler.sock";
}

}  // namespace mg::pgwire
