// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/verbs.hpp"

#include <boost/json/array.hpp>

#include "core/json.hpp"

namespace jobruntime::sqlite {
namespace {

std::string_view raw_bytes(const SessionId& session) {
    return {reinterpret_cast<const char*>(session.bytes.data()), session.bytes.size()};
}

struct SessionState {
    std::uint64_t beat;
    bool dead;
};

std::optional<SessionState> state_of(Writer& writer, SessionId session) {
    Query row = writer.sql("SELECT beat, dead FROM jobrt_session WHERE id = ?").query(bytes(session));
    if (!row.next()) return std::nullopt;
    return SessionState{static_cast<std::uint64_t>(row.number(0)), row.number(1) != 0};
}

void read_cancels(Writer& writer, SessionId session, BeatAnswer& answer) {
    const auto word = writer.words().find(raw_bytes(session), true);
    if (!word) return;
    Query row = writer.sql("SELECT id, fence FROM jobrt_job INDEXED BY jobrt_job_running "
                           "WHERE state = 2 AND cancel_at IS NOT NULL AND session = ? ORDER BY seq")
                    .query(*word);
    while (row.next()) answer.cancels.push_back({row.id<JobId>(0), static_cast<Fence>(row.number(1))});
}

/// One running job of a lost session, by the crash rule.
void lose(Writer& writer, JobRow job, Loss loss, Time now) {
    const auto after = core::after_loss(job.crashes, job.cancel_asked, loss);
    auto to = placement_of(job);
    to.state = after.state;
    to.crashes = after.crashes;
    if (after.give_attempt_back) to.attempt = std::max(0, job.attempt - 1);
    if (after.state == JobState::scheduled) to.run_at = now + after.delay;
    if (is_final(after.state)) to.finished_at = now;
    std::string_view message;
    if (!after.code.empty()) {
        message = after.code == "CRASH_LIMIT" ? "the process that ran it vanished too often, at last while it ran alone"
                                              : "the process that ran it vanished";
        writer.append_error(job, now, job.attempt, after.code, message);
        writer.sql("UPDATE jobrt_job SET error_code = ?, side = ? WHERE seq = ?").run(after.code, job.side, job.seq);
    }
    place(writer, job, to);
    EventRow event{.code = after.event, .job = job.seq, .state = to.state, .attempt = to.attempt, .queue = job.queue,
                   .session = job.session};
    if (to.state == JobState::scheduled) event.due = to.run_at;
    if (after.event == core::EventCode::recovered) event.number = to.crashes;
    event.error_code = after.code;
    event.message = message;
    writer.event(event, now);
    writer.hint(hint_jobs | (is_final(to.state) ? hint_settled : 0u));
}

std::vector<std::string> names_of(const boost::json::object& facts, std::string_view name) {
    std::vector<std::string> names;
    if (const auto* value = facts.if_contains(name); value && value->is_array())
        for (const auto& item : value->get_array())
            if (item.is_string()) names.emplace_back(item.get_string());
    return names;
}

std::string text_of(const boost::json::object& facts, std::string_view name) {
    const auto* value = facts.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::int64_t number_of(const boost::json::object& facts, std::string_view name) {
    const auto* value = facts.if_contains(name);
    return value && value->is_int64() ? value->get_int64() : 0;
}

}  // namespace

std::string facts_to_text(const SessionFacts& facts) {
    return core::to_text(boost::json::object{
        {"host", facts.host},
        {"bootId", facts.boot_id},
        {"pid", facts.pid},
        {"role", facts.role},
        {"version", facts.version},
        {"works", facts.works ? 1 : 0},
        {"kinds", boost::json::array(facts.kinds.begin(), facts.kinds.end())},
        {"queues", boost::json::array(facts.queues.begin(), facts.queues.end())},
        {"running", facts.running},
        {"stopped", facts.stopped ? 1 : 0},
        {"details", facts.details},
    });
}

SessionFacts facts_from_text(std::string_view text) {
    SessionFacts facts;
    auto read = core::parse_json_object(text);
    if (!read) return facts;
    facts.host = text_of(*read, "host");
    facts.boot_id = text_of(*read, "bootId");
    facts.pid = number_of(*read, "pid");
    facts.role = text_of(*read, "role");
    facts.version = text_of(*read, "version");
    facts.works = number_of(*read, "works") != 0;
    facts.kinds = names_of(*read, "kinds");
    facts.queues = names_of(*read, "queues");
    facts.running = static_cast<int>(number_of(*read, "running"));
    facts.stopped = number_of(*read, "stopped") != 0;
    if (auto* details = read->if_contains("details"); details && details->is_object())
        facts.details = std::move(details->get_object());
    return facts;
}

void beat_session(Writer& writer, SessionId session, const SessionFacts& facts, std::string_view facts_text, bool locked,
                  Time now, BeatAnswer& answer) {
    answer = {};
    const auto state = state_of(writer, session);
    if (state && state->dead) {
        answer.declared_dead = true;
        answer.beat = state->beat;
        return;
    }
    answer.beat = state ? state->beat + 1 : 1;
    std::optional<std::int64_t> ended;
    if (facts.stopped) ended = ms(now);
    writer.sql("INSERT INTO jobrt_session(id, beat, started_at, beat_at, dead, stopped, locked, ended_at, facts) "
               "VALUES(?, ?, ?, ?, 0, ?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET beat = excluded.beat, "
               "beat_at = excluded.beat_at, stopped = excluded.stopped, locked = excluded.locked, ended_at = excluded.ended_at, "
               "facts = excluded.facts")
        .run(bytes(session), answer.beat, now, now, facts.stopped ? 1 : 0, locked ? 1 : 0, ended, facts_text);
    read_cancels(writer, session, answer);
}

void recover_session(Writer& writer, SessionId session, std::uint64_t beat_seen, Loss loss, int limit, Time now,
                     RawRecovery& answer) {
    answer = {};
    const auto state = state_of(writer, session);
    if (!state) return;
    if (!state->dead) {
        if (state->beat != beat_seen) return;
        writer.sql("UPDATE jobrt_session SET dead = 1, ended_at = ? WHERE id = ?").run(now, bytes(session));
    }
    answer.mine = true;
    const auto word = writer.words().find(raw_bytes(session), true);
    if (!word) return;
    std::vector<std::int64_t> running;
    {
        Query row = writer.sql("SELECT seq FROM jobrt_job INDEXED BY jobrt_job_running "
                               "WHERE state = 2 AND session = ? ORDER BY seq LIMIT ?")
                        .query(*word, limit + 1);
        while (row.next()) running.push_back(row.number(0));
    }
    answer.more = running.size() > static_cast<std::size_t>(limit);
    if (answer.more) running.pop_back();
    for (const auto seq : running) lose(writer, *writer.job(seq), loss, now);
    for (const auto seq : running) {
        Query row = writer.sql("SELECT " JOBRT_JOB_COLUMNS " FROM jobrt_job WHERE seq = ?").query(seq);
        row.next();
        answer.jobs.push_back(read_raw(writer.connection(), writer.words(), row, 0));
    }
}

}  // namespace jobruntime::sqlite
