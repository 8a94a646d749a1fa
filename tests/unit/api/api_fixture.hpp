// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include <jobruntime/api_router.hpp>
#include <jobruntime/job_queue.hpp>
#include <jobruntime/memory.hpp>

namespace api_test {

using namespace jobruntime;

/// Stands still until it is moved.
class StillClock : public Clock {
public:
    Time wall() const override { return Time{Duration{1'767'225'600'000}} + Duration{moved_.load()}; }
    SteadyTime steady() const override { return SteadyTime{Duration{1'000'000'000} + Duration{moved_.load()}}; }
    Woken wait_until(SteadyTime, Wakeup&, std::stop_token stop) override {
        std::this_thread::yield();
        return stop.stop_requested() ? Woken::stopped : Woken::deadline;
    }
    void advance(Duration by) { moved_ += by.count(); }

private:
    std::atomic<std::int64_t> moved_{0};
};

/// A store that can be told to fail, or to make whoever asks wait.
class ShakyStore : public Store {
public:
    explicit ShakyStore(std::unique_ptr<Store> inner) : inner_(std::move(inner)) {}

    /// Asked before each verb; an error is answered instead.
    std::function<std::optional<Error>(std::string_view verb)> before;

    /// Told of each end before it is stored.
    std::function<void(const Settlement&)> settling;

    /// May take the time that a change of so many jobs needs.
    std::function<void(std::size_t jobs)> changing;

    /// As a store that can tell whether anything has changed.
    std::optional<std::uint64_t> changes;

    /// What is stored of these cannot be read.
    std::vector<JobId> damaged;

    /// May take from a page that was read, and the time it needs.
    std::function<void(JobPage&)> listed;

    /// Answers a count from a cursor on, instead of the store.
    std::function<Result<Counts>(std::string_view cursor)> counting;

    Result<std::vector<InsertAnswer>> insert(std::span<const NewJob> jobs, Time now) override {
        return pass<std::vector<InsertAnswer>>("insert", [&] { return inner_->insert(jobs, now); });
    }
    Result<Claimed> claim(std::span<const Want> wants, SessionId session, ClaimMode mode, Time now) override {
        return pass<Claimed>("claim", [&] { return inner_->claim(wants, session, mode, now); });
    }
    Result<std::vector<SettleAnswer>> settle(std::span<const Settlement> items, Time now) override {
        return pass<std::vector<SettleAnswer>>("settle", [&] {
            if (settling) std::ranges::for_each(items, settling);
            return inner_->settle(items, now);
        });
    }
    Result<std::vector<NoteAnswer>> note(std::span<const Note> notes, Time now) override {
        return pass<std::vector<NoteAnswer>>("note", [&] { return inner_->note(notes, now); });
    }
    Result<Changed> change(const Selection& which, const Change& change, int limit, std::string_view cursor,
                           Time now) override {
        return pass<Changed>("change", [&] {
            auto changed = inner_->change(which, change, limit, cursor, now);
            if (changed && changing) changing(changed->answers.size());
            return changed;
        });
    }
    Result<std::optional<Job>> get(JobId id, unsigned parts) override {
        return pass<std::optional<Job>>("get", [&]() -> Result<std::optional<Job>> {
            if (std::ranges::find(damaged, id) != damaged.end())
                return Error{Errc::corrupt, "the payload of job " + id.str() + " in /var/lib/x.db is no JSON"};
            return inner_->get(id, parts);
        });
    }
    Result<JobPage> list(const JobFilter& filter, JobOrder order, std::string_view cursor, int limit,
                         unsigned parts) override {
        return pass<JobPage>("list", [&]() -> Result<JobPage> {
            auto page = inner_->list(filter, order, cursor, limit, parts);
            if (page)
                for (const auto id : damaged) {
                    const auto is = [&](const Job& job) { return job.id == id; };
                    if (std::erase_if(page->jobs, is) > 0) page->unreadable.push_back(id);
                }
            if (page && listed) listed(*page);
            return page;
        });
    }
    Result<std::vector<CountRow>> count(const JobFilter& filter, CountBy by) override {
        return pass<std::vector<CountRow>>("count", [&] { return inner_->count(filter, by); });
    }
    Result<Counts> rough_count(const JobFilter& filter, CountBy by, std::string_view cursor) override {
        return pass<Counts>("count", [&] { return counting ? counting(cursor) : inner_->rough_count(filter, by, cursor); });
    }
    std::optional<std::uint64_t> stamp() override { return changes; }
    Result<BeatAnswer> beat(SessionId session, const SessionFacts& facts, Time now) override {
        return pass<BeatAnswer>("beat", [&] { return inner_->beat(session, facts, now); });
    }
    Result<Recovered> recover(SessionId session, std::uint64_t seen, Loss loss, int limit, Time now) override {
        return pass<Recovered>("recover", [&] { return inner_->recover(session, seen, loss, limit, now); });
    }
    Result<std::vector<SessionInfo>> sessions() override {
        return pass<std::vector<SessionInfo>>("sessions", [&] { return inner_->sessions(); });
    }
    Result<Tended> tend(const Retention& retention, int budget, Time now) override {
        return pass<Tended>("tend", [&] { return inner_->tend(retention, budget, now); });
    }
    Result<EventPage> events(std::optional<EventId> after, const EventFilter& filter, int limit) override {
        return pass<EventPage>("events", [&] { return inner_->events(after, filter, limit); });
    }
    Result<std::vector<Record>> records(std::string_view prefix) override {
        return pass<std::vector<Record>>("records", [&] { return inner_->records(prefix); });
    }
    Result<std::uint64_t> put(std::string_view key, std::optional<std::string_view> value, std::uint64_t expected) override {
        return pass<std::uint64_t>("put", [&] { return inner_->put(key, value, expected); });
    }
    Subscription on_change(std::function<void(unsigned)> callback) override { return inner_->on_change(std::move(callback)); }
    std::string describe() const override { return inner_->describe(); }

private:
    template <class T>
    Result<T> pass(std::string_view verb, const std::function<Result<T>()>& verb_itself) {
        if (before)
            if (auto error = before(verb)) return std::move(*error);
        return verb_itself();
    }

    std::unique_ptr<Store> inner_;
};

/// A JSON string as one to compare.
inline std::string text(const boost::json::value& value) {
    const auto* string = value.if_string();
    return string ? std::string(*string) : "";
}

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Answer {
    Response response;
    int status = 0;
    boost::json::object body;

    std::string header(std::string_view name) const {
        for (const auto& [key, value] : response.headers)
            if (key == name) return value;
        return {};
    }
    std::string code() const { return body.contains("code") ? std::string(body.at("code").as_string()) : ""; }
};

/// A router over a memory store, as a program would have it, without a socket.
struct Api {
    explicit Api(ApiOptions options = {})
        : store(memory::open({"test-process", "api"})), queue(store, {&clock, nullptr, 1}), router(queue, with_clock(std::move(options))) {}

    StillClock clock;
    ShakyStore store;
    JobQueue queue;
    ApiRouter router;

    Answer call(std::string method, std::string target, std::string body = {}, const Headers& headers = {}) {
        Request request;
        request.method = std::move(method);
        request.target = std::move(target);
        request.body = std::move(body);
        request.headers = headers;
        if (request.header("host").empty()) request.headers.emplace_back("host", "127.0.0.1:4000");
        if (!request.body.empty() && request.header("content-type").empty())
            request.headers.emplace_back("content-type", "application/json");
        Answer answer{router.handle(request)};
        answer.status = answer.response.status;
        boost::json::parse_options deep;
        deep.max_depth = 64;  // A payload as deep as it may be, and the answer around it.
        const auto* json = std::get_if<std::string>(&answer.response.body);
        if (const auto* shared = std::get_if<std::shared_ptr<const std::string>>(&answer.response.body)) json = shared->get();
        if (json && !json->empty()) answer.body = boost::json::parse(*json, {}, deep).as_object();
        return answer;
    }
    Answer get(std::string target) { return call("GET", std::move(target)); }
    Answer post(std::string target, std::string body = {}, const Headers& headers = {}) {
        return call("POST", std::move(target), std::move(body), headers);
    }
    /// The id of a new job.
    std::string create(std::string body = R"({"kind":"demo.echo"})") {
        const auto answer = post("/api/jobs", std::move(body));
        REQUIRE(answer.status == 201);
        return std::string(answer.body.at("job").at("id").as_string());
    }
    SessionId beat(int n, SessionFacts facts = worker_facts()) {
        SessionId session;
        session.bytes[0] = static_cast<std::uint8_t>(n);
        REQUIRE(store.beat(session, facts, clock.wall()));
        return session;
    }
    static SessionFacts worker_facts() {
        SessionFacts facts;
        facts.host = "box";
        facts.pid = 42;
        facts.role = "worker";
        facts.version = "1.2";
        facts.works = true;
        facts.kinds = {"demo.echo"};
        facts.queues = {"default"};
        return facts;
    }
    /// The next job of the queue, running in that session.
    Job claim(SessionId session) {
        const Want want{"default", {"demo.echo"}, 1};
        auto claimed = store.claim({&want, 1}, session, ClaimMode::ordinary, clock.wall());
        REQUIRE(claimed);
        REQUIRE(claimed->jobs.size() == 1);
        return claimed->jobs.front();
    }
    void settle(const Job& job, Verdict verdict, std::string code = {}, std::string message = {}) {
        Settlement settlement;
        settlement.job = job.id;
        settlement.fence = job.fence;
        settlement.verdict = verdict;
        settlement.result = verdict == Verdict::completed ? R"({"answer":42})" : "";
        settlement.code = std::move(code);
        settlement.message = std::move(message);
        settlement.run_at = clock.wall() + Duration{60'000};
        const auto answer = store.settle({&settlement, 1}, clock.wall());
        REQUIRE(answer);
        REQUIRE(answer->front().done);
    }
    void fail(Errc code) {
        store.before = [code](std::string_view) { return Error{code, "SQLITE_SECRET", "SELECT * FROM /srv/secret.db"}; };
    }

private:
    ApiOptions with_clock(ApiOptions options) {
        options.clock = &clock;
        if (!options.seed) options.seed = 7;
        return options;
    }
};

}  // namespace api_test
