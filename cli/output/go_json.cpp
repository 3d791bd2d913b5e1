#include "cli/output/go_json.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/output/ordered_json.h"

namespace mg::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::OneofDescriptor;
using google::protobuf::Reflection;

std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    // Go escapes what HTML would take for markup.
    if (c == '"' || c == '\\') {
      absl::StrAppend(&out, "\\", std::string(1, c));
    } else if (c == '\n' || c == '\r' || c == '\t') {
      absl::StrAppend(&out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
    } else if (static_cast<unsigned char>(c) < 0x20 || c == '<' || c == '>' || c == '&') {
      absl::StrAppend(&out, absl::StrFormat("\\u%04x", static_cast<unsigned char>(c)));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string GoName(const std::string& snake) {
  std::string name;
  for (absl::string_view part : absl::StrSplit(snake, '_', absl::SkipEmpty())) {
    name += absl::ascii_toupper(static_cast<unsigned char>(part[0]));
    absl::StrAppend(&name, part.substr(1));
  }
  return name;
}

std::string Bracketed(char open, char close, const std::vector<std::string>& items, int depth) {
  if (items.empty()) {
    return std::string({open, close});
  }
  std::string indent(static_cast<size_t>(depth + 1) * 2, ' ');
  return absl::StrCat(std::string(1, open), "\n", indent, absl::StrJoin(items, absl::StrCat(",\n", indent)), "\n",
                      std::string(static_cast<size_t>(depth) * 2, ' '), std::string(1, close));
}

std::string Object(const Message& message, int depth);

// One value; `index` -1: the field itself.
std::string Value(const Message& message, const FieldDescriptor* field, int index, int depth) {
  const Reflection* r = message.GetReflection();
  bool single = index < 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(single ? r->GetInt32(message, field) : r->GetRepeatedInt32(message, field, index));
    case FieldDescriptor::CPPTYPE_INT64:
      return absl::StrCat(single ? r->GetInt64(message, field) : r->GetRepeatedInt64(message, field, index));
    case FieldDescriptor::CPPTYPE_UINT32:
      return absl::StrCat(single ? r->GetUInt32(message, field) : r->GetRepeatedUInt32(message, field, index));
    case FieldDescriptor::CPPTYPE_UINT64:
      return absl::StrCat(single ? r->GetUInt64(message, field) : r->GetRepeatedUInt64(message, field, index));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return absl::StrCat(single ? r->GetDouble(message, field) : r->GetRepeatedDouble(message, field, index));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return absl::StrCat(single ? r->GetFloat(message, field) : r->GetRepeatedFloat(message, field, index));
    case FieldDescriptor::CPPTYPE_BOOL:
      return (single ? r->GetBool(message, field) : r->GetRepeatedBool(message, field, index)) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return absl::StrCat(single ? r->GetEnumValue(message, field) : r->GetRepeatedEnumValue(message, field, index));
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string text = single ? r->GetString(message, field) : r->GetRepeatedString(message, field, index);
      return Quoted(field->type() == FieldDescriptor::TYPE_BYTES ? absl::Base64Escape(text) : text);
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return Object(single ? r->GetMessage(message, field) : r->GetRepeatedMessage(message, field, index), depth);
  }
  return "null";
}

std::string MapValue(const Message& message, const FieldDescriptor* field, int depth) {
  const Reflection* r = message.GetReflection();
  std::vector<std::pair<std::string, std::string>> entries;
  for (int i = 0; i < r->FieldSize(message, field); ++i) {
    const Message& entry = r->GetRepeatedMessage(message, field, i);
    std::string key = Value(entry, entry.GetDescriptor()->map_key(), -1, depth + 1);
    entries.emplace_back(key[0] == '"' ? key : Quoted(key),
                         Value(entry, entry.GetDescriptor()->map_value(), -1, depth + 1));
  }
  std::sort(entries.begin(), entries.end());
  std::vector<std::string> items;
  for (const auto& [key, value] : entries) {
    items.push_back(absl::StrCat(key, ": ", value));
  }
  return Bracketed('{', '}', items, depth);
}

std::string FieldValue(const Message& message, const FieldDescriptor* field, int depth) {
  if (field->is_map()) {
    return MapValue(message, field, depth);
  }
  if (!field->is_repeated()) {
    return Value(message, field, -1, depth);
  }
  std::vector<std::string> items;
  for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
    items.push_back(Value(message, field, i, depth + 1));
  }
  return Bracketed('[', ']', items, depth);
}

bool IsSet(const Message& message, const FieldDescriptor* field) {
  const Reflection* r = message.GetReflection();
  return field->is_repeated() ? r->FieldSize(message, field) > 0 : r->HasField(message, field);
}

std::string OneofValue(const Message& message, const OneofDescriptor* oneof, int depth) {
  const FieldDescriptor* field = message.GetReflection()->GetOneofFieldDescriptor(message, oneof);
  if (field == nullptr) {
    return "null";
  }
  return Bracketed('{', '}', {absl::StrCat(Quoted(GoName(field->name())), ": ", Value(message, field, -1, depth + 1))},
                   depth);
}

std::string Object(const Message& message, int depth) {
  std::vector<std::string> items;
  const auto* descriptor = message.GetDescriptor();
  std::vector<const OneofDescriptor*> done;
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    if (const OneofDescriptor* oneof = field->real_containing_oneof(); oneof != nullptr) {
      if (std::find(done.begin(), done.end(), oneof) == done.end()) {
        done.push_back(oneof);
        items.push_back(absl::StrCat(Quoted(GoName(oneof->name())), ": ", OneofValue(message, oneof, depth + 1)));
      }
    } else if (IsSet(message, field)) {
      items.push_back(absl::StrCat(Quoted(field->name()), ": ", FieldValue(message, field, depth + 1)));
    }
  }
  return Bracketed('{', '}', items, depth);
}

}  // namespace

std::string GoStructJson(const Message& message) { return Object(message, 0); }

std::string GoProtoJson(const Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  // protobuf indents by one blank; no value has a line end of its own.
  std::vector<std::string> lines = absl::StrSplit(OrderedJson(message, options), '\n', absl::SkipEmpty());
  for (std::string& line : lines) {
    line.insert(0, line.find_first_not_of(' '), ' ');
  }
  return absl::StrJoin(lines, "\n");
}

}  // namespace mg::cli
