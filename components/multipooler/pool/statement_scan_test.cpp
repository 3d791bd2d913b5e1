#include "components/multipooler/pool/statement_scan.h"

#include <gtest/gtest.h>

#include <string>

namespace mg::multipooler {
namespace {

TEST(StatementScan, WhatDiscardAllDoesNotUndo_IsMarked) {
  for (const char* text :
       {"SET app.user = 'x'", "set session app.user to 1", "SET\tLOCAL \"app\".\"user\" = 1", "SET /* */ app.user = 1",
        "SET app . user = 1", "select set_config('a.b', '1', false)", "SELECT 1; LOAD 'auto_explain'", "load\n'x'",
        "LOAD/**/'x'", "DO 'BEGIN LOAD $x$auto_explain$x$; END'", "load E'x'",
        "select pg_replication_origin_session_setup('o')"}) {
    EXPECT_TRUE(ScanStatement(text).leaves_traces) << text;
  }
  EXPECT_TRUE(ScanStatement(std::string(70 << 10, ' ')).leaves_traces) << "too long to be read";
}

TEST(StatementScan, EverydayStatements_AreNotMarked) {
  for (const char* text :
       {"", "SELECT 1", "SET search_path = a, b", "set time zone 'UTC'", "SET LOCAL statement_timeout = 100",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "UPDATE t SET a = s.b FROM s", "SET",
        "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = excluded.a", "SELECT uploads FROM payload",
        "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "SELECT load, m.load FROM machines m WHERE load > 'a'",
        "DO $$ BEGIN PERFORM 1; END $$", "SELECT setseed(0.5), random()", "CREATE TABLE t (a int)",
        "SELECT * FROM pg_database"}) {
    StatementMarks marks = ScanStatement(text);
    EXPECT_FALSE(marks.leaves_traces) << text;
    EXPECT_FALSE(marks.changes_databases) << text;
    EXPECT_FALSE(marks.changes_roles) << text;
  }
}

TEST(StatementScan, ChangesOfDatabasesAndRoles_AreMarked) {
  EXPECT_TRUE(ScanStatement("drop database if exists x").changes_databases);
  EXPECT_TRUE(ScanStatement("CREATE/**/DATABASE x TEMPLATE y").changes_databases);
  EXPECT_FALSE(ScanStatement("DROP ROLE x").changes_databases);
  for (const char* text : {"ALTER ROLE x PASSWORD 'y'", "alter user x nologin", "DROP GROUP x",
                           "ALTER DATABASE d SET work_mem = 1", "REVOKE CONNECT ON DATABASE d FROM x"}) {
    EXPECT_TRUE(ScanStatement(text).changes_roles) << text;
  }
}

TEST(StatementScan, HiddenWarnings_AreMarked) {
  for (const char* text :
       {"SET client_min_messages = error", "set local client_min_messages to 'fatal'",
        "SELECT set_config('client_min_messages', 'panic', false)", "ALTER ROLE x SET client_min_messages TO error",
        "SET client_min_messages/**/= error", "SET client_min_messages = notice; SET client_min_messages = error"}) {
    EXPECT_TRUE(ScanStatement(text).mutes_warnings) << text;
  }
  for (const char* text : {"SET client_min_messages = warning;", "set client_min_messages to 'NOTICE'", "SELECT 1"}) {
    EXPECT_FALSE(ScanStatement(text).mutes_warnings) << text;
  }
}

}  // namespace
}  // namespace mg::multipooler
