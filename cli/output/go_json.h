/// The JSON dialects of upstream's CLI, for its spellings of our commands. Pure. Neither ends with a line end.
#pragma once

#include <string>

namespace google::protobuf {
class Message;
}

namespace mg::cli {

/// As Go's encoding/json prints the generated structs: two blanks, snake_case keys in the order of declaration, zero
/// values left out, enums as numbers, a oneof as an object under its Go name (null when unset), 64-bit numbers plain.
std::string GoStructJson(const google::protobuf::Message& message);

/// As protojson prints them: two blanks, snake_case keys, enums as names, unset fields left out.
std::string GoProtoJson(const google::protobuf::Message& message);

}  // namespace mg::cli
