#include "common/log/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <mutex>

#include "absl/strings/ascii.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/log/file_sink.h"

namespace mg::log {
namespace {

/// The one global of the program: where its own log goes. Set in main; read from any thread.
struct Sink {
  std::mutex mutex;
  std::shared_ptr<spdlog::sinks::sink> target = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  std::atomic<Level> level = Level::kInfo;
  std::atomic<bool> json = false;
};

Sink& TheSink() {
  static auto* const sink = [] {
    auto* made = new Sink;
    made->target->set_pattern("%v");
    return made;
  }();
  return *sink;
}

const char* Name(Level level) {
  switch (level) {
    case Level::kDebug:
      return "DEBUG";
    case Level::kInfo:
      return "INFO";
    case Level::kWarn:
      return "WARN";
    case Level::kError:
      return "ERROR";
  }
  return "INFO";
}

void AppendQuoted(std::string* out, absl::string_view text) {
  *out += '"';
  for (char c : text) {
    switch (c) {
      case '"':
        *out += "\\\"";
        break;
      case '\\':
        *out += "\\\\";
        break;
      case '\n':
        *out += "\\n";
        break;
      case '\r':
        *out += "\\r";
        break;
      case '\t':
        *out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          absl::StrAppend(out, "\\u", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad4));
        } else {
          *out += c;
        }
    }
  }
  *out += '"';
}

Level ParseLevelName(const std::string& name) {
  std::string lower = absl::AsciiStrToLower(name);
  return lower == "debug"   ? Level::kDebug
         : lower == "warn"  ? Level::kWarn
         : lower == "error" ? Level::kError
                            : Level::kInfo;
}

std::string Head(bool json, Level level) {
  std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%E9S%Ez", absl::Now(), absl::LocalTimeZone());
  return json ? absl::StrCat("{\"time\":\"", time, "\",\"level\":\"", Name(level), "\",\"msg\":")
              : absl::StrCat("time=", time, " level=", Name(level), " msg=");
}

std::string LostLine(std::uint64_t lost) {
  bool json = TheSink().json;
  return absl::StrCat(Head(json, Level::kWarn), "\"records were lost: the log could not be written\"",
                      json ? ",\"lost\":\"" : " lost=\"", lost, json ? "\"}" : "\"", "\n");
}

}  // namespace

absl::Status Configure(const Options& options) {
  std::shared_ptr<spdlog::sinks::sink> target;
  if (options.output == "stdout") {
    target = std::make_shared<spdlog::sinks::stdout_sink_mt>();
  } else if (options.output == "stderr") {
    target = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    auto file = std::make_shared<FileSink>(options.output, options.rotate_bytes, options.rotate_keep, LostLine);
    if (absl::Status opened = file->Open(); !opened.ok()) {
      return opened;
    }
    target = std::move(file);
  }
  target->set_pattern("%v");
  Sink& sink = TheSink();
  sink.level = ParseLevelName(options.level);
  sink.json = options.format != "text";
  std::lock_guard lock(sink.mutex);
  sink.target = std::move(target);
  return absl::OkStatus();
}

void Write(Level level, absl::string_view message, std::initializer_list<Attribute> attributes) {
  Sink& sink = TheSink();
  if (level < sink.level.load()) {
    return;
  }
  bool json = sink.json;
  std::string line = Head(json, level);
  AppendQuoted(&line, message);
  for (const Attribute& attribute : attributes) {
    if (json) {
      line += ',';
      AppendQuoted(&line, attribute.key);
      line += ':';
    } else {
      absl::StrAppend(&line, " ", attribute.key, "=");
    }
    AppendQuoted(&line, attribute.value);
  }
  if (json) {
    line += '}';
  }
  std::shared_ptr<spdlog::sinks::sink> target;
  {
    std::lock_guard lock(sink.mutex);
    target = sink.target;
  }
  spdlog::details::log_msg record("", spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
  // A log that cannot be written never ends the program that writes it.
  try {
    target->log(record);
    target->flush();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "the log cannot be written: %s\n", error.what());
  }
}

}  // namespace mg::log
