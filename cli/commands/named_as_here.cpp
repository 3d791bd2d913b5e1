#include "cli/commands/named_as_here.h"

#include <re2/re2.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/commands/admin_call.h"
#include "cli/commands/admin_reads.h"
#include "cli/commands/context.h"
#include "multiadminservice.grpc.pb.h"

namespace mg::cli {
namespace {

using Admin = multiadmin::MultiadminService;

/// So long an error may be held up for better words.
constexpr absl::Duration kLimit = absl::Seconds(2);

/// The forms of an id, and what stands there instead.
using Names = std::vector<std::pair<std::string, std::string>>;

void Add(const char* kind, const char* word, const clustermetadata::ID& id, const std::string& name, Names* names) {
  const std::string label = absl::StrCat(id.cell(), "/", id.name());
  names->emplace_back(absl::StrCat(word, " '", label, "'"), name);
  names->emplace_back(absl::StrCat(kind, " '", label, "'"), name);
  names->emplace_back(absl::StrCat(kind, "-", id.cell(), "-", id.name()), name);
  names->emplace_back(label, name);
}

/// Gateways and orchs; two of a kind in one cell have one name, which would not tell them apart.
template <typename Records>
void AddEndpoints(const char* kind, const char* word, const Records& records, Names* names) {
  std::map<std::string, int> in_cell;
  for (const auto& record : records) {
    ++in_cell[record.id().cell()];
  }
  for (const auto& record : records) {
    if (in_cell[record.id().cell()] == 1) {
      Add(kind, word, record.id(), ComponentName(kind, record.id()), names);
    }
  }
}

/// What cannot be read keeps its ids.
Names NamesNow(Context& context) {
  Names names;
  if (auto poolers = ReadPoolers(context, "", "", nullptr, kLimit); poolers.ok()) {
    const PoolerNames known(context, *poolers);
    for (const clustermetadata::Multipooler& pooler : *poolers) {
      Add("multipooler", "pooler", pooler.id(), known.Of(pooler), &names);
    }
  }
  multiadmin::GetGatewaysResponse gateways;
  if (CallAdmin<Admin>(context, &Admin::Stub::GetGateways, multiadmin::GetGatewaysRequest(), &gateways, kLimit).ok()) {
    AddEndpoints("multigateway", "gateway", gateways.gateways(), &names);
  }
  multiadmin::GetOrchsResponse orchs;
  if (CallAdmin<Admin>(context, &Admin::Stub::GetOrchs, multiadmin::GetOrchsRequest(), &orchs, kLimit).ok()) {
    AddEndpoints("multiorch", "orch", orchs.orchs(), &names);
  }
  return names;
}

/// Ids that are a part of something longer, such as a key of etcd, are left as they are.
std::string Renamed(std::string text, const Names& names) {
  for (const auto& [id, name] : names) {
    if (absl::StrContains(text, id)) {
      RE2::GlobalReplace(&text, absl::StrCat(R"((^|[^\w/-]))", RE2::QuoteMeta(id), R"(($|[^\w/-]))"),
                         absl::StrCat(R"(\1)", name, R"(\2)"));
    }
  }
  return text;
}

/// Whether ids of components stand in a text.
bool HasComponentId(const std::string& text) {
  static const RE2 kId(R"(\bmulti(?:pooler|gateway|orch)-[\w-]+)");
  // zone1/bcdf2456; 'zone1/any-name', where the first word is not a kind: multipooler/zone1 is a name already.
  static const RE2 kLabel(R"((?:^|[^\w/-])([\w-]+)/[bcdfghjklmnpqrstvwxz2456789]{8}(?:$|[^\w/-])|'([\w-]+)/[\w-]+')");
  static const RE2 kKind("multi(pooler|gateway|orch)|pgctld|postgres");
  if (RE2::PartialMatch(text, kId)) {
    return true;
  }
  re2::StringPiece rest(text);
  std::string bare, quoted;
  while (RE2::FindAndConsume(&rest, kLabel, &bare, &quoted)) {
    if (!RE2::FullMatch(absl::StrCat(bare, quoted), kKind)) {
      return true;
    }
  }
  return false;
}

}  // namespace

absl::Status NamedAsHere(Context& context, const absl::Status& status) {
  ErrorDetail detail = DetailOf(status).value_or(ErrorDetail{});
  if (status.ok() || !HasComponentId(absl::StrCat(status.message(), "\n", detail.hint))) {
    return status;
  }
  const Names names = NamesNow(context);
  const std::string message = Renamed(std::string(status.message()), names);
  const std::string hint = Renamed(detail.hint, names);
  if (message == status.message() && hint == detail.hint) {
    return status;
  }
  detail.hint = hint;
  return MakeError(status.code(), message, detail);
}

}  // namespace mg::cli
