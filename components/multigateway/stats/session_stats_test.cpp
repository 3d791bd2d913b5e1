#include "components/multigateway/stats/session_stats.h"

#include <gtest/gtest.h>

#include <random>

#include "common/pgwire/message.h"

namespace mg::multigateway::stats {
namespace {

using pgwire::Writer;

std::string Parse(const std::string& name, const std::string& sql) {
  return Writer('P').CString(name).CString(sql).Bytes(absl::string_view("\0\0", 2)).Finish();
}
std::string Bind(const std::string& portal, const std::string& name) {
  return Writer('B').CString(portal).CString(name).Bytes(absl::string_view("\0\0\0\0\0\0", 6)).Finish();
}
std::string Execute(const std::string& portal) { return Writer('E').CString(portal).Int32(0).Finish(); }
std::string Only(char type) { return Writer(type).Finish(); }
std::string Done(const std::string& tag) { return Writer('C').CString(tag).Finish(); }
std::string Ready() { return Writer('Z').Byte('I').Finish(); }
std::string Failed() { return pgwire::ErrorMessage({.code = "22012", .message = "division by zero"}); }

class SessionStatsTest : public testing::Test {
 protected:
  /// Both directions, cut into pieces of this size.
  void Talk(const std::string& client, const std::string& server, size_t piece = 1000) {
    for (size_t i = 0; i < client.size(); i += piece) {
      session_.FromClient(absl::string_view(client).substr(i, piece));
    }
    for (size_t i = 0; i < server.size(); i += piece) {
      session_.FromServer(absl::string_view(server).substr(i, piece));
    }
  }
  multigatewaymanagerdata::QueryStatSnapshot Row(const std::string& sql) {
    const auto snapshot = queries_.Snapshot(0, 0, absl::Now());
    for (const auto& row : snapshot.queries()) {
      if (row.normalized_sql() == sql) {
        return row;
      }
    }
    return {};
  }
  QueryStats queries_{{}};
  Consolidator consolidator_;
  SessionStats session_{&queries_, &consolidator_};
};

TEST_F(SessionStatsTest, ASimpleQuery_CountsItsRows) {
  std::string data = Writer('D').Bytes("xxxxxxxxxxxxxxxxxxxx").Finish();
  for (size_t piece : {1u, 2u, 3u, 7u, 1000u}) {
    Talk(pgwire::QueryMessage("select 1"), Only('T') + data + data + Done("SELECT 2") + Ready(), piece);
  }
  EXPECT_EQ(Row("select $1").calls(), 5u);
  EXPECT_EQ(Row("select $1").total_rows(), 10u);
  EXPECT_EQ(Row("select $1").errors(), 0u);
}

TEST_F(SessionStatsTest, ExtendedQueries_GoToTheirStatements) {
  Talk(Parse("s", "select $1::int") + Only('S'), Only('1') + Ready());
  for (int i = 0; i < 3; ++i) {
    Talk(Bind("", "s") + Execute("") + Only('S'), Only('2') + Done("SELECT 4") + Ready());
  }
  EXPECT_EQ(Row("select $1::int").calls(), 3u);
  EXPECT_EQ(Row("select $1::int").total_rows(), 12u);
  EXPECT_EQ(consolidator_.Snapshot().total_references(), 1u);
  Talk(Writer('C').Byte('S').CString("s").Finish() + Only('S'), Only('3') + Ready());
  EXPECT_EQ(consolidator_.Snapshot().total_references(), 0u);
}

TEST_F(SessionStatsTest, APipeline_AfterAnErrorIsSkippedToItsSync) {
  Talk(Parse("", "select 1/$1") + Bind("", "") + Execute("") + Parse("", "select 2") + Bind("", "") + Execute("") +
           Only('S') + Parse("", "select 3, 3") + Bind("", "") + Execute("") + Only('S'),
       Only('1') + Only('2') + Failed() + Ready() + Only('1') + Only('2') + Done("SELECT 1") + Ready());
  EXPECT_EQ(Row("select $2/$1").errors(), 1u);
  EXPECT_EQ(Row("select $1").calls(), 0u);
  EXPECT_EQ(Row("select $1, $2").calls(), 1u);
}

TEST_F(SessionStatsTest, AStatementThatIsRefused_IsNotHeld) {
  Talk(Parse("bad", "selec 1") + Only('S'), Failed() + Ready());
  EXPECT_EQ(consolidator_.Snapshot().total_references(), 0u);
}

TEST_F(SessionStatsTest, AFailedSimpleQuery_IsOneError) {
  Talk(pgwire::QueryMessage("select 1/0"), Failed() + Ready());
  EXPECT_EQ(Row("select $1/$2").calls(), 1u);
  EXPECT_EQ(Row("select $1/$2").errors(), 1u);
}

TEST_F(SessionStatsTest, DeallocateAndDiscard_EndStatements) {
  for (const char* end : {"DEALLOCATE ALL", "deallocate prepare \"A\"", "discard all"}) {
    Talk(Parse("A", "select 1") + Only('S'), Only('1') + Ready());
    ASSERT_EQ(consolidator_.Snapshot().total_references(), 1u);
    Talk(pgwire::QueryMessage(end), Done("DEALLOCATE") + Ready());
    EXPECT_EQ(consolidator_.Snapshot().total_references(), 0u) << end;
  }
}

TEST_F(SessionStatsTest, WhereBackslashesEscape_LiteralsAreNotKept) {
  auto says = [](const std::string& value) {
    return Writer('S').CString("standard_conforming_strings").CString(value).Finish();
  };
  const std::string secret = "select 'x\\'Secret', 'z' from t";
  Talk("", says("on") + Ready());
  Talk(pgwire::QueryMessage("set standard_conforming_strings = off"), says("off") + Done("SET") + Ready());
  Talk(pgwire::QueryMessage(secret), Done("SELECT 1") + Ready());
  EXPECT_EQ(Row("select $1, $2 from t").calls(), 1u);
  Talk(pgwire::QueryMessage("set standard_conforming_strings = on"), says("on") + Done("SET") + Ready());
  // In one go: what the first of them does is not known when the second is read.
  Talk(Parse("", "set standard_conforming_strings = off") + Bind("", "") + Execute("") + Parse("s", secret) + Only('S'),
       Only('1') + Only('2') + says("off") + Done("SET") + Only('1') + Ready());
  EXPECT_EQ(consolidator_.Snapshot().prepared_statements(0).query(), "select $1");
}

TEST_F(SessionStatsTest, ALongQueryInParts_IsCounted) {
  std::string long_text = "select '" + std::string(300000, 'x') + "'";
  Talk(pgwire::QueryMessage(long_text), Done("SELECT 1") + Ready(), 65536);
  EXPECT_EQ(Row("select $1").calls(), 1u);
}

TEST_F(SessionStatsTest, Garbage_EndsTheReadingOnly) {
  std::mt19937 random(4711);
  for (int round = 0; round < 2000; ++round) {
    SessionStats session(&queries_, &consolidator_);
    std::string bytes;
    for (std::uint32_t i = random() % 200; i > 0; --i) {
      bytes += static_cast<char>(random() % 4 == 0 ? "QPBECSFZ1sI\0\0\0\0\5"[random() % 16] : random() % 256);
    }
    session.FromClient(bytes);
    session.FromServer(bytes);
  }
}

}  // namespace
}  // namespace mg::multigateway::stats
