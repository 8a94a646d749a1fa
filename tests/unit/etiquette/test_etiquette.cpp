// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// A host program with handlers of its own embeds the library, lets it do everything including failing, and finds its
// process as it left it.
#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>

#include <jobruntime/api_router.hpp>
#include <jobruntime/http.hpp>
#include <jobruntime/job_queue.hpp>
#include <jobruntime/net.hpp>
#include <jobruntime/sqlite.hpp>
#include <jobruntime/subprocess.hpp>
#include <jobruntime/worker.hpp>

#include "core/sanitizers.hpp"
#include "watch.hpp"

using namespace jobruntime;
using namespace std::chrono_literals;
using etiquette::State;

namespace {

// The presets run it together with the one for undefined behaviour.
using core::in_address_sanitizer;

std::atomic<int> broken_pipes{0};
std::atomic<int> allocations{0};

void on_signal(int signal) {
    if (signal == SIGPIPE) ++broken_pipes;
}
[[noreturn]] void on_terminate() { std::abort(); }
void on_no_memory() { throw std::bad_alloc(); }

/// The host's own ways, put back at the end.
class Host {
public:
    Host() {
        std::string name = (std::filesystem::temp_directory_path() / "jobrt-etiquette-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        folder_ = name;
        came_from_ = std::filesystem::current_path();
        std::filesystem::current_path(folder_);
        umask_ = ::umask(027);
        locale_ = std::setlocale(LC_ALL, nullptr);
        REQUIRE(std::setlocale(LC_ALL, "C.UTF-8") != nullptr);
        for (std::size_t i = 0; i < signals.size(); ++i) {
            struct sigaction action {};
            action.sa_handler = &on_signal;
            action.sa_flags = SA_RESTART;
            REQUIRE(::sigaction(signals[i], &action, &actions_[i]) == 0);
        }
        terminate_ = std::set_terminate(&on_terminate);
        no_memory_ = std::set_new_handler(&on_no_memory);
    }
    Host(const Host&) = delete;
    ~Host() {
        std::set_new_handler(no_memory_);
        std::set_terminate(terminate_);
        for (std::size_t i = 0; i < signals.size(); ++i) ::sigaction(signals[i], &actions_[i], nullptr);
        std::setlocale(LC_ALL, locale_.c_str());
        ::umask(umask_);
        std::filesystem::current_path(came_from_);
        std::filesystem::remove_all(folder_);
    }
    std::string operator/(const std::string& name) const { return folder_ + "/" + name; }

private:
    static constexpr std::array signals{SIGTERM, SIGINT, SIGCHLD, SIGPIPE};
    std::string folder_;
    std::filesystem::path came_from_;
    mode_t umask_ = 0;
    std::string locale_;
    std::array<struct sigaction, signals.size()> actions_{};
    std::terminate_handler terminate_ = nullptr;
    std::new_handler no_memory_ = nullptr;
};

/// A connection that asks for something and goes away without a word, so that writing to it fails.
void ask_and_vanish(int port, const std::string& target) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    const auto text = "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    REQUIRE(::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
    char first = 0;
    CHECK(::recv(fd, &first, 1, 0) == 1);
    const linger now{1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ::close(fd);
}

SpawnOptions shell(const std::string& script) {
    SpawnOptions options;
    options.argv = {"/bin/sh", "-c", script};
    options.in = options.out = options.err = Stdio::pipe;
    return options;
}

void add_handlers(Worker& worker, const net::Fetcher& fetcher, const std::string& url) {
    worker.on("ends", [](JobContext& job) {
        job.log("at work");
        job.progress(50, "half");
        CHECK(job.step("s", [] { return Result<boost::json::value>(1); }));
        return completed({{"ok", true}});
    });
    worker.on("throws", [](JobContext&) -> Outcome { throw std::runtime_error("boom"); }, {.retry_exceptions = false});
    worker.on("child", [](JobContext&) {
        auto child = Subprocess::spawn(shell("echo out; echo err >&2; exit 3"));
        if (!child) return failed("SPAWN", child.error().message);
        CHECK(read_all(child->out().get(), 100).value() == "out\n");
        CHECK(child->wait().value().code == 3);
        // The reader is gone: an error, no signal.
        auto deaf = Subprocess::spawn(shell("exec <&-; echo closed; sleep 20"));
        if (!deaf) return failed("SPAWN", deaf.error().message);
        CHECK(LineReader(deaf->out().get()).next().value() == "closed");
        // Another child that is just being started holds the other end, too, until its program begins.
        auto written = write_all(deaf->in().get(), "hello");
        for (int i = 0; written && i < 500; ++i) {
            std::this_thread::sleep_for(10ms);
            written = write_all(deaf->in().get(), "hello");
        }
        CHECK(!written);
        if (!written) CHECK(written.error().name == "PIPE_CLOSED");
        deaf->signal_group(SIGKILL);
        CHECK(deaf->wait().value().signal == SIGKILL);
        auto missing = SpawnOptions{};
        missing.argv = {"/nowhere/program"};
        CHECK(Subprocess::spawn(missing).error().name == "PROGRAM_NOT_FOUND");
        return completed();
    });
    worker.on("fetch", [&fetcher, url](JobContext& job) {
        CHECK(fetcher.get({.url = url + "/api/health"}, job.stop()).value().status == 200);
        CHECK(fetcher.get({.url = url + "/nowhere"}, job.stop()).value().status == 404);
        CHECK(fetcher.get({.url = "http://127.0.0.1:1/"}, job.stop()).error().name == "NETWORK");
        CHECK(fetcher.get({.url = "http://192.168.0.1/"}, job.stop()).error().name == "SSRF_BLOCKED");
        CHECK_FALSE(fetcher.get({.url = "http://no-such-name.invalid/"}, job.stop()));
        return completed();
    });
}

/// Everything once, with its failures.
void use_the_library(const Host& host) {
    CHECK_FALSE(sqlite::open("/nowhere/jobs.db"));
    CHECK_FALSE(sqlite::open("/proc/version"));
    auto store = sqlite::open(host / "jobs.db");
    REQUIRE(store);
    std::vector<std::string> lines;
    std::mutex mutex;
    const auto log = [&](std::string_view line) {
        const std::lock_guard lock(mutex);
        lines.emplace_back(line);
    };
    JobQueue queue(**store);
    ApiRouter router(queue, {.log = log});
    http::Options serving;
    serving.port = 0;
    serving.log = log;
    http::Server server(router, **store, serving);
    REQUIRE(server.start());
    const auto url = server.urls().front();
    const int port = std::stoi(url.substr(url.rfind(':') + 1));
    const net::Fetcher fetcher({.allow_nets = net::Network::parse_list("127.0.0.0/8").value()});

    Worker worker(**store, {.log = log});
    add_handlers(worker, fetcher, url);
    REQUIRE(worker.start());
    std::vector<std::pair<JobId, JobState>> jobs;
    for (int i = 0; i < 5; ++i)
        for (const char* kind : {"ends", "throws", "child", "fetch"})
            jobs.emplace_back(queue.enqueue(kind, {}).value().id,
                              kind == std::string_view("throws") ? JobState::failed : JobState::completed);
    ask_and_vanish(port, "/api/telemetry/stream");
    ask_and_vanish(port, "/api/jobs");
    for (const auto& [id, state] : jobs) {
        const auto job = queue.wait(id, 60s);
        REQUIRE_MESSAGE(job, job.error().message);
        CHECK_MESSAGE(job->state == state, (job->errors.empty() ? job->kind : job->errors.back().message));
    }

    // The host forks while all of it runs; its child is its own. The allocator of the address sanitizer cannot be used
    // in such a child: another thread may have held its locks.
    const pid_t child = ::fork();
    if (child == 0) ::_exit(in_address_sanitizer || !(*store)->get(jobs[0].first, 0) ? 5 : 1);
    int status = 0;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(WEXITSTATUS(status) == 5);
    CHECK(queue.get(jobs[0].first).value().has_value());
    worker.stop();
    server.stop();
}

/// libcurl's own, until it learned SOCK_CLOEXEC in later versions: pairs that wake its event loop and its resolver's
/// thread, both ends of which it keeps to itself, and one that it opens for a moment to see whether there is IPv6. A
/// child that inherits one can do nothing with it and holds nothing up. The sanitizer for undefined behaviour opens pipes
/// for a moment, to see whether memory can be read.
bool is_of_others(std::string_view target) {
    return target == "an unnamed local socket" || target == "an IPv6 datagram socket" ||
           (in_address_sanitizer && target.starts_with("pipe:"));
}

void* counted_malloc(std::size_t size) { return ++allocations, std::malloc(size); }
void* counted_realloc(void* old, std::size_t size) { return ++allocations, std::realloc(old, size); }
void* counted_calloc(std::size_t count, std::size_t size) { return ++allocations, std::calloc(count, size); }
char* counted_strdup(const char* text) { return ++allocations, ::strdup(text); }

}  // namespace

TEST_CASE("a host with handlers of its own finds its process as it left it") {
    const Host host;
    etiquette::OwnChild early;
    early.let_end();
    REQUIRE(early.has_ended());
    etiquette::OwnChild patient;
    REQUIRE(curl_global_init_mem(CURL_GLOBAL_DEFAULT, counted_malloc, std::free, counted_realloc, counted_strdup,
                                 counted_calloc) == CURLE_OK);
    const int own_allocations = allocations;
    std::string errors;
    std::vector<std::string> changed;
    std::map<std::string, int> inheritable;
    {
        etiquette::ErrorPipe pipe;
        const auto before = State::now();
        std::set<int> known;
        for (const auto& [fd, target] : before.files) known.insert(fd);
        {
            etiquette::FileWatch watch(known);
            use_the_library(host);
            inheritable = watch.inheritable();
            CHECK(watch.looks() > 10);
        }
        changed = changes(before, State::now());
        errors = pipe.text();
    }
    CHECK_MESSAGE(errors.empty(), errors);
    for (const auto& change : changed) CHECK_MESSAGE(false, "changed: " << change);
    for (const auto& seen : inheritable)
        CHECK_MESSAGE(is_of_others(seen.first), "a child would inherit " << seen.first << ", seen " << seen.second << " times");
    CHECK(broken_pipes == 0);

    // Nobody took the exit status of its children.
    CHECK(early.status() == 7);
    patient.let_end();
    CHECK(patient.status() == 7);

    // libcurl was the host's first, and still is: with its allocator, and not shut down.
    CHECK(allocations > own_allocations);
    CURL* handle = curl_easy_init();
    REQUIRE(handle != nullptr);
    curl_easy_setopt(handle, CURLOPT_URL, "http://127.0.0.1:1/");
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    CHECK(curl_easy_perform(handle) == CURLE_COULDNT_CONNECT);
    curl_easy_cleanup(handle);
    curl_global_cleanup();
}

TEST_CASE("the watch notices what a library must not do") {
    const Host host;
    etiquette::ErrorPipe pipe;
    const auto before = State::now();
    std::set<int> known;
    for (const auto& [fd, target] : before.files) known.insert(fd);
    CHECK(changes(before, State::now()).empty());
    const auto only = [&](std::string_view what) {
        const auto found = changes(before, State::now());
        return found.size() == 1 && found.front().find(what) != std::string::npos;
    };
    SUBCASE("a file that a child would inherit, open for a moment, and one that stays") {
        etiquette::FileWatch watch(known);
        int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        watch.look();
        CHECK(watch.inheritable().empty());
        CHECK(only("open file /dev/null"));
        ::close(fd);
        fd = ::open("/dev/null", O_RDONLY);
        watch.look();
        CHECK(watch.inheritable().contains("/dev/null"));
        ::close(fd);
        CHECK(changes(before, State::now()).empty());
    }
    SUBCASE("words on stderr") {
        CHECK(pipe.text().empty());
        CHECK(::write(STDERR_FILENO, "oops", 4) == 4);
        CHECK(pipe.text() == "oops");
    }
    SUBCASE("a signal's action") {
        const auto old = ::signal(SIGPIPE, SIG_IGN);
        CHECK(only("signal " + std::to_string(SIGPIPE)));
        ::signal(SIGPIPE, old);
    }
    SUBCASE("a signal in the mask") {
        sigset_t one, old;
        sigemptyset(&one);
        sigaddset(&one, SIGUSR1);
        ::pthread_sigmask(SIG_BLOCK, &one, &old);
        CHECK(only("in the mask"));
        ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
    }
    SUBCASE("umask, folder, locale, terminate handler") {
        const auto mask = ::umask(0);
        CHECK(only("umask"));
        ::umask(mask);
        const auto folder = std::filesystem::current_path();
        std::filesystem::current_path("/");
        CHECK(only("working directory"));
        std::filesystem::current_path(folder);
        std::setlocale(LC_NUMERIC, "C");
        CHECK(only("locale"));
        std::setlocale(LC_ALL, "C.UTF-8");
        const auto handler = std::set_terminate([] { std::abort(); });
        CHECK(only("terminate handler"));
        std::set_terminate(handler);
    }
    SUBCASE("a child's exit status taken away") {
        etiquette::OwnChild child;
        child.let_end();
        CHECK(child.has_ended());
        while (::waitpid(-1, nullptr, 0) < 0 && errno == EINTR) {}
        CHECK(child.status() == -1);
    }
}
