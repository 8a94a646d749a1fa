// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/memory.hpp>

#include "core/bounds.hpp"
#include "core/ids.hpp"
#include "core/memory_database.hpp"

namespace jobruntime::memory {
namespace {

/// Checks what a call must keep, takes the lock, and tells the others afterwards.
class MemoryStore final : public Store {
public:
    MemoryStore(std::shared_ptr<Database> database, Origin origin)
        : database_(std::move(database)), origin_(std::move(origin)) {
        if (origin_.process.empty()) origin_.process = core::IdSource().session(system_clock().wall()).str();
    }

    Result<std::vector<InsertAnswer>> insert(std::span<const NewJob> jobs, Time now) override {
        JR_TRY(core::check_batch(jobs));
        return each<InsertAnswer>(jobs, [&](const NewJob& job) {
            InsertAnswer refused;
            refused.refused = core::refusal(job);
            return refused.refused ? refused : database_->insert(job, origin_, now);
        });
    }

    Result<std::vector<InsertAnswer>> restore(std::span<const Job> jobs, Time now) override {
        JR_TRY(core::check_batch(jobs));
        return each<InsertAnswer>(jobs, [&](const Job& job) {
            InsertAnswer refused;
            refused.refused = core::refusal(job);
            return refused.refused ? refused : database_->restore(job, origin_, now);
        });
    }

    Result<Claimed> claim(std::span<const Want> wants, SessionId session, ClaimMode mode, Time now) override {
        return locked([&] { return database_->claim(wants, session, mode, origin_, now); });
    }

    Result<std::vector<SettleAnswer>> settle(std::span<const Settlement> settlements, Time now) override {
        JR_TRY(core::check_batch(settlements));
        return each<SettleAnswer>(settlements, [&](const Settlement& settlement) {
            return database_->settle(settlement, origin_, now);
        });
    }

    Result<std::vector<NoteAnswer>> note(std::span<const Note> notes, Time) override {
        JR_TRY(core::check_batch(notes));
        return each<NoteAnswer>(notes, [&](const Note& note) { return database_->note(note, origin_); });
    }

    Result<Changed> change(const Selection& which, const Change& change, int limit, std::string_view cursor,
                           Time now) override {
        JR_TRY(core::check_change(change, which));
        if (const auto* filter = std::get_if<JobFilter>(&which)) {
            const auto most = core::check_limit(limit, "the limit of a change");
            if (!most) return most.error();
            return locked([&] { return database_->change(*filter, change, *most, cursor, origin_, now); });
        }
        const auto& ids = std::get<std::vector<JobId>>(which);
        JR_TRY(core::check_batch(std::span(ids)));
        std::size_t i = 0;
        auto answers = each<ChangeAnswer>(std::span(ids), [&](JobId id) {
            return database_->change(id, change, origin_, now, core::seen_of(change, i++));
        });
        if (!answers) return std::move(answers).error();
        return Changed{*std::move(answers), {}};
    }

    Result<std::optional<Job>> get(JobId id, unsigned parts) override {
        return locked([&]() -> Result<std::optional<Job>> { return database_->get(id, parts); });
    }

    Result<JobPage> list(const JobFilter& filter, JobOrder order, std::string_view cursor, int limit,
                         unsigned parts) override {
        const auto most = core::check_limit(limit, "the limit of a list");
        if (!most) return most.error();
        return locked([&] { return database_->list(filter, order, cursor, *most, parts); });
    }

    Result<std::vector<CountRow>> count(const JobFilter& filter, CountBy by) override {
        return locked([&]() -> Result<std::vector<CountRow>> { return database_->count(filter, by); });
    }

    Result<BeatAnswer> beat(SessionId session, const SessionFacts& facts, Time now) override {
        if (!session) return Error{Errc::invalid_argument, "the zero session cannot beat; make an id for it"};
        return locked([&]() -> Result<BeatAnswer> { return database_->beat(session, facts, now); });
    }

    Result<Recovered> recover(SessionId session, std::uint64_t beat_seen, Loss loss, int limit, Time now) override {
        const auto most = core::check_limit(limit, "the limit of a recovery");
        if (!most) return most.error();
        return locked([&]() -> Result<Recovered> {
            return database_->recover(session, beat_seen, loss, *most, origin_, now);
        });
    }

    Result<std::vector<SessionInfo>> sessions() override {
        return locked([&]() -> Result<std::vector<SessionInfo>> { return database_->sessions(); });
    }

    Result<Tended> tend(const Retention& retention, int budget, Time now) override {
        const auto most = core::check_limit(budget, "the budget of upkeep");
        if (!most) return most.error();
        return locked([&]() -> Result<Tended> { return database_->tend(retention, *most, origin_, now); });
    }

    Result<EventPage> events(std::optional<EventId> after, const EventFilter& filter, int limit) override {
        const auto most = core::check_limit(limit, "the limit of events");
        if (!most) return most.error();
        return locked([&]() -> Result<EventPage> { return database_->events(after, filter, *most); });
    }

    Result<std::vector<Record>> records(std::string_view prefix) override {
        return locked([&]() -> Result<std::vector<Record>> { return database_->records(prefix); });
    }

    Result<std::uint64_t> put(std::string_view key, std::optional<std::string_view> value,
                              std::uint64_t expected) override {
        JR_TRY(core::check_record(key, value));
        return locked([&] { return database_->put(key, value, expected); });
    }

    Subscription on_change(std::function<void(unsigned)> callback) override {
        return database_->hints().subscribe(std::move(callback));
    }

    std::string describe() const override { return "memory"; }

private:
    template <class Function>
    auto locked(Function&& function) -> decltype(function()) {
        // Before the lock, which a forked child may have inherited in the hands of no thread.
        if (database_->forked())
            return Error{Errc::invalid_argument, "this memory store belongs to the parent process; open one after fork()"};
        std::unique_lock lock(database_->mutex());
        auto answer = function();
        const unsigned hints = database_->take_hints();
        lock.unlock();
        database_->hints().tell(hints);
        return answer;
    }

    template <class Answer, class Item, class Function>
    Result<std::vector<Answer>> each(std::span<const Item> items, Function&& function) {
        return locked([&]() -> Result<std::vector<Answer>> {
            std::vector<Answer> answers;
            answers.reserve(items.size());
            for (const auto& item : items) answers.push_back(function(item));
            return answers;
        });
    }

    const std::shared_ptr<Database> database_;
    Origin origin_;
};

}  // namespace

std::shared_ptr<Database> make_database(Controls controls) { return std::make_shared<Database>(std::move(controls)); }

std::unique_ptr<Store> open(std::shared_ptr<Database> database, Origin origin) {
    return std::make_unique<MemoryStore>(std::move(database), std::move(origin));
}

std::unique_ptr<Store> open(Origin origin) { return open(make_database(), std::move(origin)); }

}  // namespace jobruntime::memory
