// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <thread>
#include <utility>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/memory.hpp>
#include <jobruntime/sqlite.hpp>
#include <jobruntime/testing/faulty_store.hpp>
#include <jobruntime/worker.hpp>

#include "host/src/store_copy.hpp"
#include "unit/host/must.hpp"

using namespace jobruntime;
using namespace jobruntime::host;
using jobruntime::tests::must;

namespace {

/// A folder that is gone afterwards.
struct Folder {
    Folder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "jobrt-copy-XXXXXX").string();
        path = mkdtemp(pattern.data());
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::unique_ptr<Store> store(const std::string& name) const {
        sqlite::Options options;
        options.ballast_bytes = 0;
        auto opened = sqlite::open(path + "/" + name, options);
        REQUIRE(opened.has_value());
        return std::move(*opened);
    }
    std::string path;
};

/// Ended, failing and waiting jobs, with steps, tags, keys and events.
void fill(Store& store, int jobs) {
    JobQueue queue(store);
    {
        Worker worker(store);
        worker.on("copy.good", [](JobContext& context) -> Outcome {
            auto step = context.step("one", [] {
                return Result<boost::json::value>(boost::json::value{{"n", 1}});
            });
            context.log("half way");
            return step ? completed({{"path", "a/b"}}) : retry("STEP", "no step");
        });
        worker.on("copy.bad", [](JobContext&) -> Outcome { return failed("BROKEN", "for good"); });
        REQUIRE(worker.start());
        for (int i = 0; i < jobs; ++i) {
            EnqueueOptions options;
            options.unique = "key-" + std::to_string(i);
            options.unique_states = {JobState::completed};
            options.idempotency_key = "request-" + std::to_string(i);
            options.idempotency_hash = "hash";
            options.tags = {"tag"};
            const auto id =
                must(queue.enqueue(i % 3 == 2 ? "copy.bad" : "copy.good", {{"i", i}}, options)).id;
            REQUIRE(must(queue.wait(id, Duration{20'000})).finished_at);
        }
        worker.stop();
    }
    EnqueueOptions later;
    later.delay = Duration{3'600'000};
    must(queue.enqueue("copy.good", {{"later", true}}, later));
    must(queue.enqueue("copy.nobody", {{"text", std::string(100'000, 'x')}}));
    must(store.put("platform/x", "false", 0));
}

std::vector<Job> jobs_of(Store& store) {
    return must(store.list({}, JobOrder::oldest_first, "", 2000, all_parts)).jobs;
}

/// Events without their ids and without what restoring wrote.
std::vector<Event> events_of(Store& store) {
    std::vector<Event> all;
    for (auto& event : must(store.events(EventId{0}, {}, 2000)).events) {
        if (event.name == "jobs.restored") continue;
        event.id = 0;
        all.push_back(std::move(event));
    }
    return all;
}

/// Acknowledges what it does not keep: what no store may do, and what the verification is there for.
class Forgetful final : public Store {
public:
    explicit Forgetful(Store& store) : store_(store) {}
    bool drop_event = false, drop_record = false, drop_job = false;

    Result<std::vector<InsertAnswer>> insert(std::span<const NewJob> jobs, Time now) override {
        return store_.insert(jobs, now);
    }
    Result<Claimed> claim(std::span<const Want> wants, SessionId session, ClaimMode mode, Time now) override {
        return store_.claim(wants, session, mode, now);
    }
    Result<std::vector<SettleAnswer>> settle(std::span<const Settlement> all, Time now) override {
        return store_.settle(all, now);
    }
    Result<std::vector<NoteAnswer>> note(std::span<const Note> notes, Time now) override {
        std::vector<Note> kept(notes.begin(), notes.end());
        if (std::exchange(drop_event, false)) kept.front().events.pop_back();
        return store_.note(kept, now);
    }
    Result<Changed> change(const Selection& which, const Change& change, int limit, std::string_view cursor,
                           Time now) override {
        return store_.change(which, change, limit, cursor, now);
    }
    Result<std::optional<Job>> get(JobId id, unsigned parts) override { return store_.get(id, parts); }
    Result<JobPage> list(const JobFilter& filter, JobOrder order, std::string_view cursor, int limit,
                         unsigned parts) override {
        return store_.list(filter, order, cursor, limit, parts);
    }
    Result<std::vector<CountRow>> count(const JobFilter& filter, CountBy by) override {
        return store_.count(filter, by);
    }
    Result<BeatAnswer> beat(SessionId session, const SessionFacts& facts, Time now) override {
        return store_.beat(session, facts, now);
    }
    Result<Recovered> recover(SessionId session, std::uint64_t seen, Loss loss, int limit, Time now) override {
        return store_.recover(session, seen, loss, limit, now);
    }
    Result<std::vector<SessionInfo>> sessions() override { return store_.sessions(); }
    Result<Tended> tend(const Retention& retention, int budget, Time now) override {
        return store_.tend(retention, budget, now);
    }
    Result<EventPage> events(std::optional<EventId> after, const EventFilter& filter, int limit) override {
        return store_.events(after, filter, limit);
    }
    Result<std::vector<Record>> records(std::string_view prefix) override { return store_.records(prefix); }
    Result<std::uint64_t> put(std::string_view key, std::optional<std::string_view> value,
                              std::uint64_t expected) override {
        if (drop_record && key == "platform/x") return std::uint64_t{1};
        return store_.put(key, value, expected);
    }
    [[nodiscard]] Subscription on_change(std::function<void(unsigned hints)> callback) override {
        return store_.on_change(std::move(callback));
    }
    std::string describe() const override { return store_.describe(); }
    Result<std::vector<InsertAnswer>> restore(std::span<const Job> jobs, Time now) override {
        if (!std::exchange(drop_job, false)) return store_.restore(jobs, now);
        std::vector<InsertAnswer> answers(jobs.size());
        return answers;
    }

private:
    Store& store_;
};

void same(Store& from, Store& to) {
    CHECK(jobs_of(from) == jobs_of(to));
    CHECK(events_of(from) == events_of(to));
    CHECK(must(to.records("platform/x")).front().value == "false");
}

}  // namespace

TEST_CASE("a copy has the jobs, the events and the records of the source, from memory to SQLite and back") {
    const Folder folder;
    auto from = memory::open();
    fill(*from, 12);
    auto file = folder.store("a.db");
    const auto report = must(copy_store(*from, *file, system_clock()));
    CHECK(report.jobs == 14);
    CHECK(report.jobs_copied == 14);
    CHECK(report.jobs_known == 0);
    CHECK(report.events_copied == events_of(*from).size());
    CHECK(report.records_copied == 1);
    same(*from, *file);

    auto back = memory::open();
    const auto second = must(copy_store(*file, *back, system_clock()));
    CHECK(second.jobs_copied == 14);
    CHECK(jobs_of(*from) == jobs_of(*back));
    // What another store has answered once is answered by the copy.
    JobQueue queue(*back);
    EnqueueOptions options;
    options.unique = "key-0";
    CHECK(must(queue.enqueue("copy.good", {}, options)).how == InsertAnswer::How::existing);
}

TEST_CASE("a second copy goes on: it copies what is new, and nothing twice") {
    const Folder folder;
    auto from = folder.store("from.db");
    auto to = folder.store("to.db");
    fill(*from, 5);
    CopyOptions small;
    small.page = 3;
    must(copy_store(*from, *to, system_clock(), small));
    auto again = must(copy_store(*from, *to, system_clock(), small));
    CHECK(again.jobs_copied == 0);
    CHECK(again.jobs_known == 7);
    CHECK(again.events_copied == 0);
    CHECK(again.records_known == 1);
    same(*from, *to);

    // The target goes its way: a job is deleted there, and does not come back.
    const auto gone = jobs_of(*to).front();
    Change remove;
    remove.action = Action::remove;
    must(to->change(std::vector{gone.id}, remove, 1, "", system_clock().wall()));
    JobQueue queue(*from);
    const auto fresh = must(queue.enqueue("copy.nobody", {{"new", true}})).id;
    again = must(copy_store(*from, *to, system_clock(), small));
    CHECK(again.jobs == 8);
    CHECK(again.jobs_copied == 1);
    CHECK(again.jobs_gone == 1);
    CHECK(again.jobs_known == 6);
    CHECK(again.events_copied == 1);
    CHECK(must(to->get(fresh, 0)).has_value());
    CHECK_FALSE(must(to->get(gone.id, 0)).has_value());
}

TEST_CASE("wherever a copy is interrupted, the next one ends it without loss or repeat") {
    const Folder folder;
    auto from = folder.store("from.db");
    fill(*from, 4);
    int interruptions = 0;
    for (int fault = 0; fault < 400; ++fault) {
        auto to = memory::open();
        bool whole = false;
        for (int calls = 0; !whole && calls < 3; ++calls) {
            testing::FaultyStore shaky(*to);
            // Once before and once after the write, at every call in turn.
            const auto verb = std::array{testing::Verb::restore, testing::Verb::note,
                                         testing::Verb::put}[static_cast<std::size_t>(fault % 3)];
            testing::FaultyStore counting(
                shaky, {.seed = static_cast<std::uint64_t>(fault), .before = 0.02, .after = 0.05});
            if (calls == 0 && fault % 2 == 0) shaky.die_after_write(verb);
            CopyOptions small;
            small.page = 2;
            auto report =
                copy_store(*from, calls < 2 ? static_cast<Store&>(counting) : *to, system_clock(), small);
            whole = report.has_value();
            if (!whole) {
                ++interruptions;
                CHECK_MESSAGE(report.error().code == Errc::unavailable, report.error().message);
            }
        }
        CAPTURE(fault);
        REQUIRE(whole);
        CHECK(jobs_of(*from) == jobs_of(*to));
        REQUIRE(events_of(*from) == events_of(*to));
    }
    MESSAGE(interruptions << " interruptions");
    CHECK(interruptions > 200);
}

TEST_CASE("a clash with jobs of the target is told before anything is copied") {
    auto from = memory::open();
    auto to = memory::open();
    fill(*from, 3);
    JobQueue queue(*to);
    EnqueueOptions options;
    options.unique = "key-1";
    const auto other = must(queue.enqueue("copy.good", {}, options)).id;
    auto refused = copy_store(*from, *to, system_clock());
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().name == "STORE_COPY_CONFLICT");
    CHECK(refused.error().message.find(other.str()) != std::string::npos);
    CHECK(jobs_of(*to).size() == 1);
    Change remove;
    remove.action = Action::remove;
    must(to->change(std::vector{other}, remove, 1, "", system_clock().wall()));
    EnqueueOptions request;
    request.idempotency_key = "request-0";
    const auto same_request = must(queue.enqueue("copy.good", {}, request)).id;
    refused = copy_store(*from, *to, system_clock());
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().message.find(same_request.str()) != std::string::npos);
    must(to->change(std::vector{same_request}, remove, 1, "", system_clock().wall()));
    CHECK(must(copy_store(*from, *to, system_clock())).jobs_copied == 5);
}

TEST_CASE("a record that the target has its own value for is kept and named") {
    auto from = memory::open();
    auto to = memory::open();
    must(from->put("platform/x", "false", 0));
    must(from->put("queue/default", "1", 0));
    must(to->put("platform/x", "true", 0));
    const auto report = must(copy_store(*from, *to, system_clock()));
    CHECK(report.records_kept == std::vector<std::string>{"platform/x"});
    CHECK(report.records_copied == 1);
    CHECK(must(to->records("platform/x")).front().value == "true");
}

TEST_CASE("a source in use is refused, a source whose worker died is copied with its running jobs waiting") {
    auto from = memory::open();
    auto to = memory::open();
    JobQueue queue(*from);
    const auto id = must(queue.enqueue("copy.good", {{"n", 1}})).id;
    const auto doomed = must(queue.enqueue("copy.good", {{"n", 2}})).id;
    SessionId session;
    session.bytes[0] = 1;
    SessionFacts facts;
    facts.host = "there";
    facts.pid = 4711;
    facts.works = true;
    const auto now = system_clock().wall();
    must(from->beat(session, facts, now));
    const Want want{"default", {"copy.good"}, 2};
    REQUIRE(must(from->claim({&want, 1}, session, ClaimMode::ordinary, now)).jobs.size() == 2);
    must(queue.cancel(doomed));
    const auto refused = copy_store(*from, *to, system_clock());
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().name == "STORE_IN_USE");
    CHECK(refused.error().message.find("4711") != std::string::npos);
    CHECK(must(to->records("")).empty());

    CopyOptions soon;
    soon.lease = Duration{0};
    soon.heartbeat = Duration{1'000};
    must(from->beat(session, facts, now - Duration{600'000}));
    {
        // A slow clock makes old what is new; the counter gives it away.
        std::jthread beating([&](const std::stop_token& stop) {
            for (; !stop.stop_requested(); std::this_thread::sleep_for(std::chrono::milliseconds(20)))
                static_cast<void>(from->beat(session, facts, now - Duration{600'000}).has_value());
        });
        const auto slow = copy_store(*from, *to, system_clock(), soon);
        REQUIRE_FALSE(slow.has_value());
        CHECK(slow.error().name == "STORE_IN_USE");
    }
    const auto report = must(copy_store(*from, *to, system_clock(), soon));
    CHECK(report.interrupted == 2);
    const auto copied = must(to->get(id, all_parts)).value();
    CHECK(copied.state == JobState::queued);
    CHECK(copied.attempt == 0);
    CHECK(must(to->get(doomed, 0))->state == JobState::canceled);
}

TEST_CASE("what a target acknowledges and does not keep is counted, and the copy is called incomplete") {
    auto from = memory::open();
    fill(*from, 3);
    const auto events = std::to_string(events_of(*from).size());
    struct Row {
        bool Forgetful::* drops;
        std::string said;
    };
    const Row rows[] = {{&Forgetful::drop_job, "5 of 5 jobs, 0 of " + events + " events and 0 of 1 records"},
                        {&Forgetful::drop_event, "0 of 5 jobs, 1 of " + events + " events and 0 of 1 records"},
                        {&Forgetful::drop_record, "0 of 5 jobs, 0 of " + events + " events and 1 of 1 records"}};
    for (const auto& row : rows) {
        CAPTURE(row.said);
        auto to = memory::open();
        Forgetful target(*to);
        target.*row.drops = true;
        const auto refused = copy_store(*from, target, system_clock());
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().code == Errc::corrupt);
        CHECK(refused.error().name == "STORE_COPY_INCOMPLETE");
        CHECK_MESSAGE(refused.error().message.starts_with(row.said), refused.error().message);
    }
    // Control: in front of nothing that is dropped it is no obstacle.
    auto to = memory::open();
    Forgetful target(*to);
    const auto report = must(copy_store(*from, target, system_clock()));
    CHECK(report.jobs == 5);
    CHECK(std::to_string(report.events) == events);
    CHECK(report.events == report.events_copied);
    CHECK(report.events_gone == 0);
    CHECK(report.records == 1);
}

TEST_CASE("events that the target no longer keeps are no loss, and are told") {
    auto from = memory::open();
    auto to = memory::open();
    fill(*from, 3);
    must(copy_store(*from, *to, system_clock()));
    Retention few;
    few.event_count = 4;
    must(to->tend(few, 1000, system_clock().wall()));
    const auto report = must(copy_store(*from, *to, system_clock()));
    CHECK(report.events_copied == 0);
    CHECK(report.events_gone > 0);
    CHECK(report.events_gone < report.events);
}

TEST_CASE("a damaged job stops a copy by name, instead of arriving without its payload") {
    const Folder folder;
    JobId spoiled;
    {
        auto store = folder.store("from.db");
        JobQueue queue(*store);
        must(queue.enqueue("copy.good", {}));
        spoiled = must(queue.enqueue("copy.good", {{"spoil", "me"}})).id;
    }
    {
        std::fstream file(folder.path + "/from.db", std::ios::in | std::ios::out | std::ios::binary);
        const std::string all{std::istreambuf_iterator<char>(file), {}};
        const auto at = all.find(R"({"spoil":"me"})");
        REQUIRE(at != std::string::npos);
        file.seekp(static_cast<std::streamoff>(at)).write("!", 1);
    }
    auto from = folder.store("from.db");
    auto to = memory::open();
    const auto refused = copy_store(*from, *to, system_clock());
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().name == "STORE_COPY_DAMAGED");
    CHECK(refused.error().message.find(spoiled.str()) != std::string::npos);
    // Without it, the copy goes on.
    Change remove;
    remove.action = Action::remove;
    must(from->change(std::vector{spoiled}, remove, 1, "", system_clock().wall()));
    CHECK(must(copy_store(*from, *to, system_clock())).jobs_copied == 1);
}

TEST_CASE("a store is not copied into itself") {
    const Folder folder;
    auto one = folder.store("a.db");
    auto other = folder.store("a.db");
    fill(*one, 1);
    auto refused = copy_store(*one, *other, system_clock());
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().name == "SAME_STORE");
    CHECK(jobs_of(*one).size() == 3);
}
