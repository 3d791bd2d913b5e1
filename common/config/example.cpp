#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/config/cluster_config.h"
#include "common/config/keys.h"

namespace mg::config {
namespace {

std::string Quote(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
    }
    out += c;
  }
  return out + "\"";
}

std::string ValueSchema(const Key& key) {
  std::string doc = absl::StrCat("\"description\": ", Quote(key.doc));
  switch (key.type) {
    case KeyType::kInteger:
      return absl::StrCat("{", doc, ", \"type\": \"integer\", \"minimum\": ", key.minimum,
                          ", \"maximum\": ", key.maximum, "}");
    case KeyType::kStringList:
      return absl::StrCat("{", doc, ", \"type\": \"array\", \"items\": {\"type\": \"string\"}}");
    case KeyType::kSettings:
      return absl::StrCat(
          "{", doc,
          ", \"type\": \"object\", \"additionalProperties\": {\"type\": [\"string\", \"number\", \"boolean\"]}}");
    case KeyType::kCells:
    case KeyType::kString:
      break;
  }
  if (key.choices.empty()) {
    return absl::StrCat("{", doc, ", \"type\": \"string\", \"minLength\": 1}");
  }
  std::string choices =
      absl::StrJoin(key.choices, ", ", [](std::string* out, const std::string& c) { *out += Quote(c); });
  return absl::StrCat("{", doc, ", \"enum\": [", choices, "]}");
}

/// An object schema of the keys below `prefix`, with nested objects for sections.
std::string ObjectSchema(const std::vector<Key>& keys, const std::string& prefix, const std::string& indent) {
  std::vector<std::string> names;
  std::vector<std::string> properties;
  for (const Key& key : keys) {
    if (key.path.compare(0, prefix.size(), prefix) != 0) {
      continue;
    }
    std::string rest = key.path.substr(prefix.size());
    std::string name = rest.substr(0, rest.find('.'));
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      continue;
    }
    names.push_back(name);
    std::string value;
    if (name != rest) {
      value = ObjectSchema(keys, absl::StrCat(prefix, name, "."), indent + "  ");
    } else if (key.type == KeyType::kCells) {
      value = absl::StrCat("{\"description\": ", Quote(key.doc),
                           ", \"oneOf\": [{\"type\": \"integer\", \"minimum\": 1, \"maximum\": 7}, {\"type\": "
                           "\"array\", \"minItems\": 1, "
                           "\"maxItems\": 7, \"items\": {\"oneOf\": [{\"type\": \"string\"}, ",
                           ObjectSchema(CellKeys(), "", indent + "  "), "]}}]}");
    } else {
      value = ValueSchema(key);
    }
    properties.push_back(absl::StrCat(indent, "  ", Quote(name), ": ", value));
  }
  return absl::StrCat("{\"type\": \"object\", \"additionalProperties\": false, \"properties\": {\n",
                      absl::StrJoin(properties, ",\n"), "\n", indent, "}}");
}

}  // namespace

std::string CommentedExample(const std::string& cluster_name) {
  std::string text = absl::StrCat(
      "# Configuration of a Multigres cluster. Every key may be left out; what is commented out shows the default.\n"
      "# 'multigres up' applies it; 'multigres cluster validate' checks it; 'multigres schema' prints its JSON "
      "Schema.\n\nname: ",
      cluster_name, "\n");
  std::string section;
  for (const Key& key : Keys()) {
    if (key.path == "name") {
      continue;
    }
    size_t dot = key.path.find('.');
    std::string top = dot == std::string::npos ? "" : key.path.substr(0, dot);
    if (top != section) {
      absl::StrAppend(&text, "\n", top, top.empty() ? "" : ":\n");
      section = top;
    }
    std::string indent = top.empty() ? "" : "  ";
    std::string name = dot == std::string::npos ? key.path : key.path.substr(dot + 1);
    absl::StrAppend(&text, top.empty() ? "\n" : "", indent, "# ", key.doc,
                    key.choices.size() > 1 ? absl::StrCat(": ", absl::StrJoin(key.choices, ", ")) : "", "\n", indent,
                    "#", name, ": ", key.default_text, "\n");
  }
  absl::StrAppend(&text, "\n# Cells as a list, with fixed ports where wanted:\n#cells:\n#  - name: zone1\n");
  std::string below;
  for (const Key& key : CellKeys()) {
    size_t dot = key.path.find('.');
    if (dot == std::string::npos) {
      continue;
    }
    if (key.path.substr(0, dot) != below) {
      below = key.path.substr(0, dot);
      absl::StrAppend(&text, "#    ", below, ":\n");
    }
    absl::StrAppend(&text, "#      ", key.path.substr(dot + 1), ": ", key.default_text, "\n");
  }
  return text;
}

std::string ConfigSchema() {
  std::string object = ObjectSchema(Keys(), "", "");
  // The first brace opens the document itself.
  return absl::StrCat("{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\", \"title\": \"multigres.yaml\", ",
                      object.substr(1), "\n");
}

}  // namespace mg::config
