#include "components/multipooler/backup/rehearsal.h"

#include <gtest/gtest.h>

namespace mg::multipooler::backup {
namespace {

TEST(LastFatal, TellsWhyPostgresqlEnded) {
  EXPECT_EQ(
      LastFatal("2026-01-05 09:30:00 UTC [7] LOG:  redo done\n"
                "2026-01-05 09:30:00 UTC [7] FATAL:  recovery ended before configured recovery target was reached\n"
                "2026-01-05 09:30:00 UTC [1] LOG:  database system is shut down\n"),
      "recovery ended before configured recovery target was reached");
  EXPECT_EQ(LastFatal("postgres: could not find the data\n\n"), "postgres: could not find the data");
  EXPECT_EQ(LastFatal(""), "");
}

TEST(LastCommit_, IsTheMomentUpToWhichThereIsData) {
  EXPECT_EQ(LastCommit("[7] LOG:  redo done at 0/5000060 system usage: CPU\n"
                       "[7] LOG:  last completed transaction was at log time 2026-11-29 11:02:39.1+00\n"
                       "[7] FATAL:  recovery ended before configured recovery target was reached\n"),
            "2026-11-29 11:02:39.1+00");
  EXPECT_EQ(LastCommit("[7] LOG:  redo is not required\n"), "");
}

}  // namespace
}  // namespace mg::multipooler::backup
