/// What SQL texts have in common: literals become parameters, white space and comments go, words that are not quoted
/// become lower case. Any bytes are taken; what is not SQL gives some text, and the same one each time. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace mg::multigateway::stats {

/// What a backslash is in a literal without an E, which the session's standard_conforming_strings decides.
enum class Backslashes {
  kPlain,    ///< on: a letter like others
  kEscape,   ///< off: it takes the next letter along, a quote too
  kUnknown,  ///< where that makes a difference, the rest of the text counts as part of the literal
};

/// The normalised text, appended to `out`, which is cleared first. Literals become $n, counted on from the highest
/// parameter that the text has.
void Normalise(absl::string_view sql, Backslashes backslashes, std::string* out);

/// Writes the text with each plain whole number as one digit: texts of one shape have one normal form, and this is
/// cheaper than that. Gives the bytes written, never more than the text's; 0 where a text is too long for `out`, or has
/// what only the normal form can tell apart (quotes, comments, parameters).
size_t Shape(absl::string_view sql, absl::Span<char> out);

/// Of a normalised text; the same on every machine.
std::uint64_t Fingerprint(absl::string_view normalised);

/// A normalised text that neither reads nor writes tables by itself: BEGIN, SET, CREATE TABLE and the like.
bool IsUtility(absl::string_view normalised);

}  // namespace mg::multigateway::stats
