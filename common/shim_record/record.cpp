#include "common/shim_record/record.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace mg::shim {
namespace {

constexpr char kHeader[] = "multigres-shim 1\n";
constexpr off_t kReserved = 512;

/// FNV-1a, 64 bits: finds torn and edited files; no defence against malice.
std::uint64_t Checksum(const std::string& text) {
  std::uint64_t hash = 14695981039346656037u;
  for (char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  }
  return hash;
}

std::string Hex(std::uint64_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

std::string Escape(const std::string& value) {
  std::string out;
  for (char c : value) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

std::string Unescape(const std::string& value) {
  std::string out;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '\\' && i + 1 < value.size()) {
      ++i;
      out += value[i] == 'n' ? '\n' : value[i];
    } else {
      out += value[i];
    }
  }
  return out;
}

}  // namespace

std::string Record::Get(const std::string& key, const std::string& fallback) const {
  for (const auto& [name, value] : fields_) {
    if (name == key) {
      return value;
    }
  }
  return fallback;
}

std::int64_t Record::GetInt(const std::string& key, std::int64_t fallback) const {
  std::string text = Get(key);
  char* end = nullptr;
  long long value = std::strtoll(text.c_str(), &end, 10);
  return text.empty() || *end != '\0' ? fallback : value;
}

std::vector<std::string> Record::GetAll(const std::string& key) const {
  std::vector<std::string> result;
  for (const auto& [name, value] : fields_) {
    if (name == key) {
      result.push_back(value);
    }
  }
  return result;
}

std::string Record::Encode() const {
  std::string text = kHeader;
  for (const auto& [name, value] : fields_) {
    text += name + "=" + Escape(value) + "\n";
  }
  return text + "checksum=" + Hex(Checksum(text)) + "\n";
}

std::pair<Record, std::string> Record::Decode(const std::string& text) {
  if (text.rfind("multigres-shim ", 0) != 0) {
    return {Record(), "it is not a record of a shim"};
  }
  size_t last = text.rfind("checksum=");
  if (last == std::string::npos || last == 0 || text[last - 1] != '\n' || text.back() != '\n') {
    return {Record(), "it is truncated"};
  }
  std::string body = text.substr(0, last);
  if (text.substr(last) != "checksum=" + Hex(Checksum(body)) + "\n") {
    return {Record(), "its checksum is wrong"};
  }
  Record record;
  size_t at = body.find('\n') + 1;
  while (at < body.size()) {
    size_t end = body.find('\n', at);
    size_t equals = body.find('=', at);
    if (equals != std::string::npos && equals < end) {
      record.Add(body.substr(at, equals - at), Unescape(body.substr(equals + 1, end - equals - 1)));
    }
    at = end + 1;
  }
  return {record, ""};
}

std::pair<Record, std::string> ReadRecord(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return {Record(), errno == ENOENT ? "absent" : std::strerror(errno)};
  }
  std::string text;
  char buffer[4096];
  for (;;) {
    ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      break;
    }
    text.append(buffer, static_cast<size_t>(n));
    if (static_cast<size_t>(n) < sizeof buffer) {
      break;  // a regular file: there is no more
    }
  }
  ::close(fd);
  return Record::Decode(text);
}

int WriteRecord(const std::string& path, const Record& record, bool sync) {
  std::string temporary = path + ".tmp";
  // Not truncated at once: what ReserveRecord took would be given back.
  int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return errno;
  }
  std::string text = record.Encode();
  size_t done = 0;
  int error = 0;
  while (error == 0 && done < text.size()) {
    ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n < 0) {
      error = errno == EINTR ? 0 : errno;
    } else {
      done += static_cast<size_t>(n);
    }
  }
  if (error == 0 && ::ftruncate(fd, static_cast<off_t>(text.size())) != 0) {
    error = errno;
  }
  if (error == 0 && sync && ::fsync(fd) != 0) {
    error = errno;
  }
  ::close(fd);
  if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) {
    error = errno;
  }
  if (error != 0) {
    ::unlink(temporary.c_str());
    return error;
  }
  return 0;
}

void ReserveRecord(const std::string& path) {
  int fd = ::open((path + ".tmp").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0) {
    (void)::posix_fallocate(fd, 0, kReserved);
    ::close(fd);
  }
}

int SyncRecord(const std::string& path) {
  int error = 0;
  for (const std::string& name : {path, path.substr(0, path.rfind('/'))}) {
    int fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0 || ::fsync(fd) != 0) {
      error = errno;
    }
    if (fd >= 0) {
      ::close(fd);
    }
  }
  return error;
}

}  // namespace mg::shim
