// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <csignal>
#include <iostream>
#include <random>

#include <doctest/doctest.h>
#include <jobruntime/job_queue.hpp>
#include <jobruntime/mongo.hpp>

#include "e2e/followers.hpp"
#include "support/mongo_server.hpp"
#include "support/proxy.hpp"

// Two APIs, two workers and one database behind a network: each of them is broken, again and again, while jobs come
// and two clients follow the stream.
namespace jobruntime::e2e {
namespace {

using Steady = std::chrono::steady_clock;
constexpr int nobodys_port = 1;
/// The stand-in takes its time to start, and for what its clients have left behind; much longer on a slow machine.
constexpr auto patience = std::chrono::seconds(120);

class Scene {
public:
    explicit Scene(tests::MongoServer& server)
        : server_(server),
          proxy_(server.port()),
          variables_(environment(folder_)),
          apis_{folder_, {}, {tests::program("jobrt-api")}} {
        variables_["JOBRT_STORE"] = "";
        variables_["MONGODB_URI"] = "mongodb://127.0.0.1:" + std::to_string(proxy_.port()) + "/chaos?directConnection=true";
        // Cut answers cost beats, too; and who takes over must not be waited for too long.
        variables_["JOBRT_HEARTBEAT_MS"] = "600";
        variables_["JOBRT_LEASE_MS"] = "3000";
        variables_["JOBRT_CONCURRENCY"] = "4";
        apis_.variables = variables_;
        for (std::size_t i = 0; i < 2; ++i) {
            apis_.start(i);
            workers_.emplace_back();
            start_worker(i);
            followers_.push_back(std::make_unique<Follower>(apis_.port(i)));
        }
        forgetful_ = std::make_unique<Follower>(apis_.port(0), false);
        load_ = std::make_unique<Load>(80ms);
        load_->to(apis_.port(0));
    }

    tests::Proxy& proxy() { return proxy_; }

    /// SIGKILL to one of the four, which is started again.
    void kill_one(std::uint64_t random) {
        const auto gone = static_cast<std::size_t>(random % 2), stays = 1 - gone;
        if (random / 2 % 2 == 0) {
            workers_[gone]->program().signal(SIGKILL);
            workers_[gone]->program().wait(10s);
            return start_worker(gone);
        }
        load_->to(apis_.port(stays));
        // One goes over to the other process when its connection ends, the other waits for the new one.
        const bool over = random / 4 % 2 == 0;
        for (auto& follower : followers_) follower->to(over ? apis_.port(stays) : apis_.port(gone));
        apis_.each[gone]->program().signal(SIGKILL);
        apis_.each[gone]->program().wait(10s);
        apis_.start(gone);
        for (auto& follower : followers_) follower->to(apis_.port(random / 8 % 2 == 0 ? gone : stays));
    }

    /// Something is accepted, and something that was accepted is done, now.
    bool works() {
        const auto before = load_->accepted();
        if (!eventually(patience, [&] { return load_->accepted() > before + 1; })) {
            say_how_it_stands("");
            return false;
        }
        const auto id = load_->ids()[static_cast<std::size_t>(before)];
        const bool done = eventually(patience, [&] {
            const auto answer = http(apis_.port(0), "GET", "/api/jobs/" + id).json();
            return answer.contains("job") && text(answer.at("job").get_object(), "status") == "completed";
        });
        if (!done) say_how_it_stands(id);
        return done;
    }

    /// What the programs and the database itself say when something does not go on.
    void say_how_it_stands(const std::string& job) {
        for (std::size_t i = 0; i < 2; ++i) {
            const auto made = http(apis_.port(i), "POST", "/api/jobs", R"({"kind":"demo.echo"})");
            const auto health = http(apis_.port(i), "GET", "/api/health");
            MESSAGE("API " << i << ": " << made.status << " " << made.body << "\n" << health.status << " " << health.body);
            if (!job.empty()) MESSAGE(http(apis_.port(i), "GET", "/api/jobs/" + job).body);
        }
        auto store = mongo::open(server_.uri("chaos"));
        REQUIRE(store.has_value());
        const auto events = (*store)->events({}, {}, 1);
        MESSAGE("the database itself: " << (events ? "answers" : events.error().message));
    }

    void forget(bool yes) { forgetful_->connect(yes ? nobodys_port : apis_.port(0)); }

