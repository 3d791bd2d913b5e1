#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
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

/// A text's rules: the parser asks the same pattern for the whole text.
std::string TextRules(const Key& key) {
  if (!key.choices.empty()) {
    return absl::StrCat(
        "\"enum\": [",
        absl::StrJoin(key.choices, ", ", [](std::string* out, const std::string& c) { *out += Quote(c); }), "]");
  }
  if (key.pattern.empty()) {
    return "\"type\": \"string\", \"pattern\": \"\\\\S\"";
  }
  return absl::StrCat("\"type\": \"string\", \"maxLength\": ", kMaxPatternText,
                      ", \"pattern\": ", Quote(absl::StrCat("^(?:", key.pattern, ")$")));
}

std::string ValueSchema(const Key& key) {
  std::string doc = absl::StrCat("\"description\": ", Quote(key.doc));
  switch (key.type) {
    case KeyType::kInteger:
      return absl::StrCat("{", doc, ", \"type\": \"integer\", \"minimum\": ", key.minimum,
                          ", \"maximum\": ", key.maximum, "}");
    case KeyType::kStringList:
      return absl::StrCat("{", doc, ", \"type\": [\"array\", \"null\"], \"items\": {", TextRules(key), "}}");
    case KeyType::kSettings: {
      std::string refused =
          absl::StrJoin(key.refused, ", ", [](std::string* out, const auto& item) { *out += Quote(item.first); });
      return absl::StrCat("{", doc, ", \"type\": [\"object\", \"null\"], \"propertyNames\": {\"pattern\": ",
                          Quote(absl::StrCat("^(?:", key.pattern, ")$")), ", \"not\": {\"enum\": [", refused,
                          "]}}, \"additionalProperties\": {\"type\": [\"string\", \"number\", \"boolean\"]}}");
    }
    case KeyType::kFile:
      return absl::StrCat("{", doc, ", \"type\": \"string\", \"minLength\": 1}");
    case KeyType::kCells:
    case KeyType::kString:
      break;
  }
  return absl::StrCat("{", doc, ", ", TextRules(key), "}");
}

/// An object schema of the keys below `prefix`, with nested objects for sections.
/// `more` is put before its properties.
std::string ObjectSchema(const std::vector<Key>& keys, const std::string& prefix, const std::string& indent,
                         std::string more = "") {
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
    if (key.alternative) {
      absl::StrAppend(&more, "\"not\": {\"type\": \"object\", \"required\": [", Quote(names[names.size() - 2]), ", ",
                      Quote(name), "]}, ");
    }
    std::string value;
    if (name != rest) {
      value = ObjectSchema(keys, absl::StrCat(prefix, name, "."), indent + "  ");
    } else if (key.type == KeyType::kCells) {
      value = absl::StrCat("{\"description\": ", Quote(key.doc),
                           ", \"oneOf\": [{\"type\": \"integer\", \"minimum\": 1, \"maximum\": 7}, {\"type\": "
                           "\"array\", \"minItems\": 1, "
                           "\"maxItems\": 7, \"items\": {\"oneOf\": [{",
                           TextRules(CellKeys()[0]), "}, ",
                           ObjectSchema(CellKeys(), "", indent + "  ", "\"required\": [\"name\"], "), "]}}]}");
    } else {
      value = ValueSchema(key);
    }
    properties.push_back(absl::StrCat(indent, "  ", Quote(name), ": ", value));
  }
  std::string doc = SectionDoc(prefix.substr(0, prefix.empty() ? 0 : prefix.size() - 1));
  absl::StrAppend(&more, doc.empty() ? "" : absl::StrCat("\"description\": ", Quote(doc), ", "));
  // A section whose keys are all commented out is null.
  return absl::StrCat("{\"type\": ", prefix.empty() ? "\"object\"" : "[\"object\", \"null\"]", ", ", more,
                      "\"additionalProperties\": false, \"properties\": {\n", absl::StrJoin(properties, ",\n"), "\n",
                      indent, "}}");
}

}  // namespace

std::string CommentedExample(const std::string& cluster_name) {
  std::string text = absl::StrCat(
      "# Configuration of a Multigres cluster. Every key may be left out; what is commented out shows the default.\n"
      "# 'multigres up' applies it; 'multigres cluster validate' checks it; 'multigres schema' prints its JSON "
      "Schema.\n\nname: ",
      cluster_name, "\n");
  std::string section, below;
  for (const Key& key : Keys()) {
    if (key.path == "name") {
      continue;
    }
    std::vector<std::string> parts = absl::StrSplit(key.path, '.');
    std::string top = parts.size() > 1 ? parts[0] : "", middle = parts.size() > 2 ? parts[1] : "";
    if (top != section) {
      absl::StrAppend(&text, top.empty() ? "" : absl::StrCat("\n# ", SectionDoc(top), "\n", top, ":\n"));
      section = top;
    }
    if (middle != below && !middle.empty()) {
      absl::StrAppend(&text, "  #", middle, ":\n");
    }
    below = middle;
    std::string indent(2 * (parts.size() > 1 ? 1 : 0), ' '), deeper(middle.empty() ? 0 : 2, ' ');
    std::string doc = key.doc;
    if (key.choices.size() > 1) {
      absl::StrAppend(&doc, ": ", absl::StrJoin(key.choices, ", "));
    }
    if (key.alternative) {  // a sentence, so that taking every '#' away leaves a file that can be read
      absl::StrAppend(&text, indent, "# ", doc, ": ", parts.back(), "\n");
      continue;
    }
    absl::StrAppend(&text, top.empty() ? "\n" : "", indent, "# ", deeper, doc, "\n", indent, "#", deeper, parts.back(),
                    ": ", key.default_text, "\n");
  }
  absl::StrAppend(&text, "\n# Cells as a list, with fixed ports where wanted:\n#cells:\n#  - name: zone1\n");
  below.clear();
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
