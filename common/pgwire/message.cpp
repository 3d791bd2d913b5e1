#include "common/pgwire/message.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace mg::pgwire {
namespace {

/// Takes a zero-terminated string off the front; false when there is none.
bool TakeCString(absl::string_view* data, std::string* out) {
  size_t end = data->find('\0');
  if (end == absl::string_view::npos) {
    return false;
  }
  out->assign(data->data(), end);
  data->remove_prefix(end + 1);
  return true;
}

void PutUint32(std::string* out, size_t at, std::uint32_t value) {
  for (size_t i = 0; i < 4; ++i) {
    (*out)[at + i] = static_cast<char>(value >> (24 - 8 * i));
  }
}

}  // namespace

std::uint32_t ReadUint32(const char* data) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    value = value << 8 | static_cast<unsigned char>(data[i]);
  }
  return value;
}

Writer::Writer(char type) {
  if (type != 0) {
    data_ += type;
  }
  length_at_ = data_.size();
  data_.append(4, '\0');
}

Writer& Writer::Byte(char value) {
  data_ += value;
  return *this;
}

Writer& Writer::Int32(std::int32_t value) {
  data_.append(4, '\0');
  PutUint32(&data_, data_.size() - 4, static_cast<std::uint32_t>(value));
  return *this;
}

Writer& Writer::CString(absl::string_view value) {
  data_.append(value.data(), value.size());
  data_ += '\0';
  return *this;
}

Writer& Writer::Bytes(absl::string_view value) {
  data_.append(value.data(), value.size());
  return *this;
}

std::string Writer::Finish() {
  PutUint32(&data_, length_at_, static_cast<std::uint32_t>(data_.size() - length_at_));
  return std::move(data_);
}

std::string ErrorMessage(const Diagnostic& diagnostic) {
  Writer writer('E');
  writer.Byte('S')
      .CString(diagnostic.severity)
      .Byte('V')
      .CString(diagnostic.severity)
      .Byte('C')
      .CString(diagnostic.code);
  writer.Byte('M').CString(diagnostic.message);
  if (!diagnostic.detail.empty()) {
    writer.Byte('D').CString(diagnostic.detail);
  }
  if (!diagnostic.hint.empty()) {
    writer.Byte('H').CString(diagnostic.hint);
  }
  return writer.Byte('\0').Finish();
}

Diagnostic ParseDiagnostic(absl::string_view body) {
  Diagnostic result;
  result.severity.clear();
  while (!body.empty() && body[0] != '\0') {
    char field = body[0];
    body.remove_prefix(1);
    std::string value;
    if (!TakeCString(&body, &value)) {
      break;
    }
    switch (field) {
      case 'V':
        result.severity = value;
        break;
      case 'C':
        result.code = value;
        break;
      case 'M':
        result.message = value;
        break;
      case 'D':
        result.detail = value;
        break;
      case 'H':
        result.hint = value;
        break;
      case 'R':
        result.routine = value;
        break;
      default:
        break;
    }
  }
  return result;
}

absl::StatusOr<Startup> ParseStartup(absl::string_view packet) {
  if (packet.size() < 4) {
    return absl::InvalidArgumentError("the start-up packet is too short");
  }
  Startup startup;
  startup.protocol = static_cast<std::int32_t>(ReadUint32(packet.data()));
  packet.remove_prefix(4);
  while (!packet.empty() && packet[0] != '\0') {
    std::string name, value;
    if (!TakeCString(&packet, &name) || !TakeCString(&packet, &value)) {
      return absl::InvalidArgumentError("invalid startup packet layout: expected terminator as last byte");
    }
    if (absl::StartsWith(name, "_pq_.")) {
      startup.unknown_options.push_back(name);
    } else {
      startup.parameters[name] = value;
    }
  }
  if (packet.size() != 1) {
    return absl::InvalidArgumentError("invalid startup packet layout: expected terminator as last byte");
  }
  return startup;
}

std::string StartupMessage(const std::map<std::string, std::string>& parameters) {
  Writer writer(0);
  writer.Int32(kProtocol3);
  for (const auto& [name, value] : parameters) {
    writer.CString(name).CString(value);
  }
  return writer.Byte('\0').Finish();
}

std::string CancelMessage(std::uint32_t pid, std::uint32_t secret) {
  return Writer(0)
      .Int32(kCancelRequest)
      .Int32(static_cast<std::int32_t>(pid))
      .Int32(static_cast<std::int32_t>(secret))
      .Finish();
}

std::string QueryMessage(absl::string_view sql) { return Writer('Q').CString(sql).Finish(); }

std::string ParameterStatus(absl::string_view name, absl::string_view value) {
  return Writer('S').CString(name).CString(value).Finish();
}

std::pair<std::string, std::string> ParseParameterStatus(absl::string_view body) {
  std::pair<std::string, std::string> result;
  TakeCString(&body, &result.first);
  TakeCString(&body, &result.second);
  return result;
}

std::string QuoteLiteral(absl::string_view text) {
  std::string result = absl::StrContains(text, '\\') ? " E'" : "'";
  for (char c : text) {
    if (c == '\'' || c == '\\') {
      result += c;
    }
    result += c;
  }
  return result + "'";
}

}  // namespace mg::pgwire