    /// No more jobs; all that were accepted end, both clients see everything, and the log says nothing that cannot be.
    void finish(const std::string& what, Steady::time_point since) {
        for (const auto& id : load_->ids()) accepted_.push_back(id);
        load_.reset();
        // Back-off after crashes is not what is proven here.
        auto store = mongo::open(server_.uri("chaos"));
        REQUIRE(store.has_value());
        JobQueue queue(**store);
        Change promote;
        promote.action = Action::promote;
        JobFilter waiting;
        waiting.states = {JobState::scheduled};
        std::vector<LogEvent> log;
        Judgement judgement;
        bool whole = false;
        for (const auto end = Steady::now() + 2 * patience; !whole && Steady::now() < end;) {
            (void)queue.change_all(waiting, promote).has_value();
            log = whole_log(apis_.port(0));
            judgement = judge(log, accepted_);
            whole = judgement.lost == 0 && followers_[0]->ids() == ids_of(log) && followers_[1]->ids() == ids_of(log);
            // To read all of it is much for the stand-in, which goes on with it when nobody waits for the answer any more.
            if (!whole) std::this_thread::sleep_for(2s);
        }
        std::cout << what << ", on the stand-in SecantusDB, which is not MongoDB: " << accepted_.size()
                  << " jobs accepted, " << judgement.counts() << ", " << judgement.gaps << " gaps; two clients, by "
                  << followers_[0]->connections() + followers_[1]->connections() << " attempts to connect, saw the log of "
                  << log.size() << " events exactly: " << (whole ? "yes" : "no") << "; "
                  << std::chrono::duration_cast<std::chrono::seconds>(Steady::now() - since).count() << " s\n"
                  << std::flush;
        CHECK(whole);
        CHECK(judgement.sound());
        CHECK(judgement.gaps == 0);
        // One whose process is killed under it too often is given up, and that is told.
        CHECK(judgement.failed * 20 <= judgement.completed);
        CHECK_MESSAGE(forgetful_->ids() != ids_of(log), "control: a client that does not resume is found out");
        REQUIRE_FALSE(accepted_.empty());
        CHECK_MESSAGE(unnoticed_breaks(log, accepted_) == 0, "control: a log that is broken in any way is noticed");
    }

private:
    void start_worker(std::size_t i) {
        variables_["ROLE"] = "worker";
        workers_[i] = std::make_unique<Service>(folder_, variables_, 20s, std::vector<std::string>{tests::program("jobrt-worker")});
        REQUIRE_FALSE(workers_[i]->ready().empty());
    }

    tests::MongoServer& server_;
    tests::Proxy proxy_;
    Folder folder_;
    Variables variables_;
    Apis apis_;
    std::vector<std::unique_ptr<Service>> workers_;
    std::vector<std::unique_ptr<Follower>> followers_;
    std::unique_ptr<Follower> forgetful_;
    std::unique_ptr<Load> load_;
    std::vector<std::string> accepted_;
};

std::unique_ptr<tests::MongoServer> own_server() {
    auto server = tests::MongoServer::own();
    if (!server) std::cout << "skipped: only a server of our own can be killed; set JOBRT_STANDIN\n";
    return server;
}

TEST_CASE("programs killed: SSE clients that reconnect see every event once") {
    const auto server = own_server();
    if (!server) return;
    Scene scene(*server);
    std::mt19937_64 random(11);
    const auto since = Steady::now();
    CHECK(scene.works());
    scene.forget(true);
    const int kills = scaled(100, 10);
    for (int i = 0; i < kills; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(random() % 300));
        scene.kill_one(random());
        if (i == 4) scene.forget(false);
    }
    CHECK(scene.works());
    scene.finish("kill -9 of jobrt-api and jobrt-worker, " + std::to_string(kills) + " times", since);
}

TEST_CASE("a database killed: SSE clients see every event once") {
    const auto server = own_server();
    if (!server) return;
    Scene scene(*server);
    std::mt19937_64 random(11);
    const auto since = Steady::now();
    CHECK(scene.works());
    scene.forget(true);
    const int restarts = scaled(20, 3);
    for (int i = 0; i < restarts; ++i) {
        // Under load: something was done since it came back.
        CHECK(scene.works());
        std::this_thread::sleep_for(std::chrono::milliseconds(random() % 300));
        server->kill();
        std::this_thread::sleep_for(std::chrono::milliseconds(random() % 500));
        server->start();
        if (i == 1) scene.forget(false);
    }
    CHECK(scene.works());
    scene.finish("the database killed and started again, " + std::to_string(restarts) + " times", since);
}

TEST_CASE("answers cut in the middle: SSE clients see every event once") {
    const auto server = own_server();
    if (!server) return;
    Scene scene(*server);
    const auto since = Steady::now();
    CHECK(scene.works());
    scene.forget(true);
    CHECK(scene.works());
    scene.forget(false);
    const long cuts = scaled(200, 10);
    scene.proxy().set({.every = 12, .seed = 7, .longest_delay = std::chrono::milliseconds(2'000)});
    CHECK(eventually(150s, [&] { return scene.proxy().counts().all() >= cuts; }));
    scene.proxy().set({});
    const auto counts = scene.proxy().counts();
    CHECK(scene.works());
    scene.finish("answers cut in the middle, " + std::to_string(counts.all()) + " times (" + std::to_string(counts.drops) +
                     " resets, " + std::to_string(counts.delays) + " delays, " + std::to_string(counts.half_closes) +
                     " half closed)",
                 since);
}

}  // namespace
}  // namespace jobruntime::e2e
