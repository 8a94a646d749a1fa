// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "bench.hpp"

#include <array>
#include <memory>
#include <random>

#include <sqlite3.h>

#include <jobruntime/sqlite.hpp>

// The limit that the workloads are measured against: the same rows written by bare statements in
// one thread, on a file that the store itself has made ("raw"), and on one bare table ("minimal").

namespace jobruntime::jobrt {
namespace {

struct Closer {
    void operator()(sqlite3* db) const { sqlite3_close(db); }
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

class Raw {
public:
    static Result<Raw> open(const std::string& path, bool ours) {
        if (ours) {
            auto made = sqlite::open(path);
            if (!made) return std::move(made).error();
        }
        sqlite3* db = nullptr;
        if (sqlite3_open(path.c_str(), &db) != SQLITE_OK) return Error{Errc::unavailable, "cannot open " + path};
        Raw raw;
        raw.db_.reset(db);
        raw.exec("PRAGMA journal_mode=WAL");
        raw.exec("PRAGMA wal_autocheckpoint=1000");
        if (ours) {
            raw.exec("INSERT INTO jobrt_word(n, text) VALUES(1, 'default'), (2, 'bench.noop'), (3, 'source'), (4, x'01')");
        } else {
            raw.exec("CREATE TABLE job(id INTEGER PRIMARY KEY, state INTEGER NOT NULL, payload TEXT NOT NULL)");
            raw.exec("CREATE INDEX job_queued ON job(id) WHERE state = 1");
        }
        return raw;
    }
    void exec(const char* sql) { check(sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr), SQLITE_OK); }
    void begin(bool synced) {
        exec(synced ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
        exec("BEGIN IMMEDIATE");
    }
    void commit() { exec("COMMIT"); }
    sqlite3_stmt* prepare(const char* sql) {
        sqlite3_stmt* statement = nullptr;
        check(sqlite3_prepare_v2(db_.get(), sql, -1, &statement, nullptr), SQLITE_OK);
        statements_.emplace_back(statement);
        return statement;
    }
    void run(sqlite3_stmt* statement) {
        check(sqlite3_step(statement), SQLITE_DONE);
        sqlite3_reset(statement);
    }
    bool failed() const { return failed_; }

private:
    void check(int code, int wanted) { failed_ = failed_ || code != wanted; }
    std::unique_ptr<sqlite3, Closer> db_;
    std::vector<std::unique_ptr<sqlite3_stmt, Closer>> statements_;
    bool failed_ = false;
};

/// A job's life in bare statements; both schemas have one.
class RawJobs {
public:
    RawJobs(Raw& raw, bool ours) : raw_(raw), ours_(ours) {
        if (!ours) {
            insert_ = raw.prepare("INSERT INTO job(state, payload) VALUES(1, ?)");
            find_ = raw.prepare("SELECT id FROM job WHERE state = 1 ORDER BY id LIMIT ?");
            claim_ = raw.prepare("UPDATE job SET state = 2 WHERE id = ?");
            complete_ = raw.prepare("UPDATE job SET state = 3 WHERE id = ?");
            return;
        }
        insert_ = raw.prepare(
            "INSERT INTO jobrt_job(seq, id, state, queue, kind, priority, run_at, attempt, max_attempts, crashes, fence, "
            "side, counted, unique_states, created_at, payload) "
            "VALUES(?1, ?2, 1, 1, 2, 0, ?3, 0, 25, 0, 0, 64, 0, 7, ?3, ?4)");
        find_ = raw.prepare("SELECT seq FROM jobrt_job INDEXED BY jobrt_job_queued WHERE state = 1 AND crashes < 2 AND "
                            "queue = 1 AND kind = 2 ORDER BY priority, run_at, id LIMIT ?");
        claim_ = raw.prepare("UPDATE jobrt_job SET state = 2, attempt = 1, fence = ?2, session = 4, started_at = ?3 "
                             "WHERE seq = ?1");
        complete_ = raw.prepare("UPDATE jobrt_job SET state = 3, crashes = 0, finished_at = ?3, counted = 0 WHERE seq = ?1");
        event_ = raw.prepare("INSERT INTO jobrt_event(id, at, code, source, job, mark, queue, session) "
                             "VALUES(?1, ?2, ?3, 3, ?4, ?5, 1, ?6)");
        tally_ = raw.prepare("INSERT INTO jobrt_tally(queue, kind, state, n) VALUES(1, 2, ?1, ?2) "
                             "ON CONFLICT(queue, kind, state) DO UPDATE SET n = n + excluded.n");
        state_ = raw.prepare("UPDATE jobrt_state SET last = ?, events = ?");
    }

