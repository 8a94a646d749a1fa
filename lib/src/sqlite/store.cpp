// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/store.hpp"

#include <algorithm>
#include <chrono>

#include <unistd.h>

#include "core/bounds.hpp"
#include "core/ids.hpp"
#include "core/observer.hpp"
#include "sqlite/reads.hpp"
#include "sqlite/verbs.hpp"

namespace jobruntime::sqlite {
namespace {

/// Less than a fsync; see core::Combiner.
constexpr std::chrono::microseconds gathering{150};

std::string source_of(const Origin& origin) {
    const auto process = origin.process.empty() ? host_name() + "-" + std::to_string(::getpid()) + "-" +
                                                      std::to_string(core::IdSource().random() % 1'000'000)
                                                : origin.process;
    return process + '\x1f' + origin.role;
}

/// Roughly, for the bound of a group.
std::size_t size_of(const NewJob& job) {
    return job.payload.size() + job.unique_key.size() + job.trace_id.size() + job.idempotency_key.size();
}
std::size_t size_of(const Settlement& settlement) { return settlement.result.size() + settlement.message.size(); }
std::size_t size_of(const Note& note) { return note.step_value.size() + note.events.size() * 200; }

template <class Item>
std::size_t size_of(std::span<const Item> items) {
    std::size_t sum = 0;
    for (const auto& item : items) sum += size_of(item);
    return sum;
}

}  // namespace

SqliteStore::Parts::Parts(Opened opened, const std::string& source)
    : in_use(std::move(opened.in_use)),
      executor(std::move(opened.connection), source, std::move(opened.turnstile),
               Ballast(opened.folder + "/ballast", opened.options.ballast_bytes), opened.folder, opened.options),
      readers(opened.path, opened.vfs, opened.options.busy_timeout),
      locks(opened.folder + "/sessions"),
      combiner([this](std::vector<Operation*>& group) { return executor.execute(group); }, gathering),
      bell(
          opened.folder + "/bells", readers.open(), opened.options.poll, [this](unsigned hints) { hub->call(hints); },
          [this] { return !hub->empty(); }) {}

void SqliteStore::Parts::close_in_child() {
    in_use.close_in_child();
    executor.close_in_child();
    locks.close_in_child();
    bell.close_in_child();
}

SqliteStore::SqliteStore(Opened opened)
    : path_(opened.path),
      durability_(opened.options.durability),
      source_(source_of(opened.options.origin)),
      parts_(std::make_unique<Parts>(std::move(opened), source_)),
      fork_guard_({[this] { parts_->locks.before_fork(); }, [this] { parts_->locks.after_fork(); },
                   [this] { parts_->close_in_child(); }}) {}

SqliteStore::~SqliteStore() {
    // In a forked child all of it belongs to the parent: closing the database here would empty its log.
    if (fork_guard_.forked()) static_cast<void>(parts_.release());
}

Result<void> SqliteStore::usable() const {
    if (!fork_guard_.forked()) return {};
    return Error{Errc::invalid_argument, "this store was opened before fork(); open it again in the child"};
}

void SqliteStore::tell(unsigned hints) {
    parts_->hub->call(hints);
    parts_->bell.ring(hints);
}

Result<void> SqliteStore::write(Operation& operation) {
    JR_TRY(usable());
    if (const unsigned hints = parts_->combiner.submit(operation)) tell(hints);
    if (operation.error) return std::move(*operation.error);
    return {};
}

template <class Use>
auto SqliteStore::read(Use use) -> Result<decltype(use(std::declval<Connection&>(), std::declval<Words&>()))> {
    JR_TRY(usable());
    return parts_->readers.read(std::move(use));
}

Result<std::vector<InsertAnswer>> SqliteStore::insert(std::span<const NewJob> jobs, Time now) {
    const auto size = size_of(jobs);
    JR_TRY(core::check_batch(jobs));
    std::vector<InsertAnswer> answers;
    if (jobs.empty()) return answers;
    const InsertPlan plan(jobs);
    Operation operation{.run = [&] { insert_jobs(parts_->executor.writer(), plan, now, answers); },
                        .grows = true, .items = jobs.size(), .bytes = size};
    JR_TRY(write(operation));
    return answers;
}

Result<std::vector<InsertAnswer>> SqliteStore::restore(std::span<const Job> jobs, Time now) {
    JR_TRY(core::check_batch(jobs));
    std::vector<InsertAnswer> answers;
    if (jobs.empty()) return answers;
    const RestorePlan plan(jobs);
    Operation operation{.run = [&] { restore_jobs(parts_->executor.writer(), plan, now, answers); },
                        .grows = true, .items = jobs.size(), .bytes = limits::batch_bytes};
    JR_TRY(write(operation));
    return answers;
}

Result<Claimed> SqliteStore::claim(std::span<const Want> wants, SessionId session, ClaimMode mode, Time now) {
    std::size_t most = 0;
    for (const auto& want : wants) {
        JR_TRY(core::check_limit(want.limit, "limit of a want"));
        most += static_cast<std::size_t>(want.limit);
    }
    while (true) {
        RawClaim raw;
        Operation operation{.run = [&] { claim_jobs(parts_->executor.writer(), wants, session, mode, now, raw); },
                            .durable = false, .items = std::min(most + 1, limits::batch_items)};
        JR_TRY(write(operation));
        if (raw.session_gone) {
            return Error{Errc::conflict, "session " + session.str() +
                                             " is not there or was declared dead; beat with a new session first"};
        }
        Claimed claimed{{}, raw.solitary_waiting, raw.next_due};
        claimed.jobs.reserve(raw.jobs.size());
        std::vector<Settlement> unreadable;
        for (auto& one : raw.jobs) {
            auto job = finish_raw(one);
            if (job) {
                claimed.jobs.push_back(std::move(*job));
                continue;
            }
            Settlement end{.job = one.job.id, .fence = one.job.fence, .verdict = Verdict::failed};
            end.code = "CORRUPT";
            end.message = job.error().message;
            unreadable.push_back(std::move(end));
        }
        const bool any_unreadable = !unreadable.empty();
        const bool ended = end_unreadable(std::move(unreadable), now);
        // What stands behind them is not to wait until somebody asks again.
        if (!any_unreadable || !ended || !claimed.jobs.empty()) {
            if (any_unreadable) parts_->hub->call(hint_jobs);
            return claimed;
        }
    }
}

/// Ends claimed jobs whose stored text cannot be read, each alone: their neighbours go on. True when that is done;
/// what could not be written is kept for the next claim.
bool SqliteStore::end_unreadable(std::vector<Settlement> found, Time now) {
    const std::scoped_lock lock(unreadable_mutex_);
    for (auto& one : found) unreadable_.push_back(std::move(one));
    while (!unreadable_.empty()) {
        const auto size = std::min(unreadable_.size(), limits::batch_items);
        if (!settle(std::span(unreadable_).first(size), now)) return false;
        unreadable_.erase(unreadable_.begin(), unreadable_.begin() + static_cast<std::ptrdiff_t>(size));
    }
    return true;
}

Result<std::vector<SettleAnswer>> SqliteStore::settle(std::span<const Settlement> settlements, Time now) {
    const auto size = size_of(settlements);
    JR_TRY(core::check_batch(settlements));
    std::vector<SettleAnswer> answers;
    if (settlements.empty()) return answers;
    const SettlePlan plan(settlements);
    Operation operation{.run = [&] { settle_jobs(parts_->executor.writer(), plan, now, answers); },
                        .items = settlements.size(), .bytes = size};
    JR_TRY(write(operation));
    return answers;
}

Result<std::vector<NoteAnswer>> SqliteStore::note(std::span<const Note> notes, Time) {
    const auto size = size_of(notes);
    JR_TRY(core::check_batch(notes));
    std::vector<NoteAnswer> answers;
    if (notes.empty()) return answers;
    const bool durable =
        std::any_of(notes.begin(), notes.end(), [](const Note& note) { return note.step_name || note.forget_step; });
    Operation operation{.run = [&] { note_facts(parts_->executor.writer(), notes, answers); },
                        .durable = durable, .items = notes.size(), .bytes = size};
    JR_TRY(write(operation));
    return answers;
}

Result<Changed> SqliteStore::change(const Selection& which, const Change& change, int limit, std::string_view cursor,
                                    Time now) {
    JR_TRY(core::check_change(change, which));
    if (const auto* ids = std::get_if<std::vector<JobId>>(&which)) return change_ids(*ids, change, now);
    return change_slice(std::get<JobFilter>(which), change, limit, cursor, now);
}

Result<Changed> SqliteStore::change_ids(const std::vector<JobId>& ids, const Change& change, Time now) {
    JR_TRY(core::check_batch(std::span<const JobId>(ids)));
    Changed changed;
    if (ids.empty()) return changed;
    Operation operation{.run =
                            [&] {
                                auto& writer = parts_->executor.writer();
                                changed.answers.clear();
                                for (std::size_t i = 0; i < ids.size(); ++i) {
                                    const auto job = writer.job(ids[i]);
                                    if (job)
                                        changed.answers.push_back(change_job(writer, *job, change, core::seen_of(change, i), now));
                                    else
                                        changed.answers.push_back({ids[i], ChangeAnswer::How::not_found, {}, {}});
                                }
                            },
                        .items = ids.size()};
    JR_TRY(write(operation));
    return changed;
}

Result<Changed> SqliteStore::change_slice(const JobFilter& filter, const Change& change, int limit,
                                          std::string_view cursor, Time now) {
    const auto most = core::check_limit(limit, "limit");
    if (!most) return most.error();
    const auto from = read_cursor('c', cursor);
    if (!from) return from.error();
    // Looking for them needs no write turn; each is looked at again in it.
    auto found = read([&](Connection& connection, Words& words) {
        return matching(connection, filter, where_of(filter, words), JobOrder::oldest_first, *from, *most);
    });
    if (!found) return std::move(found).error();
    Changed changed;
    if (found->next) changed.next_cursor = write_cursor('c', *found->next);
    if (found->seqs.empty()) return changed;
    const auto apply = [&] {
        auto& writer = parts_->executor.writer();
        changed.answers.clear();
        const auto where = where_of(filter, writer.words());
        auto still = writer.connection().prepare("SELECT 1 FROM jobrt_job WHERE seq = ? AND " + where.sql());
        where.bind(still, 2);
        for (const auto seq : found->seqs) {
            if (Query row = still.query(seq); !row.next()) continue;
            changed.answers.push_back(change_job(writer, *writer.job(seq), change, nullptr, now));
        }
    };
    Operation operation{.run = apply, .items = found->seqs.size()};
    JR_TRY(write(operation));
    return changed;
}

Result<std::optional<Job>> SqliteStore::get(JobId id, unsigned parts) {
    auto raw = read([&](Connection& connection, Words& words) { return read_job(connection, words, id, parts); });
    if (!raw) return std::move(raw).error();
    if (!raw->has_value()) return std::optional<Job>{};
    auto job = finish_raw(**raw);
    if (!job) return std::move(job).error();
    return std::optional<Job>(std::move(*job));
}

Result<JobPage> SqliteStore::list(const JobFilter& filter, JobOrder order, std::string_view cursor, int limit,
                                  unsigned parts) {
    const auto most = core::check_limit(limit, "limit");
    if (!most) return most.error();
    const auto from = read_cursor(order == JobOrder::newest_first ? 'n' : 'o', cursor);
    if (!from) return from.error();
    auto page = read([&](Connection& connection, Words& words) {
        return list_jobs(connection, words, filter, order, *from, *most, parts);
    });
    if (!page) return std::move(page).error();
    JobPage answer{{}, std::move(page->next_cursor), {}};
    answer.jobs.reserve(page->jobs.size());
    for (auto& raw : page->jobs) {
        auto job = finish_raw(raw);
        if (job) answer.jobs.push_back(std::move(*job));
        else answer.unreadable.push_back(raw.job.id);
    }
    return answer;
}

Result<std::vector<CountRow>> SqliteStore::count(const JobFilter& filter, CountBy by) {
    auto counts = read([&](Connection& connection, Words& words) {
        return count_jobs(connection, words, filter, by, Effort::all, std::nullopt);
    });
    if (!counts) return std::move(counts).error();
    return std::move(counts->rows);
}

Result<Counts> SqliteStore::rough_count(const JobFilter& filter, CountBy by, std::string_view cursor) {
    const auto from = read_cursor('k', cursor);
    if (!from) return from.error();
    return read([&](Connection& connection, Words& words) {
        return count_jobs(connection, words, filter, by, Effort::bounded, *from);
    });
}

std::optional<std::uint64_t> SqliteStore::stamp() { return usable() ? parts_->readers.stamp() : std::nullopt; }

Result<BeatAnswer> SqliteStore::beat(SessionId session, const SessionFacts& facts, Time now) {
    JR_TRY(usable());
    if (!session) return Error{Errc::invalid_argument, "the zero session names nobody; make an id for it"};
    // The life of this process says nothing of a worker that comes by HTTP, perhaps from elsewhere: its beats alone do.
    const bool locked = !facts.stopped && facts.role != core::remote_role && parts_->locks.hold(session);
    const auto text = facts_to_text(facts);
    BeatAnswer answer;
    Operation operation{.run = [&] { beat_session(parts_->executor.writer(), session, facts, text, locked, now, answer); },
                        .durable = false};
    JR_TRY(write(operation));
    if (facts.stopped) parts_->locks.let_go(session);
    return answer;
}

Result<Recovered> SqliteStore::recover(SessionId session, std::uint64_t beat_seen, Loss loss, int limit, Time now) {
    const auto most = core::check_limit(limit, "limit");
    if (!most) return most.error();
    RawRecovery raw;
    Operation operation{
        .run = [&] { recover_session(parts_->executor.writer(), session, beat_seen, loss, *most, now, raw); },
        .items = static_cast<std::size_t>(*most)};
    JR_TRY(write(operation));
    Recovered recovered{raw.mine, raw.more, {}};
    for (auto& one : raw.jobs) {
        auto job = finish_raw(one);
        // It was recovered, whether its tags can be read or not.
        recovered.jobs.push_back(job ? std::move(*job) : std::move(one.job));
    }
    return recovered;
}

Result<std::vector<SessionInfo>> SqliteStore::sessions() {
    JR_TRY(usable());
    auto rows = parts_->readers.read([](Connection& connection, Words&) { return read_sessions(connection); },
                                     Readers::Place::further);
    if (!rows) return std::move(rows).error();
    std::vector<SessionInfo> sessions;
    for (auto& row : *rows) {
        row.info.facts = facts_from_text(row.facts);
        parts_->locks.look(row.info, row.locked);
        sessions.push_back(std::move(row.info));
    }
    return sessions;
}

Result<Tended> SqliteStore::tend(const Retention& retention, int budget, Time now) {
    const auto most = core::check_limit(budget, "budget");
    if (!most) return most.error();
    // Most of the time there is nothing to do, and then nothing is written.
    struct Look {
        bool needed;
        std::optional<Time> due;
    };
    auto look = read([&](Connection& connection, Words& words) {
        return Look{needs_tending(connection, words, retention, now), next_due(connection, now)};
    });
    if (!look) return std::move(look).error();
    if (!look->needed) return Tended{.next_due = look->due};
    TendWork work;
    Operation operation{.run = [&] { tend_store(parts_->executor.writer(), retention, *most, now, work); },
                        .items = static_cast<std::size_t>(*most)};
    JR_TRY(write(operation));
    for (const auto& session : work.sessions) parts_->locks.forget(session);
    return std::move(work.tended);
}

Result<EventPage> SqliteStore::events(std::optional<EventId> after, const EventFilter& filter, int limit) {
    const auto most = core::check_limit(limit, "limit");
    if (!most) return most.error();
    auto raw = read([&](Connection& connection, Words& words) { return read_events(connection, words, after, filter, *most); });
    if (!raw) return std::move(raw).error();
    return finish_events(std::move(*raw));
}

Result<std::vector<Record>> SqliteStore::records(std::string_view prefix) {
    return read([&](Connection& connection, Words&) { return read_records(connection, prefix); });
}

Result<std::uint64_t> SqliteStore::put(std::string_view key, std::optional<std::string_view> value,
                                       std::uint64_t expected) {
    JR_TRY(core::check_record(key, value));
    Result<std::uint64_t> version(std::uint64_t{0});
    Operation operation{.run = [&] { version = put_record(parts_->executor.writer(), key, value, expected); }};
    JR_TRY(write(operation));
    return version;
}

Subscription SqliteStore::on_change(std::function<void(unsigned)> callback) {
    if (!usable()) return {};
    auto subscription = parts_->hub->add(std::move(callback));
    parts_->bell.wake();
    return subscription;
}

std::string SqliteStore::describe() const { return "sqlite:" + path_; }

const std::string& SqliteStore::path() const { return path_; }

}  // namespace jobruntime::sqlite
