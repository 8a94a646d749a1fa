// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "e2e/support.hpp"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <pty.h>

#include <doctest/doctest.h>

namespace jobruntime::e2e {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

Folder::Folder() {
    std::string name = fs::temp_directory_path().string() + "/jobrt-e2e.XXXXXX";
    if (!::mkdtemp(name.data())) throw std::runtime_error("cannot make a temporary folder");
    path_ = name;
}
Folder::~Folder() {
    // A killed worker's browser is still ending and may write to its profile meanwhile.
    eventually(5s, [&] {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
        return !fs::exists(path_, ignored);
    });
}

namespace {

std::function<Variables(const Folder&)>& chosen_store() {
    static std::function<Variables(const Folder&)> store;
    return store;
}

}  // namespace

void use_store(std::function<Variables(const Folder&)> store) { chosen_store() = std::move(store); }

Variables environment(const Folder& folder) {
    Variables all{{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
                  {"HOME", folder.path()},
                  {"PORT", "0"},
                  {"JOBRT_STORE", "sqlite:" + folder / "jobs.db"},
                  {"JOBRT_DOWNLOAD_DIR", folder / "downloads"},
                  {"PLAYWRIGHT_USER_DATA_DIR", folder / "profile"},
                  {"PLAYWRIGHT_SETTLE_MS", "300"},
                  {"JOBRT_ALLOW_NETS", "127.0.0.0/8"},
                  {"JOBRT_HEARTBEAT_MS", "300"},
                  {"JOBRT_LEASE_MS", "1000"},
                  {"JOBRT_STALE_MS", "5000"},
                  {"JOBRT_GRACE_MS", "500"}};
    // What the page's own text says is known without a browser, which most of these tests are about. Not in the
    // test's own folder, where some look for what a program has left.
    static const Folder beside;
    static const std::string config = [] {
        std::ofstream(beside / "e2e.json") << R"({"platforms":{"web":{"extractors":["browser"]}}})";
        fs::permissions(beside.path(), fs::perms::owner_all | fs::perms::others_read | fs::perms::others_exec);
        return beside / "e2e.json";
    }();
    all["JOBRT_CONFIG"] = config;
    if (::geteuid() == 0) all["JOBRT_BROWSER_NO_SANDBOX"] = "1";
    if (chosen_store())
        for (const auto& [name, value] : chosen_store()(folder)) all[name] = value;
    return all;
}

Terminal::Terminal() {
    int other = -1, ours = -1;
    if (::openpty(&other, &ours, nullptr, nullptr, nullptr) != 0) throw std::runtime_error("there is no terminal to be had");
    for (const int fd : {other, ours}) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    other_ = Fd(other);
    ours_ = Fd(ours);
    reader_ = std::jthread([this](std::stop_token stop) {
        char chunk[4096];
        while (!stop.stop_requested()) {
            pollfd polled{other_.get(), POLLIN, 0};
            if (::poll(&polled, 1, 50) <= 0) continue;
            const auto got = ::read(other_.get(), chunk, sizeof chunk);
            if (got <= 0) continue;
            const std::lock_guard lock(mutex_);
            text_.append(chunk, static_cast<std::size_t>(got));
        }
    });
}

Terminal::~Terminal() {
    reader_.request_stop();
    reader_.join();
}

std::string Terminal::text() const {
    const std::lock_guard lock(mutex_);
    return text_;
}

Program::Program(std::vector<std::string> argv, const Variables& variables, const std::string& cwd,
                 const Terminal* errors) {
    SpawnOptions options;
    if (errors) {
        argv.insert(argv.begin(), {"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>&3 3>&-"});
        options.fds = {{errors->fd(), 3}};
    }
    options.argv = std::move(argv);
    for (const auto& [name, value] : variables) options.env.push_back(name + "=" + value);
    options.cwd = cwd;
    options.out = Stdio::pipe;
    options.err = Stdio::pipe;
    auto spawned = Subprocess::spawn(options);
    if (!spawned) throw std::runtime_error("cannot start " + options.argv.front() + ": " + spawned.error().message);
    process_.emplace(std::move(*spawned));
    pid_ = process_->pid();
    out_reader_ = std::thread([this, fd = process_->out().get()] { collect(fd, out_); });
    err_reader_ = std::thread([this, fd = process_->err().get()] { collect(fd, err_); });
}

Program::~Program() {
    process_->signal_group(SIGKILL);
    (void)process_->wait(Clock::now() + 10s);
    out_reader_.join();
    err_reader_.join();
}

void Program::collect(int fd, std::string& into) {
    char chunk[4096];
    for (;;) {
        const auto got = ::read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) {
            pollfd polled{fd, POLLIN, 0};
            ::poll(&polled, 1, 1000);
            continue;
        }
        if (got <= 0) break;
        const std::lock_guard lock(mutex_);
        into.append(chunk, static_cast<std::size_t>(got));
    }
    --reading_;
}

std::string Program::out() const {
    const std::lock_guard lock(mutex_);
    return out_;
}
std::string Program::err() const {
    const std::lock_guard lock(mutex_);
    return err_;
}
void Program::signal(int number) const { ::kill(pid_, number); }

std::optional<ExitStatus> Program::wait(Millis limit) {
    auto ended = process_->wait(Clock::now() + limit);
    if (!ended) return std::nullopt;
    return *ended;
}

std::optional<ExitStatus> Program::stop(Millis limit) {
    signal(SIGTERM);
    return wait(limit);
}

Ended run(std::vector<std::string> argv, const Variables& variables, const std::string& cwd, Millis limit) {
    Ended ended;
    auto program = std::make_unique<Program>(std::move(argv), variables, cwd);
    const auto status = program->wait(limit);
    ended.in_time = status.has_value();
    if (status) ended.status = *status;
    // The readers see the end of file a moment after the end; a child that outlives the program may keep it from them.
    eventually(2s, [&] { return program->silent(); });
    ended.out = program->out();
    ended.err = program->err();
    return ended;
}

Ended jobrt(std::vector<std::string> arguments, const Variables& variables, const std::string& cwd, Millis limit) {
    arguments.insert(arguments.begin(), tests::program("jobrt"));
    return run(std::move(arguments), variables, cwd, limit);
}

bool eventually(Millis limit, const std::function<bool()>& done) {
    const auto end = Clock::now() + limit;
    for (;;) {
        if (done()) return true;
        if (Clock::now() > end) return false;
        std::this_thread::sleep_for(25ms);
    }
}

Service::Service(const Folder& folder, Variables variables, Millis limit, std::vector<std::string> argv)
    : program_(std::move(argv), variables, folder.path()) {
    eventually(limit, [&] { return program_.out().find('\n') != std::string::npos || program_.wait(0ms); });
    const auto line = program_.out();
    boost::system::error_code code;
    auto parsed = boost::json::parse(line.substr(0, line.find('\n')), code);
    if (code || !parsed.is_object()) {
        FAIL_CHECK("jobrt did not get ready: " << program_.err());
        return;
    }
    ready_ = parsed.get_object();
    const auto* urls = ready_.if_contains("http");
    if (!urls || !urls->is_array() || urls->get_array().empty()) return;
    const std::string first(urls->get_array().front().get_string());
    port_ = std::atoi(first.substr(first.rfind(':') + 1).c_str());
}

Runtime::Runtime(const Folder& folder, bool split, const Variables& more) {
    auto variables = environment(folder);
    for (const auto& [name, value] : more) variables[name] = value;
    if (split) variables["ROLE"] = "api";
    front_ = std::make_unique<Service>(folder, variables);
    if (!split) return;
    variables["ROLE"] = "worker";
    back_ = std::make_unique<Service>(folder, variables);
}

std::string Runtime::submit(const boost::json::object& body) {
    const auto answer = http(port(), "POST", "/api/jobs", boost::json::serialize(body));
    INFO(answer.body);
    CHECK(answer.status == 201);
    const auto object = answer.json();
    const auto* job = object.if_contains("job");
    return job && job->is_object() ? text(job->get_object(), "id") : std::string();
}

boost::json::object Runtime::job(std::string_view id) {
    const auto object = http(port(), "GET", "/api/jobs/" + std::string(id)).json();
    const auto* job = object.if_contains("job");
    return job && job->is_object() ? job->get_object() : boost::json::object();
}

std::string Runtime::status(std::string_view id) { return text(job(id), "status"); }

boost::json::object Runtime::wait(std::string_view id, std::string_view states, Millis limit) {
    boost::json::object last;
    const auto wanted = "|" + std::string(states) + "|";
    eventually(limit, [&] {
        last = job(id);
        return wanted.find("|" + text(last, "status") + "|") != std::string::npos;
    });
    return last;
}

void check_refusal(const Answer& answer, int status, std::string_view code) {
    INFO(answer.body);
    CHECK(answer.status == status);
    const auto object = answer.json();
    REQUIRE(object.contains("ok"));
    CHECK(object.at("ok") == false);
    CHECK(text(object, "code") == code);
    CHECK_FALSE(text(object, "error").empty());
    CHECK(answer.headers.contains("x-trace-id"));
    for (const auto* inside : {"<html", "SELECT", "sqlite3_", ".cpp", "/tmp/"})
        CHECK(answer.body.find(inside) == std::string::npos);
}

std::string text(const boost::json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

bool on_mongo() {
    return std::getenv("E2E_ON_MONGO") != nullptr;
}

bool in_order(const std::vector<std::string>& names, const std::vector<std::string>& parts) {
    auto at = names.begin();
    for (const auto& part : parts) {
        at = std::find(at, names.end(), part);
        if (at == names.end()) return false;
        ++at;
    }
    return true;
}

std::vector<std::string> events_of(int port, std::string_view job) {
    std::vector<std::string> names;
    const auto object = http(port, "GET", "/api/telemetry?limit=500&jobId=" + std::string(job)).json();
    if (const auto* events = object.if_contains("events"); events && events->is_array())
        for (const auto& event : events->get_array()) names.push_back(text(event.get_object(), "event"));
    return names;
}

bool told(int port, std::string_view job, const std::vector<std::string>& names) {
    if (eventually(30s, [&] { return in_order(events_of(port, job), names); })) return true;
    const auto seen = events_of(port, job);
    MESSAGE("told: " << boost::json::serialize(boost::json::array(seen.begin(), seen.end())));
    return false;
}

std::string contents(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream bytes;
    bytes << file.rdbuf();
    return bytes.str();
}

const std::string& made_clip() {
    static const std::string bytes = [] {
        const Folder folder;
        const auto made = run({"ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25",
                               "-f", "lavfi", "-i", "sine=frequency=440", "-t", "6", "-c:v", "libx264", "-preset",
                               "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", folder / "clip.mp4"},
                              environment(folder), folder.path(), 60s);
        if (!made.in_time || !made.status.success()) throw std::runtime_error("ffmpeg made no clip: " + made.err);
        return contents(folder / "clip.mp4");
    }();
    return bytes;
}

test::Behaviour page_with(const std::string& source) {
    return test::status(200, "Content-Type: text/html; charset=utf-8\r\n",
                        "<!doctype html><html lang=en><head><meta charset=utf-8><title>A clip</title></head><body>"
                        "<h1>A clip</h1><video src=\"" + source + "\" controls></video></body></html>");
}

void add_clip_page(test::TestServer& site) {
    site.on("/clip.mp4", test::serve({.bytes = made_clip()}));
    site.on("/page", page_with("/clip.mp4"));
}

boost::json::object tried(Runtime& runtime, const std::string& id) {
    boost::json::object job;
    CHECK(eventually(60s, [&] {
        job = runtime.job(id);
        return !text(job, "errorCode").empty() || text(job, "status") == "completed";
    }));
    return job;
}

std::vector<int> children_with(int pid, std::string_view word) {
    std::map<int, std::vector<int>> below;
    std::map<int, std::string> lines;
    std::error_code code;
    for (const auto& entry : fs::directory_iterator("/proc", code)) {
        const int id = std::atoi(entry.path().filename().c_str());
        if (id <= 0) continue;
        const auto stat = contents(entry.path().string() + "/stat");
        const auto after = stat.rfind(')');
        if (after == std::string::npos || stat.size() < after + 5 || stat[after + 2] == 'Z') continue;
        below[std::atoi(stat.c_str() + after + 4)].push_back(id);
        lines[id] = contents(entry.path().string() + "/cmdline");
    }
    std::vector<int> found, open{pid};
    while (!open.empty()) {
        const int next = open.back();
        open.pop_back();
        for (const int child : below[next]) {
            open.push_back(child);
            if (lines[child].find(word) != std::string::npos) found.push_back(child);
        }
    }
    return found;
}

std::vector<std::string> partial_files(const std::string& folder) {
    std::vector<std::string> found;
    std::error_code code;
    for (const auto& entry : fs::recursive_directory_iterator(folder, code)) {
        if (!entry.is_regular_file(code)) continue;
        const auto name = entry.path().string();
        if (name.ends_with(".part") || name.ends_with(".part.info") || name.find("/.") != std::string::npos)
            found.push_back(name.substr(folder.size() + 1));
    }
    return found;
}

}  // namespace jobruntime::e2e
