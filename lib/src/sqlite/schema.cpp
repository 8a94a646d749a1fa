// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/schema.hpp"

#include <array>

namespace jobruntime::sqlite {
namespace {

// All names begin with jobrt_, because a program may keep its own tables in the same file.
//
// jobrt_state   One row. last: the newest number given out, (epoch << 32) | n; jobs (seq), events (id), fences and
//               record versions all draw from it, so they ascend together and are never used twice.
// jobrt_word    Names as small numbers: kinds, queues, sessions (as blobs), sources of events. Never deleted.
// jobrt_job     One row a job. seq, the number of its creation event, is the order of creation. counted = 1
//               while its unique key counts.
// jobrt_tally   How many jobs a queue, kind and state has; kept in the same transaction as the jobs.
// jobrt_event   One row an event, by number; what the job's row knows is not repeated. job is NULL in the event of
//               creation, whose number is the job's, which keeps the index on it small. code: core's EventCode,
//               for code 0 plus 32 times the level. mark: attempt * 8 + state. due: run_at of a scheduled job. name: of code 0
//               its name; of the others who asked for it, as the JSON object of those fields, or NULL.
// jobrt_gone    What events still need of a deleted job, until its last event is pruned.
//
// The partial indexes are the queues themselves: a row moves from one to the next as its state changes.
constexpr const char* version_1 = R"sql(
CREATE TABLE jobrt_state(
  one INTEGER PRIMARY KEY CHECK(one = 1),
  last INTEGER NOT NULL,
  pruned_through INTEGER NOT NULL,
  events INTEGER NOT NULL
);
INSERT INTO jobrt_state VALUES(1, 0, 0, 0);

CREATE TABLE jobrt_word(n INTEGER PRIMARY KEY, text NOT NULL UNIQUE);

CREATE TABLE jobrt_job(
  seq INTEGER PRIMARY KEY,
  id BLOB NOT NULL,
  state INTEGER NOT NULL,
  queue INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  run_at INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  crashes INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  session INTEGER,
  side INTEGER NOT NULL,
  counted INTEGER NOT NULL,
  unique_states INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER,
  cancel_at INTEGER,
  error_code TEXT,
  wait_reason TEXT,
  trace TEXT,
  unique_key TEXT,
  idem_key TEXT,
  idem_hash TEXT,
  tags TEXT,
  payload TEXT,
  result TEXT
);
CREATE UNIQUE INDEX jobrt_job_id ON jobrt_job(id);
CREATE INDEX jobrt_job_queued ON jobrt_job(queue, kind, priority, run_at, id) WHERE state = 1 AND crashes < 2;
CREATE INDEX jobrt_job_solitary ON jobrt_job(queue, kind, priority, run_at, id) WHERE state = 1 AND crashes >= 2;
CREATE INDEX jobrt_job_scheduled ON jobrt_job(run_at, queue, kind) WHERE state = 0;
CREATE INDEX jobrt_job_running ON jobrt_job(session, cancel_at) WHERE state = 2;
CREATE INDEX jobrt_job_final ON jobrt_job(state) WHERE state >= 3;
CREATE INDEX jobrt_job_finished ON jobrt_job(state, queue, kind, finished_at) WHERE state >= 3;
CREATE UNIQUE INDEX jobrt_job_counted ON jobrt_job(unique_key) WHERE counted = 1;
CREATE INDEX jobrt_job_unique ON jobrt_job(unique_key) WHERE unique_key IS NOT NULL;
CREATE UNIQUE INDEX jobrt_job_idem ON jobrt_job(idem_key) WHERE idem_key IS NOT NULL;
CREATE INDEX jobrt_job_trace ON jobrt_job(trace) WHERE trace IS NOT NULL;
CREATE INDEX jobrt_job_error ON jobrt_job(error_code) WHERE error_code IS NOT NULL;

CREATE TABLE jobrt_payload(job INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE jobrt_result(job INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE jobrt_progress(job INTEGER PRIMARY KEY, percent REAL, stage TEXT NOT NULL, message TEXT NOT NULL);
CREATE TABLE jobrt_error(
  job INTEGER NOT NULL, n INTEGER NOT NULL, at INTEGER NOT NULL, attempt INTEGER NOT NULL,
  code TEXT NOT NULL, message TEXT NOT NULL,
  PRIMARY KEY(job, n)
) WITHOUT ROWID;
CREATE TABLE jobrt_step(
  job INTEGER NOT NULL, name TEXT NOT NULL, n INTEGER NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY(job, name)
) WITHOUT ROWID;
CREATE TABLE jobrt_tag(tag TEXT NOT NULL, job INTEGER NOT NULL, PRIMARY KEY(tag, job)) WITHOUT ROWID;
CREATE TABLE jobrt_tally(
  queue INTEGER NOT NULL, kind INTEGER NOT NULL, state INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY(queue, kind, state)
) WITHOUT ROWID;

CREATE TABLE jobrt_event(
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  code INTEGER NOT NULL,
  source INTEGER NOT NULL,
  job INTEGER,
  mark INTEGER,
  queue INTEGER,
  session INTEGER,
  due INTEGER,
  n INTEGER,
  data TEXT,
  name TEXT,
  trace TEXT
);
CREATE INDEX jobrt_event_job ON jobrt_event(job) WHERE job IS NOT NULL;
CREATE INDEX jobrt_event_trace ON jobrt_event(trace) WHERE trace IS NOT NULL;
CREATE TABLE jobrt_gone(
  job INTEGER PRIMARY KEY, last INTEGER NOT NULL, id BLOB NOT NULL, kind INTEGER NOT NULL, trace TEXT
);
CREATE INDEX jobrt_gone_id ON jobrt_gone(id);
CREATE INDEX jobrt_gone_last ON jobrt_gone(last);
CREATE INDEX jobrt_gone_trace ON jobrt_gone(trace) WHERE trace IS NOT NULL;

CREATE TABLE jobrt_session(
  id BLOB PRIMARY KEY, beat INTEGER NOT NULL, started_at INTEGER NOT NULL, beat_at INTEGER NOT NULL,
  dead INTEGER NOT NULL, stopped INTEGER NOT NULL, locked INTEGER NOT NULL, ended_at INTEGER, facts TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE jobrt_record(key TEXT PRIMARY KEY, value TEXT NOT NULL, version INTEGER NOT NULL) WITHOUT ROWID;
)sql";

// Events that a person looks for among a million others, by number; most jobs write none of them. The codes are those that
// events.cpp has for the level, in the same order, or the planner refuses the index.
constexpr const char* version_2 = R"sql(
CREATE INDEX IF NOT EXISTS jobrt_event_warn ON jobrt_event(id) WHERE code IN (7,8,11,12,32);
CREATE INDEX IF NOT EXISTS jobrt_event_error ON jobrt_event(id) WHERE code IN (6,64);
)sql";

constexpr std::array<Migration, 2> steps{{{version_1}, {version_2}}};

}  // namespace

std::span<const Migration> schema_migrations() { return steps; }

}  // namespace jobruntime::sqlite
