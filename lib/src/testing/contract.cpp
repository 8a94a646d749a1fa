// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "testing/contract.hpp"

namespace jobruntime::testing {
namespace contract {
namespace {

template <class Answer>
Answer first(Result<std::vector<Answer>> answers, Where where) {
    return only(must(std::move(answers), where), where);
}

std::unique_ptr<Store> opened(const StoreFactory& factory, Origin origin) {
    auto store = factory.open(std::move(origin));
    if (!store) broken("the factory opened no store", JOBRUNTIME_HERE);
    return store;
}

}  // namespace

void broken(const std::string& what, Where where) {
    throw Broken{std::string(where.file) + ":" + std::to_string(where.line) + ": " + what};
}

std::vector<JobId> ids_of(const std::vector<Job>& jobs) {
    std::vector<JobId> ids;
    for (const auto& job : jobs) ids.push_back(job.id);
    return ids;
}

Bench::Bench(const StoreFactory& factory)
    : me(session()), factory_(factory), store_(opened(factory, {.process = "bench", .role = "worker"})) {
    beat(me);
}

std::unique_ptr<Store> Bench::another(Origin origin) { return opened(factory_, std::move(origin)); }

void Bench::reopen() {
    store_.reset();
    store_ = opened(factory_, {.process = "bench", .role = "worker"});
}

JobId Bench::id() {
    JobId id;
    // The shape of a UUIDv7 made at noon.
    id.bytes = {0x01, 0x9c, 0xa9, 0x45, 0x0a, 0x00, 0x70, 0x00, 0x80};
    ++made_;
    for (int i = 0; i < 4; ++i) id.bytes[static_cast<std::size_t>(12 + i)] = static_cast<std::uint8_t>(made_ >> (24 - 8 * i));
    return id;
}

SessionId Bench::session() { return SessionId{id().bytes}; }

NewJob Bench::job(std::string kind) {
    NewJob made;
    made.id = id();
    made.kind = std::move(kind);
    made.run_at = now;
    return made;
}

InsertAnswer Bench::insert(const NewJob& given, Where where) { return first(store().insert({&given, 1}, now), where); }

JobId Bench::add(const NewJob& given, Where where) {
    const auto answer = insert(given, where);
    if (answer.refused) broken("a good job was refused: " + answer.refused->message, where);
    if (answer.how != InsertAnswer::How::inserted || answer.id != given.id) broken("a good job was not inserted", where);
    return given.id;
}

Want Bench::want(std::string queue, int limit, std::vector<std::string> kinds) {
    return {std::move(queue), std::move(kinds), limit};
}

Claimed Bench::claim_for(SessionId session, int limit, Where where) {
    const Want wanted = want("default", limit);
    return must(store().claim({&wanted, 1}, session, ClaimMode::ordinary, now), where);
}

Claimed Bench::claim(int limit, Where where) { return claim_for(me, limit, where); }

Claimed Bench::claim_alone(SessionId session, Where where) {
    const Want wanted = want();
    return must(store().claim({&wanted, 1}, session, ClaimMode::solitary, now), where);
}

Job Bench::claim_one_for(SessionId session, Where where) { return only(claim_for(session, 1, where).jobs, where); }

Job Bench::claim_one(Where where) { return claim_one_for(me, where); }

SettleAnswer Bench::settle(const Settlement& given, Where where) { return first(store().settle({&given, 1}, now), where); }

Settlement Bench::settlement(const Job& job, Verdict verdict) {
    Settlement made;
    made.job = job.id;
    made.fence = job.fence;
    made.verdict = verdict;
    made.run_at = noon + 1h;
    if (verdict == Verdict::completed) made.result = R"({"ok":true})";
    if (verdict == Verdict::retry || verdict == Verdict::failed) made.code = "TEST";
    if (verdict == Verdict::retry || verdict == Verdict::failed) made.message = "it went wrong";
    if (verdict == Verdict::snooze) made.message = "not now";
    return made;
}

SettleAnswer Bench::end(const Job& job, Verdict verdict, Where where) { return settle(settlement(job, verdict), where); }

NoteAnswer Bench::note(const Note& given, Where where) { return first(store().note({&given, 1}, now), where); }

Note Bench::note_of(const Job& job) {
    Note made;
    made.job = job.id;
    made.fence = job.fence;
    return made;
}

ChangeAnswer Bench::change(JobId id, const Change& wanted, Where where) {
    return only(must(store().change(std::vector{id}, wanted, 1, "", now), where).answers, where);
}

ChangeAnswer Bench::change(JobId id, Action action, Where where) {
    Change wanted;
    wanted.action = action;
    wanted.queue = "elsewhere";
    wanted.priority = 7;
    return change(id, wanted, where);
}

std::uint64_t Bench::beat(SessionId session, Where where) {
    SessionFacts facts;
    facts.host = "bench-host";
    facts.boot_id = "bench-boot";
    facts.role = "worker";
    facts.works = true;
    return must(store().beat(session, facts, now), where).beat;
}

Recovered Bench::lose(SessionId session, Loss loss, Where where) {
    std::uint64_t seen = 0;
    for (const auto& info : must(store().sessions(), where))
        if (info.id == session) seen = info.beat;
    return must(store().recover(session, seen, loss, 100, now), where);
}

void Bench::crash(JobId id, int times, Where where) {
    for (int i = 0; i < times; ++i) {
        const auto victim = session();
        beat(victim, where);
        now = std::max(now, get(id, where).run_at);
        auto taken = claim_for(victim, 1, where);
        if (taken.jobs.empty()) taken = claim_alone(victim, where);
        if (only(taken.jobs, where).id != id) broken("another job was claimed than the one to crash", where);
        lose(victim, Loss::crash, where);
    }
}

Job Bench::get(JobId id, Where where) {
    auto found = must(store().get(id, all_parts), where);
    if (!found) broken("job " + id.str() + " is not there", where);
    return *std::move(found);
}

bool Bench::exists(JobId id, Where where) { return must(store().get(id, 0), where).has_value(); }

JobId Bench::in_state(JobState state, NewJob from, Where where) {
    if (state == JobState::scheduled) from.run_at = now + 1h;
    const auto id = add(from, where);
    if (state == JobState::scheduled || state == JobState::queued) return id;
    const Want wanted = want(from.queue, 1, {from.kind});
    const auto taken = only(must(store().claim({&wanted, 1}, me, ClaimMode::ordinary, now), where).jobs, where);
    if (taken.id != id) broken("another job of this kind was waiting", where);
    if (state == JobState::completed) end(taken, Verdict::completed, where);
    if (state == JobState::failed) end(taken, Verdict::failed, where);
    if (state == JobState::canceled) end(taken, Verdict::canceled, where);
    return id;
}

std::vector<Event> Bench::events(const EventFilter& filter, Where where) {
    std::vector<Event> all;
    EventId after = 0;
    while (true) {
        auto page = must(store().events(after, filter, 500), where);
        all.insert(all.end(), page.events.begin(), page.events.end());
        if (page.events.size() < 500) return all;
        after = page.next;
    }
}

std::vector<Event> Bench::events_of(JobId id, Where where) {
    EventFilter filter;
    filter.job = id;
    return events(filter, where);
}

std::vector<std::string> Bench::event_names(JobId id, Where where) {
    std::vector<std::string> names;
    for (const auto& event : events_of(id, where)) names.push_back(event.name);
    return names;
}

Event Bench::last_event(JobId id, Where where) {
    auto all = events_of(id, where);
    if (all.empty()) broken("no event of job " + id.str(), where);
    return std::move(all.back());
}

std::string field(const Event& event, std::string_view name) {
    const auto* value = event.fields.if_contains(name);
    if (!value) return "-";
    if (value->is_string()) return std::string(value->get_string());
    return show(*value);
}

namespace {

Result<void> guarded(const Cases::Body& body, const StoreFactory& factory) {
    try {
        Bench bench(factory);
        return body(bench);
    } catch (const Broken& failure) {
        return Error{Errc::internal, "EXPECTATION_FAILED", failure.message};
    } catch (const std::exception& failure) {
        return Error{Errc::internal, "EXPECTATION_FAILED", std::string("an exception: ") + failure.what()};
    }
}

}  // namespace

void Cases::add(std::string name, Body body) {
    cases_.push_back({std::move(name),
                      [body = std::move(body)](const StoreFactory& factory) { return guarded(body, factory); }, false});
}

void Cases::add_shared(std::string name, Body body) {
    cases_.push_back({std::move(name),
                      [body = std::move(body)](const StoreFactory& factory) -> Result<void> {
                          if (!factory.shares_database) return {};
                          return guarded(body, factory);
                      },
                      true});
}

}  // namespace contract

const std::vector<ContractCase>& store_contract() {
    static const std::vector<ContractCase> all = [] {
        contract::Cases cases;
        contract::add_insert_cases(cases);
        contract::add_unique_cases(cases);
        contract::add_claim_cases(cases);
        contract::add_settle_cases(cases);
        contract::add_note_cases(cases);
        contract::add_change_cases(cases);
        contract::add_read_cases(cases);
        contract::add_session_cases(cases);
        contract::add_loss_cases(cases);
        contract::add_event_cases(cases);
        contract::add_actor_cases(cases);
        contract::add_upkeep_cases(cases);
        contract::add_record_cases(cases);
        contract::add_shared_cases(cases);
        contract::add_restore_cases(cases);
        return cases.take();
    }();
    return all;
}

}  // namespace jobruntime::testing
