// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/testing/faulty_store.hpp>

#include <array>
#include <mutex>

#include "core/ids.hpp"

namespace jobruntime::testing {
namespace {

constexpr std::size_t verb_count = static_cast<std::size_t>(Verb::restore) + 1;

constexpr std::array<std::string_view, verb_count> verb_names{"insert", "claim",  "settle",  "note",     "change",
                                                              "get",    "list",   "count",   "beat",     "recover",
                                                              "sessions", "tend", "events",  "records",  "put",
                                                              "restore"};

struct Script {
    Errc code = Errc::unavailable;
    int times = 0;
};

Error fault(Errc code, Verb verb, std::string_view when) {
    return {code, "FAULT",
            "a fault was put into " + std::string(verb_names[static_cast<std::size_t>(verb)]) + ", " + std::string(when)};
}

}  // namespace

struct FaultyStore::State {
    explicit State(const Faults& given) : faults(given), chance(given.seed) {}

    /// What happens to a call of `verb`: nothing, or a fault before or after it is done.
    enum class Fate { pass, before, after };
    Fate decide(Verb verb, Errc& code) {
        const std::lock_guard lock(mutex);
        const auto fail = [&](Fate fate, Errc with) {
            ++failed;
            code = with;
            return fate;
        };
        if (dead) return fail(Fate::before, Errc::unavailable);
        if (dies_after == verb) {
            dead = true;
            return fail(Fate::after, Errc::unavailable);
        }
        for (Script* script : {&of_verb[static_cast<std::size_t>(verb)], &of_any}) {
            if (script->times == 0) continue;
            --script->times;
            return fail(Fate::before, script->code);
        }
        if (faults.before <= 0 && faults.after <= 0) return Fate::pass;
        const double drawn = chance.random01();
        if (drawn < faults.before) return fail(Fate::before, Errc::unavailable);
        if (drawn < faults.before + faults.after) return fail(Fate::after, Errc::unavailable);
        return Fate::pass;
    }

    const Faults faults;
    core::IdSource chance;
    mutable std::mutex mutex;
    std::array<Script, verb_count> of_verb;  // Guarded by mutex, as is all below.
    Script of_any;
    std::optional<Verb> dies_after;
    bool dead = false;
    int failed = 0;
};

FaultyStore::FaultyStore(Store& store, Faults faults) : store_(store), state_(std::make_unique<State>(faults)) {}

FaultyStore::~FaultyStore() = default;

void FaultyStore::fail_next(Errc code, int times) {
    const std::lock_guard lock(state_->mutex);
    state_->of_any = {code, times};
}

void FaultyStore::fail_next(Verb verb, Errc code, int times) {
    const std::lock_guard lock(state_->mutex);
    state_->of_verb[static_cast<std::size_t>(verb)] = {code, times};
}

void FaultyStore::die_after_write(Verb verb) {
    const std::lock_guard lock(state_->mutex);
    state_->dies_after = verb;
}

void FaultyStore::heal() {
    const std::lock_guard lock(state_->mutex);
    state_->of_verb = {};
    state_->of_any = {};
    state_->dies_after.reset();
    state_->dead = false;
}

bool FaultyStore::dead() const {
    const std::lock_guard lock(state_->mutex);
    return state_->dead;
}

int FaultyStore::failures() const {
    const std::lock_guard lock(state_->mutex);
    return state_->failed;
}

template <class Call>
auto FaultyStore::through(Verb verb, Call call) -> decltype(call()) {
    Errc code{};
    switch (state_->decide(verb, code)) {
        case State::Fate::before: return fault(code, verb, "before it was done");
        case State::Fate::after: {
            const auto answer = call();
            return answer ? fault(code, verb, "after it was done") : answer.error();
        }
        case State::Fate::pass: break;
    }
    return call();
}

Result<std::vector<InsertAnswer>> FaultyStore::insert(std::span<const NewJob> jobs, Time now) {
    return through(Verb::insert, [&] { return store_.insert(jobs, now); });
}

Result<Claimed> FaultyStore::claim(std::span<const Want> wants, SessionId session, ClaimMode mode, Time now) {
    return through(Verb::claim, [&] { return store_.claim(wants, session, mode, now); });
}

Result<std::vector<SettleAnswer>> FaultyStore::settle(std::span<const Settlement> settlements, Time now) {
    return through(Verb::settle, [&] { return store_.settle(settlements, now); });
}

Result<std::vector<NoteAnswer>> FaultyStore::note(std::span<const Note> notes, Time now) {
    return through(Verb::note, [&] { return store_.note(notes, now); });
}

Result<Changed> FaultyStore::change(const Selection& which, const Change& wanted, int limit, std::string_view cursor,
                                    Time now) {
    return through(Verb::change, [&] { return store_.change(which, wanted, limit, cursor, now); });
}

Result<std::optional<Job>> FaultyStore::get(JobId id, unsigned parts) {
    return through(Verb::get, [&] { return store_.get(id, parts); });
}

Result<JobPage> FaultyStore::list(const JobFilter& filter, JobOrder order, std::string_view cursor, int limit,
                                  unsigned parts) {
    return through(Verb::list, [&] { return store_.list(filter, order, cursor, limit, parts); });
}

Result<std::vector<CountRow>> FaultyStore::count(const JobFilter& filter, CountBy by) {
    return through(Verb::count, [&] { return store_.count(filter, by); });
}

Result<Counts> FaultyStore::rough_count(const JobFilter& filter, CountBy by, std::string_view cursor) {
    return through(Verb::count, [&] { return store_.rough_count(filter, by, cursor); });
}

Result<BeatAnswer> FaultyStore::beat(SessionId session, const SessionFacts& facts, Time now) {
    return through(Verb::beat, [&] { return store_.beat(session, facts, now); });
}

Result<Recovered> FaultyStore::recover(SessionId session, std::uint64_t beat_seen, Loss loss, int limit, Time now) {
    return through(Verb::recover, [&] { return store_.recover(session, beat_seen, loss, limit, now); });
}

Result<std::vector<SessionInfo>> FaultyStore::sessions() {
    return through(Verb::sessions, [&] { return store_.sessions(); });
}

Result<Tended> FaultyStore::tend(const Retention& retention, int budget, Time now) {
    return through(Verb::tend, [&] { return store_.tend(retention, budget, now); });
}

Result<EventPage> FaultyStore::events(std::optional<EventId> after, const EventFilter& filter, int limit) {
    return through(Verb::events, [&] { return store_.events(after, filter, limit); });
}

Result<std::vector<Record>> FaultyStore::records(std::string_view prefix) {
    return through(Verb::records, [&] { return store_.records(prefix); });
}

Result<std::uint64_t> FaultyStore::put(std::string_view key, std::optional<std::string_view> value,
                                       std::uint64_t expected) {
    return through(Verb::put, [&] { return store_.put(key, value, expected); });
}

Subscription FaultyStore::on_change(std::function<void(unsigned)> callback) {
    return store_.on_change(std::move(callback));
}

Result<std::vector<InsertAnswer>> FaultyStore::restore(std::span<const Job> jobs, Time now) {
    return through(Verb::restore, [&] { return store_.restore(jobs, now); });
}

std::string FaultyStore::describe() const { return "faulty " + store_.describe(); }

}  // namespace jobruntime::testing
