#include "common/pgwire/handoff.h"
#include "common/pgwire/message.h"
#include "common/pgwire/scanner.h"
#include "common/pgwire/scram.h"
#include "gtest/gtest.h"

namespace mg::pgwire {
namespace {

TEST(Scram, ServerAndClientAgree_AndTheKeysOpenTheNextDoor) {
  ScramVerifier verifier = *ParseVerifier(MakeVerifier("pencil", "0123456789abcdef", 4096));
  ScramServer server(verifier);
  ScramClient client = ScramClient::ByPassword("pencil");
  std::string first = *server.First(client.First());
  absl::StatusOr<std::string> final = server.Final(*client.Final(first));
  ASSERT_TRUE(final.ok()) << final.status();
  EXPECT_TRUE(client.Verify(*final).ok());
  // With the recovered keys, without the password.
  ScramServer second(verifier);
  ScramClient by_keys = ScramClient::ByKeys(server.keys());
  absl::StatusOr<std::string> again = second.Final(*by_keys.Final(*second.First(by_keys.First())));
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(by_keys.Verify(*again).ok());
}

TEST(Scram, WrongPasswordAndMockRole_AreRefused) {
  for (const ScramVerifier& verifier :
       {*ParseVerifier(MakeVerifier("right", "salt", 4096)), MockVerifier("nobody", "secret")}) {
    ScramServer server(verifier);
    ScramClient client = ScramClient::ByPassword("wrong");
    EXPECT_EQ(server.Final(*client.Final(*server.First(client.First()))).status().code(),
              absl::StatusCode::kUnauthenticated);
  }
  EXPECT_EQ(MockVerifier("a", "s").salt, MockVerifier("a", "s").salt);
  EXPECT_NE(MockVerifier("a", "s").salt, MockVerifier("b", "s").salt);
}

TEST(Scram, Rfc7677Example_HasTheRfcsProofAndSignature) {
  // RFC 7677 section 3, with its nonces.
  const std::string first = "n=user,r=rOprNGfwEbeRWgbNEkqO";
  const std::string server_first =
      "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
  ScramClient client = ScramClient::ByPassword("pencil");
  client.SetFirstForTest(first);
  absl::StatusOr<std::string> final = client.Final(server_first);
  ASSERT_TRUE(final.ok());
  EXPECT_EQ(*final,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
  EXPECT_TRUE(client.Verify("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").ok());
  EXPECT_FALSE(client.Verify("v=AAAA").ok());
}

TEST(Scram, VerifierOfTheRfcsExample_TakesItsPassword) {
  ScramVerifier verifier = *ParseVerifier(
      "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
      "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
  ScramServer server(verifier);
  ScramClient client = ScramClient::ByPassword("pencil");
  EXPECT_TRUE(server.Final(*client.Final(*server.First(client.First()))).ok());
}

TEST(Scram, Garbage_IsAnErrorAndNothingElse) {
  for (const char* text : {"", "n", "n,,", "p=tls,,n=,r=x", "y,a=x,n=,r=y", "\xff\xff", "n,,m=1,n=,r=x"}) {
    EXPECT_FALSE(ScramServer(ScramVerifier()).First(text).ok()) << text;
  }
  EXPECT_FALSE(ParseVerifier("md5abc").ok());
  EXPECT_FALSE(ParseVerifier("SCRAM-SHA-256$x:y$z:w").ok());
}

TEST(Startup, RoundTripAndGarbage) {
  std::string message = StartupMessage({{"user", "u"}, {"database", "d"}});
  absl::StatusOr<Startup> parsed = ParseStartup(absl::string_view(message).substr(4));
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->parameters.at("user"), "u");
  EXPECT_FALSE(ParseStartup("\0\3\0\0user").ok());
  EXPECT_FALSE(ParseStartup("ab").ok());
}

TEST(Diagnostic, RoundTrip) {
  std::string message = ErrorMessage({.severity = "FATAL", .code = "57P01", .message = "ended"});
  Diagnostic parsed = ParseDiagnostic(absl::string_view(message).substr(5));
  EXPECT_EQ(parsed.code, "57P01");
  EXPECT_EQ(parsed.severity, "FATAL");
}

TEST(Scanner, AnySplit_PassesTheSameBytesAndSeesTheSameMessages) {
  std::string stream = QueryMessage("select 1") + ParameterStatus("a", "b") + Writer('S').Finish() +
                       Writer('Z').Byte('I').Finish() + Writer('D').Bytes(std::string(300, 'x')).Finish();
  for (size_t step = 1; step <= stream.size(); ++step) {
    std::string seen, began, out;
    Scanner scanner(
        "ZS",
        [&](char type, absl::string_view, std::string*) {
          seen += type;
          return Scanner::Verdict::kPass;
        },
        [&](char type, bool oversized) {
          began += type;
          EXPECT_FALSE(oversized);
        });
    for (size_t at = 0; at < stream.size(); at += step) {
      ASSERT_TRUE(scanner.Feed(absl::string_view(stream).substr(at, step), &out));
    }
    EXPECT_EQ(out, stream);
    EXPECT_EQ(seen, "SSZ");
    EXPECT_EQ(began, "QD");
    EXPECT_TRUE(scanner.at_boundary());
  }
  Scanner scanner("", nullptr);
  std::string out;
  EXPECT_FALSE(scanner.Feed(absl::string_view("Q\0\0\0\1", 5), &out));
}

TEST(Scanner, Stop_LetsNothingThroughThatFollows) {
  std::string before = Writer('D').Bytes("row").Finish(), stop = Writer('C').CString("COMMIT").Finish();
  std::string stream = before + stop + before + stop;
  for (size_t step = 1; step <= stream.size(); ++step) {
    std::string out;
    Scanner scanner("C", [](char, absl::string_view, std::string* instead) {
      *instead += "!";
      return Scanner::Verdict::kStop;
    });
    for (size_t at = 0; at < stream.size(); at += step) {
      ASSERT_TRUE(scanner.Feed(absl::string_view(stream).substr(at, step), &out));
    }
    EXPECT_EQ(out, before + "!");
    EXPECT_TRUE(scanner.stopped());
  }
}

TEST(Scanner, WantedButTooLong_PassesInPiecesAndSaysSo) {
  std::string stream = Writer('Q').Bytes(std::string(2 << 20, 'x')).Finish();
  bool oversized = false;
  Scanner scanner(
      "Q", [](char, absl::string_view, std::string*) { return Scanner::Verdict::kDrop; },
      [&](char, bool too_long) { oversized = too_long; });
  std::string out;
  ASSERT_TRUE(scanner.Feed(stream, &out));
  EXPECT_TRUE(oversized);
  EXPECT_EQ(out, stream);
}

TEST(Handoff, RoundTripAndGarbage) {
  Handoff handoff;
  handoff.read_only = true;
  handoff.verifier = "SCRAM-SHA-256$1:a$b:c";
  handoff.keys = {std::string(32, '\0'), std::string(32, '\xff')};
  handoff.parameters = {{"user", "u"}, {"options", "-c a=b"}};
  std::string message = EncodeHandoff(handoff);
  size_t consumed = 0;
  for (size_t size = 0; size < message.size(); ++size) {
    ASSERT_TRUE(DecodeHandoff(message.substr(0, size), &consumed).ok());
    EXPECT_EQ(consumed, 0u);
  }
  absl::StatusOr<Handoff> decoded = DecodeHandoff(message + "more", &consumed);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(consumed, message.size());
  EXPECT_TRUE(decoded->read_only);
  EXPECT_EQ(decoded->keys.client_key, handoff.keys.client_key);
  EXPECT_EQ(decoded->keys.server_key, handoff.keys.server_key);
  EXPECT_EQ(decoded->parameters, handoff.parameters);
  EXPECT_FALSE(DecodeHandoff("GET / HTTP/1.1\r\n", &consumed).ok());
  EXPECT_FALSE(DecodeHandoff(std::string("\2H\0\0\0\x10", 6), &consumed).ok());
}

TEST(RestNote, RoundTripAndGarbage) {
  RestNote note = {.tag = 7,
                   .backend_pid = 1,
                   .backend_secret = 0xFFFFFFFE,
                   .heard = 5'000'000'000,
                   .said = 0x80000000,
                   .replay = std::string("a\0b", 3)};
  std::string message = EncodeRestNote(note);
  size_t consumed = 0;
  for (size_t size = 0; size < message.size(); ++size) {
    ASSERT_TRUE(DecodeRestNote(message.substr(0, size), &consumed).ok());
    EXPECT_EQ(consumed, 0u);
  }
  absl::StatusOr<RestNote> decoded = DecodeRestNote(message + "more", &consumed);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(consumed, message.size());
  EXPECT_EQ(decoded->tag, note.tag);
  EXPECT_EQ(decoded->backend_pid, note.backend_pid);
  EXPECT_EQ(decoded->backend_secret, note.backend_secret);
  EXPECT_EQ(decoded->heard, note.heard);
  EXPECT_EQ(decoded->said, note.said);
  EXPECT_EQ(decoded->replay, note.replay);
  EXPECT_FALSE(DecodeRestNote(std::string("r\0\0\0\5", 5) + std::string(40, ' '), &consumed).ok());
  EXPECT_FALSE(DecodeRestNote(std::string(40, 'E'), &consumed).ok());
}

TEST(Quote, Literal) {
  EXPECT_EQ(QuoteLiteral("it's"), "'it''s'");
  EXPECT_EQ(QuoteLiteral("a\\'b"), " E'a\\\\''b'");
}

}  // namespace
}  // namespace mg::pgwire