    void insert(int count) {
        for (int i = 0; i < count; ++i) {
            const std::string payload = "{\"n\":" + std::to_string(i) + "}";
            if (!ours_) {
                sqlite3_bind_text(insert_, 1, payload.data(), static_cast<int>(payload.size()), SQLITE_STATIC);
                raw_.run(insert_);
                continue;
            }
            const auto seq = ++last_;
            std::array<std::uint64_t, 2> id{__builtin_bswap64((now_ << 16) | (seq & 0xffff)), random_()};
            sqlite3_bind_int64(insert_, 1, static_cast<sqlite3_int64>(seq));
            sqlite3_bind_blob(insert_, 2, id.data(), 16, SQLITE_STATIC);
            sqlite3_bind_int64(insert_, 3, static_cast<sqlite3_int64>(now_));
            sqlite3_bind_text(insert_, 4, payload.data(), static_cast<int>(payload.size()), SQLITE_STATIC);
            raw_.run(insert_);
            event(1, seq, seq, 1, false);
        }
        tally(1, count);
    }

    std::vector<sqlite3_int64> find(int limit) {
        std::vector<sqlite3_int64> found;
        sqlite3_bind_int(find_, 1, limit);
        while (sqlite3_step(find_) == SQLITE_ROW) found.push_back(sqlite3_column_int64(find_, 0));
        sqlite3_reset(find_);
        return found;
    }
    void claim(const std::vector<sqlite3_int64>& jobs) { move(jobs, claim_, 4, 10, 1, 2); }
    void complete(const std::vector<sqlite3_int64>& jobs) { move(jobs, complete_, 5, 11, 2, 3); }

private:
    void move(const std::vector<sqlite3_int64>& jobs, sqlite3_stmt* statement, int code, int mark, int from, int to) {
        for (const auto job : jobs) {
            sqlite3_bind_int64(statement, 1, job);
            if (ours_) {
                ++last_;
                if (statement == claim_) sqlite3_bind_int64(statement, 2, static_cast<sqlite3_int64>(last_));
                sqlite3_bind_int64(statement, 3, static_cast<sqlite3_int64>(now_));
            }
            raw_.run(statement);
            if (ours_) event(code, last_, static_cast<std::uint64_t>(job), mark, true);
        }
        if (!ours_) return;
        tally(from, -static_cast<int>(jobs.size()));
        tally(to, static_cast<int>(jobs.size()));
    }
    void event(int code, std::uint64_t id, std::uint64_t job, int mark, bool session) {
        sqlite3_bind_int64(event_, 1, static_cast<sqlite3_int64>(id));
        sqlite3_bind_int64(event_, 2, static_cast<sqlite3_int64>(now_));
        sqlite3_bind_int(event_, 3, code);
        job == id ? sqlite3_bind_null(event_, 4) : sqlite3_bind_int64(event_, 4, static_cast<sqlite3_int64>(job));
        sqlite3_bind_int(event_, 5, mark);
        session ? sqlite3_bind_int(event_, 6, 4) : sqlite3_bind_null(event_, 6);
        raw_.run(event_);
        ++events_;
    }
    void tally(int state, int by) {
        if (!ours_) return;
        sqlite3_bind_int(tally_, 1, state);
        sqlite3_bind_int(tally_, 2, by);
        raw_.run(tally_);
        sqlite3_bind_int64(state_, 1, static_cast<sqlite3_int64>(last_));
        sqlite3_bind_int64(state_, 2, events_);
        raw_.run(state_);
    }

