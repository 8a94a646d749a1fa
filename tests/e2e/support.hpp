// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <boost/json.hpp>
#include <jobruntime/subprocess.hpp>

#include "support/places.hpp"
#include "unit/net/test_server.hpp"

// What the end-to-end tests share: a folder of their own, real processes, a client for their HTTP,
// and pages to save. Everything is on loopback and gone afterwards.
namespace jobruntime::e2e {

using namespace std::chrono_literals;
using Variables = std::map<std::string, std::string>;
using Millis = std::chrono::milliseconds;

/// A temporary folder that goes with the object.
class Folder {
public:
    Folder();
    ~Folder();
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    const std::string& path() const { return path_; }
    std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

private:
    std::string path_;
};

/// The environment of a jobrt in that folder: loopback allowed, a free port, short beats.
Variables environment(const Folder& folder);
/// Whether the tests run on MongoDB this time, by E2E_ON_MONGO in their environment (on_mongo.cpp):
/// `* doctest::skip(on_mongo())` for a case that is about a file, or about no store.
bool on_mongo();

/// Has environment() name another store than a SQLite file in the folder: on_mongo.cpp.
void use_store(std::function<Variables(const Folder&)> store);

struct Ended {
    ExitStatus status;
    std::string out, err;
    bool in_time = true;
};

/// A terminal: what is written to it is collected.
class Terminal {
public:
    Terminal();
    ~Terminal();
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;
    int fd() const { return ours_.get(); }
    std::string text() const;

private:
    Fd ours_, other_;
    mutable std::mutex mutex_;
    std::string text_;  // Guarded by mutex_.
    std::jthread reader_;
};

/// A running program whose output is collected. Killed with the object.
class Program {
public:
    /// With `errors` its stderr is that terminal.
    Program(std::vector<std::string> argv, const Variables& variables, const std::string& cwd,
            const Terminal* errors = nullptr);
    ~Program();
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    int pid() const { return pid_; }
    std::string out() const;
    std::string err() const;
    /// All that it and its children have written is in out() and err(), and no more will come.
    bool silent() const { return reading_ == 0; }
    /// To the program itself, not to its group: as a supervisor does.
    void signal(int number) const;
    /// Its end, or nothing within `limit`.
    std::optional<ExitStatus> wait(Millis limit);
    /// SIGTERM, and what comes of it.
    std::optional<ExitStatus> stop(Millis limit = 20s);

private:
    void collect(int fd, std::string& into);
    std::optional<Subprocess> process_;
    int pid_ = 0;
    mutable std::mutex mutex_;
    std::string out_, err_;  // Guarded by mutex_.
    std::atomic<int> reading_ = 2;
    std::thread out_reader_, err_reader_;
};

/// Runs `jobrt` with these arguments to its end.
Ended jobrt(std::vector<std::string> arguments, const Variables& variables, const std::string& cwd, Millis limit = 30s);
/// Runs any program to its end; in_time is false when it had to be killed.
Ended run(std::vector<std::string> argv, const Variables& variables, const std::string& cwd, Millis limit = 30s);

/// Polls until `done` says so; false at the limit. For what another process does.
bool eventually(Millis limit, const std::function<bool()>& done);

struct Answer {
    int status = 0;  ///< 0 = no answer came.
    std::map<std::string, std::string> headers;  ///< Names in lower case.
    std::string body;
    /// The body, which must be an object; an empty object when it is none.
    boost::json::object json() const;
};
using HeaderList = std::vector<std::pair<std::string, std::string>>;
/// One request on a connection of its own. A body gets content-type application/json unless `headers` has one.
Answer http(int port, std::string_view method, std::string_view path, std::string_view body = {},
            const HeaderList& headers = {});

/// A stream of server-sent events, read by a thread of its own.
class Stream {
public:
    Stream(int port, std::string_view path, const HeaderList& headers = {});
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    std::string text() const;
    /// What has come since the last call, which text() does not have any more.
    std::string take();
    /// Nothing more comes.
    bool over() const { return over_; }
    /// The `event` members of the telemetry events so far, of one job.
    std::vector<std::string> names(std::string_view job) const;

private:
    int fd_;
    mutable std::mutex mutex_;
    std::string text_;  // Guarded by mutex_.
    std::atomic<bool> over_{false};
    std::thread reader_;
};

/// A jobrt that serves, started and ready.
class Service {
public:
    /// Ready within `limit`, or ready() is empty.
    Service(const Folder& folder, Variables variables, Millis limit = 20s,
            std::vector<std::string> argv = {tests::program("jobrt")});
    const boost::json::object& ready() const { return ready_; }
    int port() const { return port_; }
    Program& program() { return program_; }

private:
    Program program_;
    boost::json::object ready_;
    int port_ = 0;
};

/// The whole runtime: one combined process, or an API and a worker on one store.
class Runtime {
public:
    Runtime(const Folder& folder, bool split, const Variables& more = {});
    int port() { return front_->port(); }
    Service& front() { return *front_; }
    Service& worker() { return back_ ? *back_ : *front_; }

    /// POST /api/jobs; the job's id, or "" after a failed CHECK.
    std::string submit(const boost::json::object& body);
    std::string save(const std::string& url) { return submit({{"url", url}}); }
    boost::json::object job(std::string_view id);
    std::string status(std::string_view id);
    /// The job once it is in one of these states ("a|b"), or as it is at the limit.
    boost::json::object wait(std::string_view id, std::string_view states, Millis limit = 60s);

private:
    std::unique_ptr<Service> front_, back_;
};

/// Every refusal has this shape and tells nothing of the inside.
void check_refusal(const Answer& answer, int status, std::string_view code);

/// A member as text; "" when it is no string.
std::string text(const boost::json::object& object, std::string_view name);
/// `parts` in this order within `names`, others between.
bool in_order(const std::vector<std::string>& names, const std::vector<std::string>& parts);
/// Event names of a job, oldest first, by GET /api/telemetry.
std::vector<std::string> events_of(int port, std::string_view job);
/// Whether they are told in this order. On MongoDB an event may be seen a moment after the state that it is about: waits.
bool told(int port, std::string_view job, const std::vector<std::string>& names);

/// A six-second test picture with a tone, made once a program.
const std::string& made_clip();
/// The bytes of a file.
std::string contents(const std::string& path);
/// A page whose <video> shows `source`.
test::Behaviour page_with(const std::string& source);
/// A site with /page and its /clip.mp4.
void add_clip_page(test::TestServer& site);

/// A job's end, or how its first attempt went: what may pass is not waited for.
boost::json::object tried(Runtime& runtime, const std::string& id);

/// Processes below `pid` (0: all there are) whose command line contains `word`.
std::vector<int> children_with(int pid, std::string_view word);
/// Files below `folder` other than finished ones: work folders' files and partial downloads.
std::vector<std::string> partial_files(const std::string& folder);

}  // namespace jobruntime::e2e
