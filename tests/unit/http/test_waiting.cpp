// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Requests that wait for their answer: GET /api/jobs/:id?wait=… and claims of workers by HTTP.
#include "http_fixture.hpp"

#include <sys/resource.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include <boost/json/parse.hpp>

#include <jobruntime/testing/faulty_store.hpp>

using namespace http_test;

namespace {

/// Counts what is asked of it, and may keep its hints to itself.
class CountingStore : public testing::FaultyStore {
public:
    explicit CountingStore(Store& inner) : FaultyStore(inner) {}
    std::atomic<int> gets{0}, looks{0}, claims{0}, session_reads{0};
    std::atomic<std::thread::id> first_reader{};
    std::function<void()> after_first_get;
    bool mute = false;

    Result<std::optional<Job>> get(JobId id, unsigned parts) override {
        auto job = FaultyStore::get(id, parts);
        if (++gets == 1 && after_first_get) after_first_get();
        return job;
    }
    Result<EventPage> events(std::optional<EventId> after, const EventFilter& filter, int limit) override {
        ++looks;
        return FaultyStore::events(after, filter, limit);
    }
    Result<Claimed> claim(std::span<const Want> wants, SessionId session, ClaimMode mode, Time now) override {
        ++claims;
        return FaultyStore::claim(wants, session, mode, now);
    }
    Result<std::vector<SessionInfo>> sessions() override {
        // The router's question whether the store lives, which comes first and from a thread of its own, does not count.
        auto nobody = std::thread::id();
        if (!first_reader.compare_exchange_strong(nobody, std::this_thread::get_id()) && nobody != std::this_thread::get_id()) ++session_reads;
        return FaultyStore::sessions();
    }
    Subscription on_change(std::function<void(unsigned)> callback) override {
        return mute ? Subscription() : FaultyStore::on_change(std::move(callback));
    }
};

/// A server over such a store, and a worker's session in it.
struct Site {
    explicit Site(http::Options options = {}, bool mute = false)
        : memory(memory::open({"test", "api"})), store(*memory), host((store.mute = mute, std::move(options)), &store),
          port(host.start()) {
        SessionFacts facts;
        facts.role = "remote";
        facts.works = true;
        session.bytes[0] = 1;
        REQUIRE(store.beat(session, facts, now()));
    }
    static Time now() { return system_clock().wall(); }

    std::string add(EnqueueOptions options = {}) {
        const auto made = host.queue.enqueue("demo.echo", {}, std::move(options));
        REQUIRE(made);
        return made->id.str();
    }
    /// Gives it to the session. It must be the only one that is due.
    Job run(const std::string& id) const {
        const Want want{"default", {"demo.echo"}, 1};
        const auto claimed = memory->claim({&want, 1}, session, ClaimMode::ordinary, now());
        REQUIRE(claimed);
        REQUIRE(claimed->jobs.size() == 1);
        CHECK(claimed->jobs[0].id.str() == id);
        return claimed->jobs[0];
    }
    void complete(const Job& job) const {
        Settlement end;
        end.job = job.id;
        end.fence = job.fence;
        end.result = "42";
        const auto settled = memory->settle({&end, 1}, now());
        REQUIRE(settled);
        REQUIRE(settled->front().done);
    }
    void progress(const Job& job, double percent) {
        Note note;
        note.job = job.id;
        note.fence = job.fence;
        note.progress = Progress{percent, "", ""};
        Event event;
        event.name = "worker.job.progress";
        event.at = now();
        event.job = job.id;
        note.events.push_back(std::move(event));
        REQUIRE(memory->note({&note, 1}, now()));
    }
    /// Until all that were sent have been asked twice, and so wait.
    void until_gets(int count) const {
        const auto until = std::chrono::steady_clock::now() + patience;
        while (store.gets < count) {
            REQUIRE(std::chrono::steady_clock::now() < until);
            std::this_thread::sleep_for(1ms);
        }
    }
    void until_claims(int count) const {
        const auto until = std::chrono::steady_clock::now() + patience;
        while (store.claims < count) {
            REQUIRE(std::chrono::steady_clock::now() < until);
            std::this_thread::sleep_for(1ms);
        }
    }

