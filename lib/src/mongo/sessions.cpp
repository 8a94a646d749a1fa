// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Who works here, and what becomes of the jobs of those who are gone.
#include <algorithm>

#include "core/bounds.hpp"
#include "mongo/store.hpp"

namespace jobruntime::mongo {

using core::EventCode;

namespace {

Doc texts(const std::vector<std::string>& list) {
    List made;
    for (const auto& text : list) made.text(text);
    return Doc(made.made());
}

std::vector<std::string> read_texts(const View& doc, std::string_view name) {
    std::vector<std::string> list;
    if (const auto there = doc.list(name))
        there->each([&](const bson_iter_t& one) {
            if (auto text = View::as_text(one)) list.push_back(*std::move(text));
        });
    return list;
}

Doc facts_document(const SessionFacts& facts, Time now) {
    Doc doc;
    doc.text("host", facts.host)
        .text("bootId", facts.boot_id)
        .number("pid", facts.pid)
        .text("role", facts.role);
    doc.text("version", facts.version).flag("works", facts.works).list("kinds", texts(facts.kinds));
    doc.list("queues", texts(facts.queues)).integer("running", facts.running).flag("stopped", facts.stopped);
    doc.json("details", facts.details).time("beatAt", now);
    return doc;
}

/// `now` is the server's, as is heardAt; a row of an older program has none.
std::optional<SessionInfo> read_session(const View& doc, std::optional<Time> now = {}) {
    const auto id = SessionId::parse(doc.text_or("_id"));
    const auto beat = doc.number("beat");
    const auto dead = doc.flag("declaredDead");
    if (!id || !beat || *beat < 0 || !dead) return std::nullopt;
    SessionInfo info;
    info.id = *id;
    info.beat = static_cast<std::uint64_t>(*beat);
    info.declared_dead = *dead;
    info.started_at = doc.time("startedAt").value_or(Time{});
    info.beat_at = doc.time("beatAt").value_or(Time{});
    if (const auto heard = doc.time("heardAt"); heard && now) info.age = std::max(*now - *heard, Duration{0});
    SessionFacts& facts = info.facts;
    facts.host = doc.text_or("host");
    facts.boot_id = doc.text_or("bootId");
    facts.pid = doc.number("pid").value_or(0);
    facts.role = doc.text_or("role");
    facts.version = doc.text_or("version");
    facts.works = doc.flag("works").value_or(false);
    facts.kinds = read_texts(doc, "kinds");
    facts.queues = read_texts(doc, "queues");
    facts.running =
        static_cast<int>(std::clamp<std::int64_t>(doc.number("running").value_or(0), 0, INT32_MAX));
    facts.stopped = doc.flag("stopped").value_or(false);
    if (auto details = doc.json("details"); details && details->is_object())
        facts.details = std::move(details->get_object());
    return info;
}

Time later(Time now, Duration delay) { return now > Time::max() - delay ? Time::max() : now + delay; }

void lose_row(Row& row, Loss loss, const Origin& origin, Time now) {
    Job& job = row.job;
    const auto next = core::after_loss(job.crashes, job.cancel_requested_at.has_value(), loss);
    const auto message = core::loss_message(next.code);
    if (!next.code.empty())
        row.error = JobError{now, job.attempt, std::string(next.code), std::string(message)};
    job.state = next.state;
    job.crashes = next.crashes;
    if (next.give_attempt_back) --job.attempt;
    if (job.state == JobState::scheduled) job.run_at = later(now, next.delay);
    if (is_final(job.state)) job.finished_at = now;
    tell(row, {.code = next.event, .ran = true, .error_code = next.code, .message = message}, origin, now);
}

}  // namespace

Result<BeatAnswer> MongoStore::beat(SessionId session, const SessionFacts& facts, Time now) {
    if (!session) return Error{Errc::invalid_argument, "the zero session cannot beat; make an id for it"};
    return again([&]() -> Result<BeatAnswer> {
        Doc change;
        change.doc("$set", facts_document(facts, now)).doc("$inc", Doc().number("beat", 1));
        change.doc("$setOnInsert", Doc().time("startedAt", now));
        change.doc("$currentDate", Doc().flag("heardAt", true));
        Doc alive;
        alive.text("_id", session.str()).flag("declaredDead", false);
        // The first beat makes the row. Of one that was declared dead the filter finds nothing, and the
        // making meets it.
        auto row = parts_->server.upsert(Where::sessions, alive, change);
        BeatAnswer answer;
        if (!row && row.error().name == "DUPLICATE") {
            const auto found = parts_->server.find(
                Where::sessions, {.filter = std::move(Doc().text("_id", session.str())), .limit = 1});
            if (!found) return found.error();
            const auto info = found->empty() ? std::nullopt : read_session(found->front());
            // Two first beats at once: the other one made it.
            if (info && !info->declared_dead)
                return Error{Errc::unavailable, "CONNECTION_LOST",
                             "two first beats of one session met; beat again"};
            answer.declared_dead = true;
            answer.beat = info ? info->beat : 0;
        } else if (!row) {
            return std::move(row).error();
        } else {
            answer.beat = static_cast<std::uint64_t>(View(*row).number("beat").value_or(0));
        }
        if (const auto done = give_back_lost(session, row.has_value(), now); !done) return done.error();
        Doc asked;
        asked.text("status", "running").text("workerId", session.str());
        asked.doc("cancelRequestedAt", Doc().flag("$exists", true));
        const auto cancels =
            parts_->server.find(Where::jobs, {.filter = std::move(asked),
                                              .fields = std::move(Doc().integer("fence", 1)),
                                              .limit = static_cast<int>(limits::batch_items)});
        if (!cancels) return cancels.error();
        for (const auto& doc : *cancels) {
            const auto job = JobId::parse(View(doc).text_or("_id"));
            const auto fence = View(doc).number("fence");
            if (job && fence) answer.cancels.push_back({*job, static_cast<Fence>(*fence)});
        }
        return answer;
    });
}

Result<std::vector<Job>> MongoStore::lose(const Doc& whose, Loss loss, int limit, Time now, bool& more) {
    const auto most = static_cast<std::size_t>(limit);
    std::map<JobId, Job> lost;
    std::string last;  // Documents without sense stay where they are: the look goes on behind them.
    do {
        more = false;
        auto filter = whose;
        filter.doc("_id", Doc().text("$gt", last));
        const auto room = most - lost.size();
        const auto found =
            parts_->server.find(Where::jobs, {.filter = std::move(filter),
                                              .order = std::move(Doc().integer("_id", 1)),
                                              .fields = std::move(Doc().integer("fence", 1)),
                                              .limit = static_cast<int>(room) + 1});
        if (!found) return found.error();
        std::vector<Mutation> mutations;
        for (const auto& doc : *found) {
            more = mutations.size() == room;
            if (more) break;
            last = View(doc).text_or("_id");
            const auto id = JobId::parse(last);
            const auto fence = View(doc).number("fence");
            if (!id || !fence) continue;
            mutations.push_back({*id, [this, loss, now, &lost, fence = static_cast<Fence>(*fence)](Row* row) {
                                     if (!row || row->job.state != JobState::running ||
                                         row->job.fence != fence)
                                         return;
                                     lose_row(*row, loss, origin_, now);
                                     lost[row->job.id] = row->job;
                                 }});
        }
        more = more || found->size() > room;
        Told told;
        const auto done = parts_->jobs.mutate(mutations, told);
        tell(told);
        if (!done) return done.error();
        for (const auto& mutation : mutations)
            if (mutation.refused) lost.erase(mutation.id);
    } while (more && lost.size() < most);
    std::vector<Job> jobs;
    for (auto& [id, job] : lost) jobs.push_back(std::move(job));
    return jobs;
}

Result<Recovered> MongoStore::recover(SessionId session, std::uint64_t beat_seen, Loss loss, int limit,
                                      Time now) {
    const auto most = core::check_limit(limit, "the limit of a recovery");
    if (!most) return most.error();
    return again([&]() -> Result<Recovered> {
        Recovered recovered;
        Doc seen, declare;
        seen.text("_id", session.str())
            .number("beat", static_cast<std::int64_t>(beat_seen))
            .flag("declaredDead", false);
        declare.doc("$set",
                    Doc().flag("declaredDead", true).text("loss", loss == Loss::crash ? "crash" : "reboot"));
        const auto declared = parts_->server.update_all(Where::sessions, seen, declare);
        if (!declared) return declared.error();
        if (*declared == 0) {
            const auto dead = parts_->server.find(
                Where::sessions,
                {.filter = std::move(Doc().text("_id", session.str()).flag("declaredDead", true)),
                 .limit = 1});
            if (!dead) return dead.error();
            if (dead->empty()) return recovered;
        }
        recovered.mine = true;
        Doc running;
        running.text("status", "running").text("workerId", session.str());
        auto jobs = lose(running, loss, *most, now, recovered.more);
        if (!jobs) return std::move(jobs).error();
        recovered.jobs = *std::move(jobs);
        return recovered;
    });
}

/// The clock of the primary, which stamps the beats. Asked for now and then; in between our steady clock
/// counts on.
Result<Time> MongoStore::server_time() {
    constexpr std::chrono::seconds good_for{10};  // Another server may be the primary then.
    {
        const std::scoped_lock lock(server_clock_mutex_);
        const auto passed = std::chrono::steady_clock::now() - server_clock_.second;
        if (server_clock_.first != Time{} && passed < good_for)
            return server_clock_.first + std::chrono::duration_cast<Duration>(passed);
    }
    const auto answer = parts_->server.command(std::move(Doc().integer("isMaster", 1)));
    if (!answer) return answer.error();
    const auto now = View(*answer).time("localTime");
    if (!now) return Error{Errc::internal, "MongoDB at " + place_.hosts + " does not tell its time"};
    const std::scoped_lock lock(server_clock_mutex_);
    server_clock_ = {*now, std::chrono::steady_clock::now()};
    return *now;
}

Result<std::vector<SessionInfo>> MongoStore::sessions() {
    return again([&]() -> Result<std::vector<SessionInfo>> {
        const auto now = server_time();
        if (!now) return now.error();
        const auto found =
            parts_->server.find(Where::sessions, {.order = std::move(Doc().integer("_id", 1))});
        if (!found) return found.error();
        std::vector<SessionInfo> all;
        for (const auto& doc : *found) {
            if (auto info = read_session(doc, *now))
                all.push_back(*std::move(info));
            else
                parts_->jobs.skip({Errc::corrupt, "a document in jobrt_sessions is no session"});
        }
        return all;
    });
}

}  // namespace jobruntime::mongo
