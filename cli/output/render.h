/// The machine-readable forms of an answer: proto3 JSON, and YAML with the same names and values. Pure.
#pragma once

#include <string>

namespace google::protobuf {
class Message;
}

namespace mg::cli {

/// Indented proto3 JSON with every field present, and a final line end.
std::string ToJson(const google::protobuf::Message& message);
/// One line of proto3 JSON with the set fields only, and a final line end.
std::string ToJsonLine(const google::protobuf::Message& message);
/// The same tree as ToJson, as YAML.
std::string ToYaml(const google::protobuf::Message& message);
/// Any JSON text as YAML.
std::string JsonToYaml(const std::string& json);

/// What ToJson gives, on one line: no value has a line end of its own.
std::string OnOneLine(const std::string& json);

}  // namespace mg::cli