    Raw& raw_;
    bool ours_;
    sqlite3_stmt *insert_ = nullptr, *find_ = nullptr, *claim_ = nullptr, *complete_ = nullptr;
    sqlite3_stmt *event_ = nullptr, *tally_ = nullptr, *state_ = nullptr;
    std::uint64_t last_ = 1ull << 32;
    std::uint64_t now_ = 1'800'000'000'000;
    sqlite3_int64 events_ = 0;
    std::mt19937_64 random_{1};
};

Result<BenchFigure> insert_by(const BenchPlan& plan, bool ours, int jobs, int group) {
    auto raw = Raw::open(plan.folder + "/raw.db", ours);
    if (!raw) return std::move(raw).error();
    RawJobs statements(*raw, ours);
    std::vector<double> times;
    BenchFigure figure;
    figure.n = std::max(1, plan.count(jobs) / group) * group;
    const auto begin = BenchClock::now();
    for (long done = 0; done < figure.n; done += group) {
        const auto each = BenchClock::now();
        raw->begin(plan.full);
        statements.insert(group);
        raw->commit();
        times.push_back(seconds_since(each) * 1000);
    }
    figure.value = static_cast<double>(figure.n) / seconds_since(begin);
    percentiles(times, figure);
    if (raw->failed()) return Error{Errc::internal, "a bare statement of the benchmark failed; the schema has changed"};
    return figure;
}

Result<BenchFigure> drain_by(const BenchPlan& plan, bool ours, int group) {
    auto raw = Raw::open(plan.folder + "/rawdrain.db", ours);
    if (!raw) return std::move(raw).error();
    RawJobs statements(*raw, ours);
    BenchFigure figure;
    figure.n = std::max(1, plan.count(50'000) / 1000) * 1000;
    for (long done = 0; done < figure.n; done += 1000) {
        raw->begin(false);
        statements.insert(1000);
        raw->commit();
    }
    long drained = 0;
    const auto begin = BenchClock::now();
    for (;;) {
        raw->begin(false);
        const auto jobs = statements.find(group);
        statements.claim(jobs);
        raw->commit();
        if (jobs.empty()) break;
        raw->begin(plan.full);
        statements.complete(jobs);
        raw->commit();
        drained += static_cast<long>(jobs.size());
    }
    figure.value = static_cast<double>(figure.n) / seconds_since(begin);
    if (raw->failed() || drained != figure.n)
        return Error{Errc::internal, "a bare statement of the benchmark failed; the schema has changed"};
    return figure;
}

}  // namespace

Result<BenchFigure> raw_bulk(const BenchPlan& plan) { return insert_by(plan, true, 50'000, 1000); }
Result<BenchFigure> raw_single(const BenchPlan& plan) { return insert_by(plan, true, 8'000, 1); }
Result<BenchFigure> raw_grouped_by_8(const BenchPlan& plan) { return insert_by(plan, true, 40'000, 8); }
Result<BenchFigure> raw_drain_by_1000(const BenchPlan& plan) { return drain_by(plan, true, 1000); }
Result<BenchFigure> raw_drain_by_10(const BenchPlan& plan) { return drain_by(plan, true, 10); }
Result<BenchFigure> minimal_bulk(const BenchPlan& plan) { return insert_by(plan, false, 50'000, 1000); }
Result<BenchFigure> minimal_single(const BenchPlan& plan) { return insert_by(plan, false, 8'000, 1); }
Result<BenchFigure> minimal_grouped_by_8(const BenchPlan& plan) { return insert_by(plan, false, 40'000, 8); }
Result<BenchFigure> minimal_drain_by_1000(const BenchPlan& plan) { return drain_by(plan, false, 1000); }
Result<BenchFigure> minimal_drain_by_10(const BenchPlan& plan) { return drain_by(plan, false, 10); }

}  // namespace jobruntime::jobrt
