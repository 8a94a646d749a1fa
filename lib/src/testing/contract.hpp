// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/testing/expect.hpp>
#include <jobruntime/testing/store_contract.hpp>

/// What the cases of the store contract are written with.
namespace jobruntime::testing::contract {

using namespace std::chrono_literals;

inline constexpr Time noon = std::chrono::sys_days{std::chrono::year{2026} / 3 / 1} + std::chrono::hours{12};

/// Who called, as a default argument; std::source_location, which clang 14 has not.
struct Where {
    const char* file;
    int line;
};
#define JOBRUNTIME_HERE ::jobruntime::testing::contract::Where{__builtin_FILE(), __builtin_LINE()}

/// Thrown inside a case; becomes its error.
struct Broken {
    std::string message;
};

[[noreturn]] void broken(const std::string& what, Where where);

/// The value, or the end of the case.
template <class T>
T must(Result<T> result, Where where = JOBRUNTIME_HERE) {
    if (!result) broken(show(result), where);
    return *std::move(result);
}
template <class T>
T only(std::vector<T> list, Where where = JOBRUNTIME_HERE) {
    if (list.size() != 1) broken("one answer was expected, there are " + std::to_string(list.size()), where);
    return std::move(list.front());
}
/// The newest of a list that must not be empty; a copy.
template <class T>
T last_of(const std::vector<T>& list, Where where = JOBRUNTIME_HERE) {
    if (list.empty()) broken("an empty list, where there should be something", where);
    return list.back();
}
/// The code of an error that must be one.
template <class T>
Errc code_of(const Result<T>& result, Where where = JOBRUNTIME_HERE) {
    if (result) broken("an error was expected", where);
    return result.error().code;
}

std::vector<JobId> ids_of(const std::vector<Job>& jobs);

/// One fresh database with one store on it and one session that claims.
class Bench {
    std::uint32_t made_ = 0;  // First: making `me` needs it.

public:
    explicit Bench(const StoreFactory& factory);

    Store& store() { return *store_; }
    /// Another store on the same database.
    std::unique_ptr<Store> another(Origin origin = {});
    /// Closes the store and opens the database again.
    void reopen();

    Time now = noon;
    const SessionId me;

    /// A job with the next id; ids rise in the order of asking.
    NewJob job(std::string kind = "test.a");
    SessionId session();
    JobId id();

    InsertAnswer insert(const NewJob& job, Where where = JOBRUNTIME_HERE);
    /// A new job that is certain to be stored.
    JobId add(const NewJob& job, Where where = JOBRUNTIME_HERE);
    JobId add(Where where = JOBRUNTIME_HERE) { return add(job(), where); }

    static Want want(std::string queue = "default", int limit = 1,
                     std::vector<std::string> kinds = {"test.a", "test.b", "test.c"});
    /// By default up to `limit` jobs of the queue "default" for `me`.
    Claimed claim(int limit = 1, Where where = JOBRUNTIME_HERE);
    Claimed claim_for(SessionId session, int limit = 1, Where where = JOBRUNTIME_HERE);
    Claimed claim_alone(SessionId session, Where where = JOBRUNTIME_HERE);
    Job claim_one(Where where = JOBRUNTIME_HERE);
    Job claim_one_for(SessionId session, Where where = JOBRUNTIME_HERE);

    SettleAnswer settle(const Settlement& settlement, Where where = JOBRUNTIME_HERE);
    static Settlement settlement(const Job& job, Verdict verdict);
    SettleAnswer end(const Job& job, Verdict verdict, Where where = JOBRUNTIME_HERE);
    NoteAnswer note(const Note& note, Where where = JOBRUNTIME_HERE);
    static Note note_of(const Job& job);
    ChangeAnswer change(JobId id, const Change& change, Where where = JOBRUNTIME_HERE);
    ChangeAnswer change(JobId id, Action action, Where where = JOBRUNTIME_HERE);

    std::uint64_t beat(SessionId session, Where where = JOBRUNTIME_HERE);
    /// Takes all jobs away from a session, as one that knows its counter.
    Recovered lose(SessionId session, Loss loss, Where where = JOBRUNTIME_HERE);
    /// Lets the process under the job vanish `times` times, claiming it for a new session each time;
    /// afterwards it runs nowhere.
    void crash(JobId id, int times, Where where = JOBRUNTIME_HERE);

    Job get(JobId id, Where where = JOBRUNTIME_HERE);
    bool exists(JobId id, Where where = JOBRUNTIME_HERE);
    /// A new job that stands in `state`.
    JobId in_state(JobState state, NewJob from, Where where = JOBRUNTIME_HERE);
    JobId in_state(JobState state, Where where = JOBRUNTIME_HERE) { return in_state(state, job(), where); }

    /// All events, page by page.
    std::vector<Event> events(const EventFilter& filter = {}, Where where = JOBRUNTIME_HERE);
    std::vector<Event> events_of(JobId id, Where where = JOBRUNTIME_HERE);
    std::vector<std::string> event_names(JobId id, Where where = JOBRUNTIME_HERE);
    Event last_event(JobId id, Where where = JOBRUNTIME_HERE);

private:
    const StoreFactory& factory_;
    std::unique_ptr<Store> store_;
};

/// A field of an event as text, numbers too; "-" when it is not there.
std::string field(const Event& event, std::string_view name);

/// Collects cases; a body throws Broken or returns the error of JR_EXPECT.
class Cases {
public:
    using Body = std::function<Result<void>(Bench&)>;

    void add(std::string name, Body body);
    /// Needs two stores at once on one database.
    void add_shared(std::string name, Body body);
    std::vector<ContractCase> take() { return std::move(cases_); }

private:
    std::vector<ContractCase> cases_;
};

void add_insert_cases(Cases& cases);
void add_unique_cases(Cases& cases);
void add_claim_cases(Cases& cases);
void add_settle_cases(Cases& cases);
void add_note_cases(Cases& cases);
void add_change_cases(Cases& cases);
void add_read_cases(Cases& cases);
void add_session_cases(Cases& cases);
void add_loss_cases(Cases& cases);
void add_event_cases(Cases& cases);
void add_actor_cases(Cases& cases);
void add_upkeep_cases(Cases& cases);
void add_record_cases(Cases& cases);
void add_shared_cases(Cases& cases);
void add_restore_cases(Cases& cases);

}  // namespace jobruntime::testing::contract
