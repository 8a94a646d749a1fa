// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/writer.hpp"

#include "core/failpoint.hpp"
#include "core/json.hpp"
#include "core/state_event.hpp"

namespace jobruntime::sqlite {

std::optional<std::int64_t> Words::find(std::string_view text, bool blob) {
    const auto known = numbers_.find(text);
    if (known != numbers_.end()) return known->second;
    auto& statement = connection_.cached("SELECT n FROM jobrt_word WHERE text = ?");
    if (blob)
        statement.bind(1, Bytes{text.data(), text.size()});
    else
        statement.bind(1, text);
    Query row = statement.query();
    if (!row.next()) return std::nullopt;
    return numbers_.emplace(text, row.number(0)).first->second;
}

std::int64_t Words::intern(std::string_view text, bool blob) {
    if (const auto known = find(text, blob)) return *known;
    auto& statement = connection_.cached("INSERT INTO jobrt_word(text) VALUES(?)");
    if (blob)
        statement.bind(1, Bytes{text.data(), text.size()});
    else
        statement.bind(1, text);
    statement.run();
    const std::int64_t number = sqlite3_last_insert_rowid(connection_.raw());
    numbers_.emplace(text, number);
    fresh_.emplace_back(text);
    return number;
}

const std::string& Words::text(std::int64_t number) {
    const auto known = texts_.find(number);
    if (known != texts_.end()) return known->second;
    Query row = connection_.cached("SELECT text FROM jobrt_word WHERE n = ?").query(number);
    static const std::string none;
    if (!row.next()) return none;
    return texts_.emplace(number, row.text(0)).first->second;
}

void Words::rolled_back() {
    // Their numbers may be given to other names.
    for (const auto& text : fresh_) {
        const auto found = numbers_.find(text);
        if (found == numbers_.end()) continue;
        texts_.erase(found->second);
        numbers_.erase(found);
    }
    fresh_.clear();
}

void Writer::start() {
    Query row = sql("SELECT last, pruned_through, events FROM jobrt_state").query();
    if (!row.next()) throw Failure{{Errc::corrupt, "the row of jobrt_state is missing; restore the file from a backup"}};
    last_ = last_stored_ = static_cast<std::uint64_t>(row.number(0));
    pruned_through_ = static_cast<std::uint64_t>(row.number(1));
    events_ = events_stored_ = row.number(2);
    tally_.clear();
    hints_ = 0;
}

void Writer::finish() {
    for (const auto& [cell, by] : tally_) {
        if (by == 0) continue;
        sql("INSERT INTO jobrt_tally(queue, kind, state, n) VALUES(?, ?, ?, ?) "
            "ON CONFLICT(queue, kind, state) DO UPDATE SET n = n + excluded.n")
            .run(std::get<0>(cell), std::get<1>(cell), std::get<2>(cell), by);
    }
    tally_.clear();
    if (last_ == last_stored_ && events_ == events_stored_) return;
    sql("UPDATE jobrt_state SET last = ?, pruned_through = ?, events = ?").run(last_, pruned_through_, events_);
    last_stored_ = last_;
    events_stored_ = events_;
}

void Writer::committed() { words_.committed(); }

void Writer::rolled_back() {
    words_.rolled_back();
    source_number_ = 0;
    tally_.clear();
    hints_ = 0;
}

void Writer::tally(std::int64_t queue, std::int64_t kind, JobState state, int by) {
    tally_[{queue, kind, static_cast<int>(state)}] += by;
}

void Writer::move_tally(const JobRow& job, JobState to) {
    if (job.state == to) return;
    tally(job.queue, job.kind, job.state, -1);
    tally(job.queue, job.kind, to, +1);
}

std::uint64_t Writer::event(const EventRow& event, Time now, std::uint64_t number) {
    if (number == 0) number = next_number();
    if (JOBRT_FAILPOINT("control.drop_event")) return number;
    if (source_number_ == 0) source_number_ = words_.intern(source_);
    std::string data;
    if (!event.error_code.empty() || !event.message.empty()) {
        data.reserve(event.error_code.size() + event.message.size() + 1);
        data.append(event.error_code).append(1, '\n').append(event.message);
    }
    const auto job = event.code == core::EventCode::created ? std::nullopt : std::optional(event.job);
    const auto mark = event.attempt * 8 + static_cast<int>(event.state);
    const auto code = static_cast<int>(event.code);
    if (event.by && event.by->known()) {
        const auto by = core::to_text(core::actor_fields(*event.by));
        sql("INSERT INTO jobrt_event(id, at, code, source, job, mark, queue, session, due, n, data, name) "
            "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
            .run(number, now, code, source_number_, job, mark, event.queue, event.session, event.due, event.number, or_null(data), by);
    } else {
        sql("INSERT INTO jobrt_event(id, at, code, source, job, mark, queue, session, due, n, data) "
            "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
            .run(number, now, code, source_number_, job, mark, event.queue, event.session, event.due, event.number, or_null(data));
    }
    ++events_;
    hint(hint_events);
    return number;
}

void Writer::event(const Event& event, std::int64_t job, std::string_view trace) {
    if (source_number_ == 0) source_number_ = words_.intern(source_);
    const auto source = event.source.empty() ? source_number_ : words_.intern(event.source + '\x1f' + event.role);
    auto fields = core::to_text(event.fields);
    if (core::flaw(event.fields)) {
        auto mended = event.fields;
        core::mend(mended);
        fields = core::to_text(mended);
    }
    sql("INSERT INTO jobrt_event(id, at, code, source, job, data, name, trace) VALUES(?, ?, ?, ?, ?, ?, ?, ?)")
        .run(next_number(), event.at, static_cast<int>(event.level) * 32, source,
             job ? std::optional(job) : std::nullopt, fields, event.name, or_null(trace));
    ++events_;
    hint(hint_events);
}

void Writer::removed_events(std::uint64_t count, std::uint64_t through) {
    events_ -= static_cast<std::int64_t>(count);
    pruned_through_ = through;
}

namespace {

std::optional<JobRow> read_job(Query& row) {
    if (!row.next()) return std::nullopt;
    JobRow job;
    job.seq = row.number(0);
    job.id = row.id<JobId>(1);
    job.state = static_cast<JobState>(row.number(2));
    job.queue = row.number(3);
    job.kind = row.number(4);
    job.priority = static_cast<int>(row.number(5));
    job.run_at = from_ms(row.number(6));
    job.attempt = static_cast<int>(row.number(7));
    job.max_attempts = static_cast<int>(row.number(8));
    job.crashes = static_cast<int>(row.number(9));
    job.fence = static_cast<std::uint64_t>(row.number(10));
    if (!row.null(11)) job.session = row.number(11);
    job.side = row.number(12);
    job.counted = row.number(13) != 0;
    job.unique_states.bits = static_cast<std::uint8_t>(row.number(14));
    job.cancel_asked = !row.null(15);
    job.has_key = row.number(16) != 0;
    return job;
}

}  // namespace

#define JOB_ROW                                                                                          \
    "SELECT seq, id, state, queue, kind, priority, run_at, attempt, max_attempts, crashes, fence, session, " \
    "side, counted, unique_states, cancel_at, unique_key IS NOT NULL FROM jobrt_job "

std::optional<JobRow> Writer::job(JobId id) {
    Query row = sql(JOB_ROW "WHERE id = ?").query(bytes(id));
    return read_job(row);
}

std::optional<JobRow> Writer::job(std::int64_t seq) {
    Query row = sql(JOB_ROW "WHERE seq = ?").query(seq);
    return read_job(row);
}

void Writer::append_error(JobRow& job, Time now, int attempt, std::string_view code, std::string_view message) {
    std::int64_t n = 1;
    if (job.side & side_errors) {
        Query row = sql("SELECT max(n) FROM jobrt_error WHERE job = ?").query(job.seq);
        if (row.next()) n = row.number(0) + 1;
    }
    sql("INSERT INTO jobrt_error(job, n, at, attempt, code, message) VALUES(?, ?, ?, ?, ?, ?)")
        .run(job.seq, n, now, attempt, code, core::cut(message, limits::message));
    sql("DELETE FROM jobrt_error WHERE job = ? AND n <= ?").run(job.seq, n - static_cast<std::int64_t>(limits::errors));
    job.side |= side_errors;
}

Writer::Wiping::Wiping(Writer& writer) : connection_(writer.may_wipe_ ? &writer.connection_ : nullptr) {
    if (connection_) connection_->exec("PRAGMA secure_delete = ON");
}

Writer::Wiping::~Wiping() {
    try {
        if (connection_) connection_->exec("PRAGMA secure_delete = OFF");
    } catch (...) {  // It reads and writes nothing; were it to fail, more would be wiped than has to be.
    }
}

void Writer::forget_steps(std::int64_t job, std::optional<std::string_view> name) {
    const Wiping wiping(*this);
    if (name) sql("DELETE FROM jobrt_step WHERE job = ? AND name = ?").run(job, *name);
    else sql("DELETE FROM jobrt_step WHERE job = ?").run(job);
}

void Writer::erase(const JobRow& job) {
    sql("INSERT OR REPLACE INTO jobrt_gone(job, last, id, kind, trace) SELECT seq, ?, id, kind, "
        "CASE WHEN side & 64 THEN lower(hex(id)) ELSE trace END FROM jobrt_job WHERE seq = ? AND "
        "(EXISTS(SELECT 1 FROM jobrt_event WHERE id = seq) OR EXISTS(SELECT 1 FROM jobrt_event WHERE job = seq))")
        .run(last_, job.seq);
    if (job.side & side_tags) {
        sql("DELETE FROM jobrt_tag WHERE job = ?1 AND tag IN "
            "(SELECT value FROM json_each((SELECT tags FROM jobrt_job WHERE seq = ?1)))")
            .run(job.seq);
    }
    if (job.side & side_payload) sql("DELETE FROM jobrt_payload WHERE job = ?").run(job.seq);
    if (job.side & side_result) sql("DELETE FROM jobrt_result WHERE job = ?").run(job.seq);
    if (job.side & side_progress) sql("DELETE FROM jobrt_progress WHERE job = ?").run(job.seq);
    if (job.side & side_errors) sql("DELETE FROM jobrt_error WHERE job = ?").run(job.seq);
    if (job.side & side_steps) forget_steps(job.seq);
    sql("DELETE FROM jobrt_job WHERE seq = ?").run(job.seq);
    tally(job.queue, job.kind, job.state, -1);
}

#undef JOB_ROW

}  // namespace jobruntime::sqlite
