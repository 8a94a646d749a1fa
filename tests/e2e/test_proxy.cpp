// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

// The examples of reverse proxies, with the real programs.
namespace jobruntime::e2e {
namespace {

namespace fs = std::filesystem;

const std::string examples = std::string(SOURCE_DIR) + "/apps/packaging/proxy";

std::string read(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

std::string replaced(std::string text, std::string_view what, const std::string& by) {
    const auto at = text.find(what);
    REQUIRE_MESSAGE(at != std::string::npos, what);
    return text.replace(at, what.size(), by);
}

std::string program(const char* name) {
    for (const auto* folder : {"/usr/sbin/", "/usr/bin/"})
        if (fs::exists(folder + std::string(name))) return folder + std::string(name);
    return {};
}

/// One that nobody had a moment ago.
int free_port() {
    const Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    return ntohs(address.sin_port);
}

/// nginx with our example, as one process in a folder of its own.
std::string main_configuration(const Folder& folder, const std::string& site) {
    std::string temp;
    for (const auto* kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"})
        temp += "    " + std::string(kind) + "_temp_path " + (folder / kind) + ";\n";
    return "daemon off;\nmaster_process off;\npid " + (folder / "nginx.pid") + ";\nerror_log stderr;\nevents {}\nhttp {\n" +
           "    access_log off;\n" + temp + "    include " + site + ";\n}\n";
}

}  // namespace

TEST_CASE("through the nginx of the example: streams without delay, Host and origin checked, clients told apart") {
    const auto nginx = program("nginx");
    if (nginx.empty()) {
        MESSAGE("skipped: nginx is not installed");
        return;
    }
    const Folder folder, beside;
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    variables["JOBRT_ALLOWED_HOSTS"] = "jobrt.example.org";
    variables["JOBRT_TRUSTED_PROXIES"] = "127.0.0.1";
    variables["JOBRT_RATE_LIMIT"] = "3";
    Service service(folder, variables);
    REQUIRE(service.port() > 0);

    const int port = free_port();
    auto site = read(examples + "/nginx.conf");
    site = replaced(site, "server 127.0.0.1:4000;", "server 127.0.0.1:" + std::to_string(service.port()) + ";");
    site = replaced(site, "listen 443 ssl;", "listen 127.0.0.1:" + std::to_string(port) + ";");
    site = replaced(site, "    ssl_certificate /etc/ssl/jobrt.example.org.pem;\n", "");
    site = replaced(site, "    ssl_certificate_key /etc/ssl/private/jobrt.example.org.key;\n", "");
    std::ofstream(beside / "jobrt.conf") << site;
    std::ofstream(beside / "nginx.conf") << main_configuration(beside, beside / "jobrt.conf");
    Program proxy({nginx, "-p", beside.path(), "-e", "stderr", "-c", beside / "nginx.conf"}, {{"PATH", "/usr/bin:/bin"}}, beside.path());
    REQUIRE_MESSAGE(eventually(20s, [&] { return http(port, "GET", "/api/health").status == 200; }), proxy.err());

    const auto name = "jobrt.example.org:" + std::to_string(port);
    const auto with = [&](HeaderList more) {
        more.insert(more.begin(), {"Host", name});
        return more;
    };
    CHECK(http(port, "GET", "/api/jobs", {}, with({})).status == 200);
    CHECK(http(port, "GET", "/api/jobs", {}, {{"Host", "evil.example"}}).status == 421);
    const std::string job = R"({"kind":"demo.echo"})";
    CHECK(http(port, "POST", "/api/jobs", job, with({{"Origin", "https://" + name}, {"Sec-Fetch-Site", "same-origin"}})).status == 201);
    CHECK(http(port, "POST", "/api/jobs", job, with({{"Origin", "https://" + name}})).status == 201);
    CHECK(http(port, "POST", "/api/jobs", job, with({{"Origin", "https://evil.example"}})).status == 403);
    CHECK(http(port, "POST", "/api/jobs", job, with({{"Sec-Fetch-Site", "cross-site"}})).status == 403);
    CHECK(http(port, "POST", "/api/jobs", job, with({{"Content-Type", "text/plain"}})).status == 415);

    const Stream stream(port, "/api/telemetry/stream?limit=1", with({}));
    REQUIRE(eventually(10s, [&] { return stream.text().starts_with("HTTP/1.1 200"); }));
    const auto made = http(port, "POST", "/api/jobs", job, with({}));
    REQUIRE(made.status == 201);
    const auto id = text(made.json().at("job").as_object(), "id");
    CHECK(eventually(10s, [&] { return stream.text().find(id) != std::string::npos; }));

    // This machine's own requests are not counted; those that a client sends through the proxy are, each client's apart.
    int refused = 0;
    for (int i = 0; i < 40; ++i)
        refused += http(port, "GET", "/api/jobs", {}, with({{"X-Forwarded-For", "203.0.113.9"}})).status == 429;
    CHECK(refused > 0);
    CHECK(http(port, "GET", "/api/jobs", {}, with({{"X-Forwarded-For", "203.0.113.10"}})).status == 200);
    CHECK(http(port, "GET", "/api/jobs", {}, with({})).status == 200);
    proxy.signal(SIGQUIT);
    CHECK(service.program().stop().has_value());
    CHECK(proxy.stop().has_value());
}

TEST_CASE("the examples with TLS are what nginx and Caddy understand") {
    const Folder folder;
    if (const auto nginx = program("nginx"); !nginx.empty()) {
        const auto made = run({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=jobrt.example.org", "-keyout",
                               folder / "key", "-out", folder / "pem"},
                              {{"PATH", "/usr/bin:/bin"}}, folder.path());
        REQUIRE_MESSAGE(made.status.code == 0, made.err);
        auto site = read(examples + "/nginx.conf");
        site = replaced(site, "/etc/ssl/jobrt.example.org.pem", folder / "pem");
        site = replaced(site, "/etc/ssl/private/jobrt.example.org.key", folder / "key");
        std::ofstream(folder / "jobrt.conf") << site;
        std::ofstream(folder / "nginx.conf") << main_configuration(folder, folder / "jobrt.conf");
        const auto tried = run({nginx, "-t", "-p", folder.path(), "-e", "stderr", "-c", folder / "nginx.conf"},
                               {{"PATH", "/usr/bin:/bin"}}, folder.path());
        CHECK_MESSAGE(tried.status.code == 0, tried.err);
    } else {
        MESSAGE("skipped: nginx is not installed");
    }
    const auto caddy = program("caddy");
    if (caddy.empty()) {
        MESSAGE("skipped: caddy is not installed");
        return;
    }
    const auto tried = run({caddy, "validate", "--adapter", "caddyfile", "--config", examples + "/Caddyfile"},
                           {{"PATH", "/usr/bin:/bin"}, {"HOME", folder.path()}}, folder.path());
    CHECK_MESSAGE(tried.status.code == 0, tried.err);
}

}  // namespace jobruntime::e2e
