// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

// Where the API listens, what a reload changes, and how it ends with streams open.
namespace jobruntime::e2e {
namespace {

namespace fs = std::filesystem;

bool says(Service& service, std::string_view text) {
    return eventually(30s, [&] { return service.program().err().find(text) != std::string::npos; });
}

/// A connection on which something has been said.
Fd say(int port, std::string_view text) {
    Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
    return fd;
}

/// The first bytes of what is answered, or "" when nothing comes within `limit`.
std::string answer(const Fd& fd, std::chrono::milliseconds limit) {
    pollfd waiting{fd.get(), POLLIN, 0};
    char bytes[12];
    if (::poll(&waiting, 1, static_cast<int>(limit.count())) != 1) return "";
    const auto size = ::recv(fd.get(), bytes, sizeof bytes, 0);
    return {bytes, static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
}

/// Of a process: what it has used of the processors so far.
std::chrono::milliseconds processor_time(int pid) {
    std::istringstream text(contents("/proc/" + std::to_string(pid) + "/stat"));
    std::vector<std::string> words{std::istream_iterator<std::string>(text), {}};
    return 1'000ms * (std::stol(words.at(13)) + std::stol(words.at(14))) / sysconf(_SC_CLK_TCK);
}

/// Lets a process open `more` files than it has open.
void leave_descriptors(int pid, std::size_t more) {
    std::vector<bool> taken;
    for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
        const auto number = std::stoul(entry.path().filename().string());
        taken.resize(std::max(taken.size(), number + 1));
        taken[number] = true;
    }
    std::size_t limit = 0;
    for (std::size_t free = 0; free < more; ++limit) free += limit >= taken.size() || !taken[limit];
    rlimit now{};
    REQUIRE(prlimit(pid, RLIMIT_NOFILE, nullptr, &now) == 0);
    now.rlim_cur = limit;
    REQUIRE(prlimit(pid, RLIMIT_NOFILE, &now, nullptr) == 0);
}

}  // namespace

TEST_CASE("out of descriptors, idle connections make way, others keep theirs, and whoever waits for one costs nothing and gets it") {
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    Service service(folder, variables);
    const int port = service.port(), pid = service.program().pid();
    REQUIRE(http(port, "GET", "/api/health").status == 200);
    const std::string health = "GET /api/health HTTP/1.1\r\nHost: localhost\r\n";
    constexpr std::size_t places = 8;
    leave_descriptors(pid, places);
    std::vector<Fd> idle;
    while (idle.size() < 3 * places) {
        idle.push_back(say(port, health + "\r\n"));
        REQUIRE(answer(idle.back(), 20s) == "HTTP/1.1 200");
    }
    CHECK(service.program().err().find("descriptors") == std::string::npos);  // Each one came in at once.
    idle.clear();

    std::vector<Fd> begun;
    while (begun.size() < 2 * places) begun.push_back(say(port, health));
    CHECK(says(service, "out of file descriptors; new connections wait"));
    const auto late = say(port, health + "\r\n");
    const auto before = processor_time(pid);
    CHECK(answer(late, 1'500ms).empty());
    CHECK(processor_time(pid) - before < 500ms);
    const auto log = service.program().err();
    CHECK(log.find("out of file descriptors") == log.rfind("out of file descriptors"));
    begun.clear();
    CHECK(answer(late, 20s) == "HTTP/1.1 200");
    CHECK(service.program().stop()->code == 0);
}

TEST_CASE("SIGHUP takes over limits, names what waits for a restart, and leaves a wrong configuration alone") {
    const Folder folder;
    auto variables = environment(folder);
    const auto file = folder / "settings.json";
    variables["ROLE"] = "api";
    variables["JOBRT_CONFIG"] = file;
    variables["JOBRT_TOKEN_FILE"] = folder / "tokens";
    variables["JOBRT_API_TOKEN_FILE"] = "";
    std::ofstream(file) << R"({"max-streams": 0})";
    const auto made = jobrt({"token", "create", "ada", "--role", "admin"}, variables, folder.path());
    REQUIRE(made.status.code == 0);
    const HeaderList bearer{{"authorization", "Bearer " + made.out.substr(0, made.out.find('\n'))}};
    Service service(folder, variables);
    const auto opens = [&] {
        const Stream stream(service.port(), "/api/telemetry/stream", bearer);
        eventually(30s, [&] { return stream.text().find("\r\n\r\n") != std::string::npos; });
        return stream.text().starts_with("HTTP/1.1 200");
    };
    CHECK_FALSE(opens());
    std::ofstream(file) << R"({"max-streams": 5, "concurrency": 3, "platforms": {"x": {"enabled": false}}})";
    service.program().signal(SIGHUP);
    CHECK(says(service, "the configuration was reloaded"));
    CHECK(says(service, "1 access tokens are valid"));
    CHECK(says(service, "in force only after a restart: JOBRT_CONCURRENCY"));
    CHECK(says(service, "in force from now on: JOBRT_MAX_STREAMS, platforms"));
    CHECK(opens());
    std::ofstream(file) << "{";
    service.program().signal(SIGHUP);
    CHECK(says(service, "the configuration is not reloaded: "));
    std::ofstream(file) << R"({"max-streams": 0, "trusted-proxies": "nobody"})";
    service.program().signal(SIGHUP);
    CHECK(says(service, "\"nobody\" is no trusted proxy"));
    CHECK(opens());
    CHECK(service.program().stop()->code == 0);
}

TEST_CASE("SIGHUP bounds the requests of all together, and lets them go again; health is not concerned") {
    const Folder folder;
    const auto file = folder / "settings.json";
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    variables["JOBRT_CONFIG"] = file;
    std::ofstream(file) << "{}";
    Service service(folder, variables);
    const auto asked = [&](std::string_view path) { return http(service.port(), "GET", path).status; };
    for (int i = 0; i < 20; ++i) CHECK(asked("/api/session") == 200);
    std::ofstream(file) << R"({"max-rate": 1})";
    service.program().signal(SIGHUP);
    CHECK(says(service, "in force from now on: JOBRT_MAX_RATE"));
    CHECK(eventually(30s, [&] { return asked("/api/session") == 503; }));
    CHECK(asked("/api/health") == 200);
    std::ofstream(file) << "{}";
    const auto before = service.program().err().size();
    service.program().signal(SIGHUP);
    CHECK(eventually(30s, [&] { return service.program().err().find("JOBRT_MAX_RATE", before) != std::string::npos; }));
    CHECK(eventually(30s, [&] { return asked("/api/session") == 200; }));
    for (int i = 0; i < 20; ++i) CHECK(asked("/api/session") == 200);
}

TEST_CASE("SIGHUP takes over platforms, Host names, origins and the log's level for what comes next, or nothing of what is wrong") {
    const Folder folder;
    const auto file = folder / "settings.json";
    auto variables = environment(folder);
    variables["JOBRT_CONFIG"] = file;
    std::ofstream(file) << R"({"platforms": {"talks": {"hosts": ["talks.example"], "posts": ["/t/{id}"], "extractors": ["page"]}}})";
    std::ofstream(folder / ".env") << "JOBRT_ALLOWED_HOSTS=old.example\n";
    Service service(folder, variables);
    const auto post = [&](const std::string& url) {
        return http(service.port(), "POST", "/api/jobs", R"({"url":")" + url + R"("})").status;
    };
    const auto from = [&](const char* host) { return http(service.port(), "GET", "/api/jobs", "", {{"host", host}}).status; };
    const auto reload = [&](std::string_view line) {
        const auto before = service.program().err().size();
        service.program().signal(SIGHUP);
        return eventually(30s, [&] { return service.program().err().find(line, before) != std::string::npos; });
    };
    // No job is to be run here.
    REQUIRE(http(service.port(), "POST", "/api/queues/media/pause").status == 200);
    CHECK(post("https://x.com/ada/status/1") == 201);
    CHECK(post("https://talks.example/t/1") == 201);
    CHECK(from("old.example") == 200);
    // The other is a platform that it did not know before.
    std::ofstream(file) << R"({"platforms": {"talks": {"hosts": ["talks.example"], "posts": ["/t/{id}"], "enabled": false},
                                            "shows": {"hosts": ["shows.example"], "posts": ["/s/{id}"], "enabled": false}}})";
    std::ofstream(folder / ".env") << "JOBRT_ALLOWED_HOSTS=new.example\nENABLE_X=false\nJOBRT_CORS_ORIGINS=https://read.example\n";
    CHECK(reload("in force from now on: JOBRT_ALLOWED_HOSTS, JOBRT_CORS_ORIGINS, ENABLE_X, platforms"));
    check_refusal(http(service.port(), "POST", "/api/jobs", R"({"url":"https://x.com/ada/status/2"})"), 403, "PLATFORM_DISABLED");
    CHECK(post("https://talks.example/t/2") == 403);
    CHECK(post("https://shows.example/s/2") == 403);
    CHECK(from("old.example") == 421);
    CHECK(from("new.example") == 200);
    CHECK(http(service.port(), "GET", "/api/jobs", "", {{"origin", "https://read.example"}}).status == 200);
    CHECK(http(service.port(), "PATCH", "/api/capabilities", R"({"platforms":{"shows":true}})").status == 200);
    CHECK(post("https://shows.example/s/2") == 201);
    // One mistake, of the worker's, and nothing of the rest counts.
    std::ofstream(folder / ".env") << "JOBRT_ALLOWED_HOSTS=other.example\nENABLE_X=true\n";
    std::ofstream(file) << R"({"pages": {"web": {"never": "known"}}})";
    CHECK(reload("the configuration is not reloaded: "));
    CHECK(service.program().err().find("the old one stays") != std::string::npos);
    CHECK(post("https://x.com/ada/status/2") == 403);
    CHECK(from("new.example") == 200);
    CHECK(from("other.example") == 421);
    std::ofstream(file) << "{}";
    std::filesystem::rename(folder / ".env", folder / "away");
    CHECK_MESSAGE(reload(".env is not there any more"), "what it said is not to be taken back by an editor's rename");
    CHECK(post("https://x.com/ada/status/2") == 403);
    std::filesystem::rename(folder / "away", folder / ".env");
    std::ofstream(file) << R"({"log-level": "error"})";
    service.program().signal(SIGHUP);
    CHECK(eventually(30s, [&] { return post("https://x.com/ada/status/2") == 201; }));
    service.program().signal(SIGHUP);  // Done, and said to nobody.
    CHECK(service.program().stop()->code == 0);
    const auto log = service.program().err();
    CHECK(log.find("stopping; a second signal") == std::string::npos);
}

TEST_CASE("SIGTERM ends streams with a last word, at once, however long the grace time is") {
    const Folder folder;
    for (const auto* role : {"api", "combined"}) {
        CAPTURE(role);
        auto variables = environment(folder);
        variables["ROLE"] = role;
        variables["JOBRT_GRACE_MS"] = "60000";
        Service service(folder, variables);
        const Stream first(service.port(), "/api/telemetry/stream"), second(service.port(), "/api/telemetry/stream");
        for (const auto* stream : {&first, &second})
            REQUIRE(eventually(30s, [&] { return stream->text().starts_with("HTTP/1.1 200"); }));
        const auto ended = service.program().stop(20s);
        REQUIRE(ended);
        CHECK(ended->code == 0);
        for (const auto* stream : {&first, &second}) {
            CHECK(eventually(30s, [&] { return stream->over(); }));
            CHECK(stream->text().find("event: shutdown") != std::string::npos);
        }
    }
}

TEST_CASE("several addresses and a Unix socket serve at once; what a killed API left is replaced") {
    const Folder folder;
    const auto path = folder / "api.sock";
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    variables["JOBRT_HOST"] = "127.0.0.1, 127.0.0.2,unix:" + path;
    variables["JOBRT_SOCKET_MODE"] = "660";
    const auto curl = [&](std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), {"curl", "-sS", "-m", "20"});
        return run(std::move(arguments), {{"PATH", "/usr/bin:/bin"}}, folder.path()).out;
    };
    for (const bool killed : {true, false}) {
        Service service(folder, variables);
        const auto port = std::to_string(service.port());
        REQUIRE(service.ready().at("http").as_array().size() == 3);
        CHECK(service.ready().at("http").as_array().back() == boost::json::value("unix:" + path));
        CHECK(fs::status(path).permissions() == static_cast<fs::perms>(0660));
        for (const auto* address : {"127.0.0.1", "127.0.0.2"})
            CHECK(curl({"http://" + std::string(address) + ":" + port + "/api/health"}).find("\"ok\":true") != std::string::npos);
        CHECK(curl({"--unix-socket", path, "http://localhost/api/jobs"}).find("\"ok\":true") != std::string::npos);
        if (killed) {
            service.program().signal(SIGKILL);
            service.program().wait(10s);
            CHECK(fs::exists(path));
        } else {
            CHECK(service.program().stop()->code == 0);
            CHECK_FALSE(fs::exists(path));
        }
    }
    variables["JOBRT_SOCKET_MODE"] = "rw";
    const auto refused = jobrt({}, variables, folder.path());
    CHECK(refused.status.code == 2);
    CHECK(refused.err.find("JOBRT_SOCKET_MODE") != std::string::npos);
    variables["JOBRT_SOCKET_MODE"] = "600";
    variables["JOBRT_HOST"] = "unix:" + path + ",192.0.2.1";
    CHECK(jobrt({}, variables, folder.path()).err.find("192.0.2.1 is not a loopback address") != std::string::npos);
    CHECK_FALSE(fs::exists(path));
}

}  // namespace jobruntime::e2e