    std::unique_ptr<Store> memory;
    CountingStore store;
    Host host;
    int port;
    SessionId session;
};

/// Longer than the patience of these tests: what is not told is not found out in the end, either.
std::string get(const std::string& id, const std::string& wait = "60s", const std::string& more = "") {
    return "GET /api/jobs/" + id + "?wait=" + wait + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n";
}

std::string claim(const Site& site, const std::string& more = R"("wait":"30s")") {
    const auto body = R"({"session":")" + site.session.str() + R"(","kinds":["demo.echo"],)" + more + "}";
    return "POST /api/worker/claim HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string status_of(const Reply& reply) {
    return std::string(boost::json::parse(reply.body).at("job").at("status").as_string());
}

boost::json::array jobs_of(const Reply& reply) { return boost::json::parse(reply.body).at("jobs").as_array(); }

/// Of the one job that a claim brought; else "".
std::string claimed(const Reply& reply) {
    const auto jobs = jobs_of(reply);
    return jobs.size() == 1 ? std::string(jobs[0].at("id").as_string()) : std::string();
}

std::size_t threads() {
    const auto all = std::filesystem::directory_iterator("/proc/self/task");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// Whether something has been said to it.
bool has_input(const Client& client) {
    pollfd waiting{client.fd(), POLLIN, 0};
    return poll(&waiting, 1, 0) != 0;
}

EnqueueOptions delayed(Duration by) {
    EnqueueOptions options;
    options.delay = by;
    return options;
}

using Steady = std::chrono::steady_clock;

}  // namespace

TEST_CASE("who waits for a job is answered at once when it has ended, else as soon as it does") {
    Site site;
    const auto id = site.add();
    const auto job = site.run(id);
    Client client(site.port);
    client.send(get(id));
    site.until_gets(2);
    site.progress(job, 50);  // No end.
    CHECK_FALSE(has_input(client));
    site.complete(job);
    const auto reply = client.read_reply();
    REQUIRE(reply);
    CHECK(reply->status == 200);
    CHECK(status_of(*reply) == "completed");
    CHECK(boost::json::parse(reply->body).at("job").at("result") == 42);
    CHECK(reply->headers.contains("x-trace-id"));
    CHECK(reply->headers.contains("etag"));
    // The connection goes on, and now there is nothing to wait for.
    const auto begun = Steady::now();
    CHECK(status_of(*client.ask(get(id))) == "completed");
    CHECK(Steady::now() - begun < 20s);
    CHECK(client.get("/api/jobs/0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f?wait=30s")->status == 404);
    const auto metrics = client.get("/metrics");
    // Each answer counts once, however often it was looked for: two jobs.
    CHECK(metrics->body.find("jobrt_http_responses_total{class=\"2xx\"} 2\n") != std::string::npos);
}

TEST_CASE("an end that comes between the first look at a job and the wait for it is not missed") {
    Site site;
    const auto job = site.run(site.add());
    site.store.after_first_get = [&] { site.complete(job); };
    CHECK(status_of(*Client(site.port).ask(get(job.id.str()))) == "completed");
}

TEST_CASE("the end of a job is seen without a hint, too") {
    http::Options options;
    options.stream_poll = 20ms;
    Site site(options, true);
    const auto id = site.add();
    const auto job = site.run(id);
    Client client(site.port);
    client.send(get(id));
    site.until_gets(2);
    site.complete(job);
    CHECK(status_of(*client.read_reply()) == "completed");
}

TEST_CASE("at the end of the wait a job is shown as it is then") {
    Site site;
    const auto id = site.add();
    Client client(site.port);
    const auto begun = Steady::now();
    const auto reply = client.ask(get(id, "200ms"));
    CHECK(Steady::now() - begun >= 200ms);
    CHECK(reply->status == 200);
    CHECK(status_of(*reply) == "queued");
    for (const char* wrong : {"61s", "30", "-1s", "s", "1h", "60001ms"}) CHECK(client.ask(get(id, wrong))->status == 400);
    CHECK(status_of(*client.ask(get(id, "0s"))) == "queued");
}

TEST_CASE("a job that is deleted while somebody waits is not there") {
    Site site;
    const auto id = site.add();
    Client client(site.port);
    client.send(get(id));
    site.until_gets(2);
    REQUIRE(site.host.queue.remove(*JobId::parse(id)));
    const auto reply = client.read_reply();
    CHECK(reply->status == 404);
    CHECK(reply->body.find("JOB_NOT_FOUND") != std::string::npos);
}

TEST_CASE("with the tag of what is known, a wait ends at the first change, or as 304") {
    Site site;
    const auto id = site.add();
    const auto job = site.run(id);
    Client client(site.port);
    const auto tag = client.get("/api/jobs/" + id)->headers.at("etag");
    const auto known = "If-None-Match: " + tag + "\r\n";
    const auto begun = Steady::now();
    client.send(get(id, "200ms", known));
    auto reply = client.read_reply(true);
    CHECK(Steady::now() - begun >= 200ms);
    CHECK(reply->status == 304);
    const int before = site.store.gets;
    client.send(get(id, "60s", known));
    site.until_gets(before + 2);
    site.progress(job, 50);
    reply = client.read_reply();
    CHECK(reply->status == 200);
    CHECK(status_of(*reply) == "running");
    CHECK(boost::json::parse(reply->body).at("job").at("progress").at("percent") == 50.0);
    CHECK(reply->headers.at("etag") != tag);
    // What is known is old already.
    CHECK(client.ask(get(id, "30s", known))->status == 200);
}

TEST_CASE("five hundred who wait cost no thread, and nobody's end is looked at but the one that comes") {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = std::min<rlim_t>(files.rlim_max, 4'096);
    setrlimit(RLIMIT_NOFILE, &files);
    Site site;
    const auto id = site.add();
    const auto job = site.run(id);
    const auto other = site.add();
    Client(site.port).get("/api/health");
    const auto before = threads();
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 500; ++i) {
        clients.push_back(std::make_unique<Client>(site.port));
        clients.back()->send(get(i % 5 ? id : other, "60s"));
        if (i % 50 == 49) site.until_gets(2 * (i + 1));  // Or too many would wait for a thread, which is refused.
    }
    CHECK(threads() <= before);  // One that has just ended may have been counted then.
    const int gets = site.store.gets, looks = site.store.looks;
    for (int i = 0; i < 20; ++i) site.progress(job, i);
    // One that is told of after them.
    const auto third = site.add();
    Client last(site.port);
    last.send(get(third));
    site.until_gets(gets + 2);
    REQUIRE(site.host.queue.cancel(*JobId::parse(third)));
    CHECK(status_of(*last.read_reply()) == "canceled");
    CHECK(site.store.gets <= gets + 5);
    CHECK(site.store.looks <= looks + 200);
    site.complete(job);
    // More than may wait for a thread.
    for (std::size_t i = 0; i < clients.size(); ++i)
        if (i % 5) REQUIRE(status_of(*clients[i]->read_reply()) == "completed");
    for (std::size_t i = 0; i < clients.size(); i += 5) REQUIRE_FALSE(has_input(*clients[i]));
    CHECK(threads() <= before);  // One that has just ended may have been counted then.
}

TEST_CASE("those who wait have the places of streams, which they give back when they are answered or leave") {
    http::Options options;
    options.limits.streams = 1;
    options.limits.connections = 1;
    Site site(options);
    const auto id = site.add();
    auto first = std::make_unique<Client>(site.port);
    first->send(get(id));
    site.until_gets(2);
    // It does not hold a place of the connections.
    Client second(site.port);
    auto reply = second.ask(get(id));
    CHECK(reply->status == 503);
    CHECK(reply->body.find("TOO_MANY_STREAMS") != std::string::npos);
    CHECK(reply->headers.at("retry-after") == "5");
    first.reset();
    do reply = second.ask(get(id, "1ms"));
    while (reply->status == 503);
    CHECK(reply->status == 200);
    second.send("HEAD /api/jobs/" + id + "?wait=1ms HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(second.read_reply(true)->status == 200);
    CHECK(second.get("/api/health")->status == 200);
}

TEST_CASE("one client has so many waits, and a claim for which there is no place is answered at once") {
    http::Options options;
    options.limits.client_streams = 1;
    options.limits.trusted_proxies = {"127.0.0.1"};
    Site site(options);
    const auto id = site.add(delayed(1h));
    const std::string who = "X-Forwarded-For: 198.51.100.1\r\n";
    Client first(site.port), second(site.port);
    first.send(get(id, "30s", who));
    site.until_gets(2);
    CHECK(second.ask(get(id, "30s", who))->status == 429);
    CHECK(second.ask(get(id, "1ms", "X-Forwarded-For: 198.51.100.2\r\n"))->status == 200);
    auto wants = claim(site);
    wants.insert(wants.find("Content-Type"), who);
    const auto reply = second.ask(wants);
    CHECK(reply->status == 200);
    CHECK(jobs_of(*reply).empty());
    CHECK(boost::json::parse(reply->body).at("askAgainMs") == 1'000);
}

TEST_CASE("a server that stops tells all who wait how things stand, and does not wait for them") {
    Site site;
    const auto id = site.add(delayed(1h));
    Client known(site.port), one(site.port), worker(site.port);
    const auto tag = known.get("/api/jobs/" + id)->headers.at("etag");
    known.send(get(id, "30s", "If-None-Match: " + tag + "\r\n"));
    one.send(get(id));
    worker.send(claim(site));
    site.until_gets(5);
    site.until_claims(2);
    const auto begun = Steady::now();
    site.host.server.stop();
    CHECK(Steady::now() - begun < 20s);  // Of the thirty that it may take.
    CHECK(status_of(*one.read_reply()) == "scheduled");
    CHECK(one.is_closed());
    CHECK(known.read_reply(true)->status == 304);
    CHECK(jobs_of(*worker.read_reply()).empty());
}

TEST_CASE("those who wait while the store does not answer are told so at the end, and others are seen once it does") {
    Site site;
    const auto id = site.add();
    Client early(site.port), late(site.port);
    early.send(get(id, "2s"));
    late.send(get(id));
    site.until_gets(4);
    site.store.fail_next(Errc::unavailable, 1'000'000);
    CHECK(early.read_reply()->status == 503);
    site.store.heal();
    REQUIRE(site.host.queue.cancel(*JobId::parse(id)));
    CHECK(status_of(*late.read_reply()) == "canceled");
}

TEST_CASE("a claim waits for a job, and each new one brings one claim on") {
    Site site;
    const auto begun = Steady::now();
    const auto asked = [&] { return Steady::now() - begun < 4s ? site.store.claims.load() : 0; };  // Each asks every 5 s, too.
    Client first(site.port), second(site.port);
    first.send(claim(site));
    site.until_claims(2);
    second.send(claim(site));
    site.until_claims(4);
    EnqueueOptions elsewhere;
    elsewhere.queue = "other";
    site.add(std::move(elsewhere));
    REQUIRE(site.host.queue.enqueue("demo.other", {}));
    const auto one = site.add();
    auto reply = first.read_reply();
    CHECK(claimed(*reply) == one);
    CHECK_FALSE(has_input(second));
    CHECK(asked() <= 5);
    const auto two = site.add();
    reply = second.read_reply();
    CHECK(claimed(*reply) == two);
    CHECK(asked() <= 6);
    CHECK(site.store.session_reads == 1);
    // At the end of the wait there is nothing, and whoever waited may ask again at once.
    reply = first.ask(claim(site, R"("wait":"50ms")"));
    CHECK(jobs_of(*reply).empty());
    CHECK(boost::json::parse(reply->body).at("askAgainMs") == 0);
    CHECK(boost::json::parse(first.ask(claim(site, R"("limit":1)"))->body).at("askAgainMs") == 1'000);
    CHECK(first.ask(claim(site, R"("wait":"31s")"))->status == 400);
    // Soon, and not only because each claim that waits is looked at every five seconds.
    Duration best{60'000};
    for (int i = 0; i < 5 && best > 2s; ++i) {
        const int before = site.store.claims;
        first.send(claim(site));
        site.until_claims(before + 2);
        const auto put_at = Steady::now();
        const auto id = site.add();
        CHECK(claimed(*first.read_reply()) == id);
        best = std::min(best, std::chrono::ceil<Duration>(Steady::now() - put_at));
    }
    CHECK(best < 2s);
}

TEST_CASE("a claim that waits gets a job when its time comes, or when its queue goes on") {
    Site site;
    Client client(site.port);
    client.send(claim(site));
    site.until_claims(2);
    auto id = site.add(delayed(300ms));
    CHECK(claimed(*client.read_reply()) == id);
    REQUIRE(site.host.queue.pause("default"));
    id = site.add();
    const int before = site.store.looks;
    client.send(claim(site));
    while (site.store.looks < before + 2) std::this_thread::sleep_for(1ms);
    CHECK_FALSE(has_input(client));
    REQUIRE(site.host.queue.resume("default"));
    CHECK(claimed(*client.read_reply()) == id);
}

TEST_CASE("a job is not kept from others by a claim whose client has left") {
    http::Options options;
    options.limits.streams = 2;
    Site site(options);
    const auto other = site.add(delayed(1h));
    auto first = std::make_unique<Client>(site.port);
    first->send(claim(site));
    site.until_claims(2);
    Client second(site.port), third(site.port);
    second.send(claim(site));
    site.until_claims(4);
    first.reset();
    while (third.ask(get(other, "1ms"))->status == 503) std::this_thread::yield();  // Until that has been noticed.
    const auto id = site.add();
    const auto begun = Steady::now();
    const auto reply = second.read_reply();
    CHECK(claimed(*reply) == id);
    CHECK(Steady::now() - begun < 20s);
}
