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
#include "support/own_port.hpp"

// The examples of reverse proxies, with the real programs.
namespace jobruntime::e2e {
namespace {

namespace fs = std::filesystem;

const std::string examples = tests::source("apps/packaging/proxy");

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

/// nginx with our example, as one process in a folder of its own.
std::string main_configuration(const Folder& folder, const std::string& site) {
    std::string temp;
    for (const auto* kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"})
        temp += "    " + std::string(kind) + "_temp_path " + (folder / kind) + ";\n";
    return "daemon off;\nmaster_process off;\npid " + (folder / "nginx.pid") + ";\nerror_log stderr;\nevents {}\nhttp {\n" +
           "    access_log off;\n" + temp + "    include " + site + ";\n}\n";
}

/// A certificate for the name in the examples, and its key.
struct Certificate {
    explicit Certificate(const Folder& folder) : pem(folder / "jobrt.pem"), key(folder / "jobrt.key") {
        const auto made = run({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=jobrt.example.org", "-addext",
                               "subjectAltName=DNS:jobrt.example.org", "-keyout", key, "-out", pem},
                              {{"PATH", "/usr/bin:/bin"}}, folder.path());
        REQUIRE_MESSAGE(made.status.code == 0, made.err);
    }
    std::string pem, key;
};

/// jobrt as the examples want it, but for its port.
Variables behind_proxy(const Folder& folder) {
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    variables["JOBRT_ALLOWED_HOSTS"] = "jobrt.example.org";
    variables["JOBRT_TRUSTED_PROXIES"] = "127.0.0.1";
    variables["JOBRT_TOKEN_FILE"] = folder / "tokens";
    variables["JOBRT_RATE_LIMIT"] = "3";
    return variables;
}

/// curl, which takes the name for this machine and believes no other certificate.
class Visitor {
public:
    Visitor(const Folder& folder, int port, const Certificate& certificate, std::string token)
        : folder_(folder), name_("jobrt.example.org:" + std::to_string(port)), pem_(certificate.pem), token_(std::move(token)) {}
    std::string origin() const { return "https://" + name_; }
    std::vector<std::string> words(std::vector<std::string> more) const {
        std::vector<std::string> all{"curl",     "-sS", "--noproxy",   "*",                 "--max-time", "20",
                                     "--cacert", pem_,  "--resolve", name_ + ":127.0.0.1"};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
    /// What curl shows of the answer: its head, its body.
    std::string ask(const std::string& path, const HeaderList& headers = {}, const std::string& body = {}) const {
        std::vector<std::string> more{"-i"};
        if (headers.empty() || headers.front().first != "Authorization") more.insert(more.end(), {"-H", "Authorization: Bearer " + token_});
        if (!body.empty()) more.insert(more.end(), {"-H", "Content-Type: application/json", "--data-binary", body});
        for (const auto& [name, value] : headers) more.insert(more.end(), {"-H", name + ": " + value});
        more.push_back(origin() + path);
        const auto asked = run(words(more), {{"PATH", "/usr/bin:/bin"}}, folder_.path());
        return asked.out.empty() ? asked.err : asked.out;
    }
    int status(const std::string& path, const HeaderList& headers = {}, const std::string& body = {}) const {
        return status_of(ask(path, headers, body));
    }
    static int status_of(const std::string& answer) {
        const auto space = answer.find(' ');
        return answer.starts_with("HTTP/") && space != std::string::npos ? std::atoi(answer.c_str() + space) : 0;
    }
    /// How many of so many questions on one connection are refused with 429.
    int refused(int times, const HeaderList& headers) const {
        std::vector<std::string> more{"-I", "-H", "Authorization: Bearer " + token_};
        for (const auto& [name, value] : headers) more.insert(more.end(), {"-H", name + ": " + value});
        more.insert(more.end(), static_cast<std::size_t>(times), origin() + "/api/jobs");
        const auto heads = run(words(more), {{"PATH", "/usr/bin:/bin"}}, folder_.path()).out;
        int count = 0;
        std::istringstream lines(heads);
        for (std::string line; std::getline(lines, line);)  // An id may begin with these digits, too.
            if (line.starts_with("HTTP/") && line.find(" 429") != std::string::npos) ++count;
        return count;
    }

private:
    const Folder& folder_;
    std::string name_, pem_, token_;
};

std::string make_token(const Folder& folder, const Variables& variables) {
    const auto made = jobrt({"token", "create", "visitor", "--role", "operate"}, variables, folder.path());
    REQUIRE_MESSAGE(made.status.code == 0, made.err);
    return made.out.substr(0, made.out.find('\n'));
}

/// What holds behind either proxy: origins are checked against the name outside, a log-in's cookie is for TLS only,
/// bodies are bounded, and a stream's events come as they happen.
void check_through(const Visitor& visitor, const Folder& folder, const std::string& token) {
    CHECK(visitor.status("/api/jobs") == 200);
    CHECK(visitor.status("/api/jobs", {{"Authorization", "Bearer jrt_wrong"}}) == 401);
    const std::string job = R"({"kind":"demo.echo"})";
    CHECK(visitor.status("/api/jobs", {{"Origin", visitor.origin()}, {"Sec-Fetch-Site", "same-origin"}}, job) == 201);
    CHECK(visitor.status("/api/jobs", {{"Origin", visitor.origin()}}, job) == 201);
    CHECK(visitor.status("/api/jobs", {{"Origin", "https://evil.example"}}, job) == 403);
    CHECK(visitor.status("/api/jobs", {{"Sec-Fetch-Site", "cross-site"}}, job) == 403);
    std::ofstream(folder / "large") << std::string(3 << 20, 'x');
    // Who refuses while the other still sends may cut it off before it has read the answer: then once more.
    std::string refused;
    CHECK_MESSAGE(eventually(20s, [&] { return Visitor::status_of(refused = visitor.ask("/api/jobs", {}, "@" + folder / "large")) == 413; }),
                  refused);

    const auto login = visitor.ask("/login", {{"Origin", visitor.origin()}}, R"({"token":")" + token + R"("})");
    CAPTURE(login);
    CHECK(login.find("; Secure") != std::string::npos);
    CHECK(login.find("SameSite=Strict") != std::string::npos);

    const auto live = visitor.origin() + "/api/telemetry/stream?limit=1";
    const Program stream(visitor.words({"-N", "-i", "-H", "Authorization: Bearer " + token, live}), {{"PATH", "/usr/bin:/bin"}}, folder.path());
    REQUIRE(eventually(30s, [&] { return Visitor::status_of(stream.out()) == 200; }));
    const auto made = visitor.ask("/api/jobs", {}, job);
    const auto at = made.find(R"("id":")");
    REQUIRE_MESSAGE(at != std::string::npos, made);
    const auto id = made.substr(at + 6, 36);
    CHECK(eventually(30s, [&] { return stream.out().find(id) != std::string::npos; }));
}

}  // namespace

TEST_CASE("through the nginx of the example, with TLS: streams without delay, Host and origin checked, clients told apart") {
    const auto nginx = program("nginx");
    if (nginx.empty()) {
        MESSAGE("skipped: nginx is not installed");
        return;
    }
    const Folder folder, beside;
    const auto variables = behind_proxy(folder);
    const auto token = make_token(folder, variables);
    Service service(folder, variables);
    REQUIRE(service.port() > 0);

    const int port = tests::own_port();
    const Certificate certificate(beside);
    auto site = read(examples + "/nginx.conf");
    site = replaced(site, "server 127.0.0.1:4000;", "server 127.0.0.1:" + std::to_string(service.port()) + ";");
    site = replaced(site, "listen 443 ssl;", "listen 127.0.0.1:" + std::to_string(port) + " ssl;");
    site = replaced(site, "/etc/ssl/jobrt.example.org.pem", certificate.pem);
    site = replaced(site, "/etc/ssl/private/jobrt.example.org.key", certificate.key);
    std::ofstream(beside / "jobrt.conf") << site;
    std::ofstream(beside / "nginx.conf") << main_configuration(beside, beside / "jobrt.conf");
    Program proxy({nginx, "-p", beside.path(), "-e", "stderr", "-c", beside / "nginx.conf"}, {{"PATH", "/usr/bin:/bin"}}, beside.path());
    const Visitor visitor(beside, port, certificate, token);
    REQUIRE_MESSAGE(eventually(20s, [&] { return visitor.status("/api/health") == 200; }), proxy.err());
    check_through(visitor, beside, token);
    CHECK(visitor.status("/api/jobs", {{"Host", "evil.example"}}) == 421);

    // This machine's own requests are not counted; those that a client sends through the proxy are, each client's apart.
    CHECK(visitor.refused(40, {{"X-Forwarded-For", "203.0.113.9"}}) > 0);
    CHECK(visitor.refused(1, {{"X-Forwarded-For", "203.0.113.10"}}) == 0);
    CHECK(visitor.refused(40, {}) == 0);
    proxy.signal(SIGQUIT);
    CHECK(service.program().stop().has_value());
    CHECK(proxy.stop().has_value());
}

TEST_CASE("through the Caddy of the example, with TLS and HTTP/2: streams without delay, origin checked, no address believed") {
    const auto caddy = program("caddy");
    if (caddy.empty()) {
        MESSAGE("skipped: caddy is not installed");
        return;
    }
    const Folder folder, beside;
    const Variables own{{"PATH", "/usr/bin:/bin"}, {"HOME", beside.path()}, {"XDG_DATA_HOME", beside / "data"},
                        {"XDG_CONFIG_HOME", beside / "config"}};
    // As it is; and then with a certificate of ours, a free port and nothing besides that this machine would notice.
    const auto valid = run({caddy, "validate", "--adapter", "caddyfile", "--config", examples + "/Caddyfile"}, own, folder.path());
    CHECK_MESSAGE(valid.status.code == 0, valid.err);
    const auto variables = behind_proxy(folder);
    const auto token = make_token(folder, variables);
    Service service(folder, variables);
    REQUIRE(service.port() > 0);

    const int port = tests::own_port();
    const Certificate certificate(beside);
    auto site = read(examples + "/Caddyfile");
    site = replaced(site, "jobrt.example.org {\n",
                    "jobrt.example.org:" + std::to_string(port) + " {\n\tbind 127.0.0.1\n\ttls " + certificate.pem + " " +
                        certificate.key + "\n");
    site = replaced(site, "reverse_proxy 127.0.0.1:4000", "reverse_proxy 127.0.0.1:" + std::to_string(service.port()));
    std::ofstream(beside / "Caddyfile") << "{\n\tadmin off\n\tauto_https disable_redirects\n"
                                           "\tservers {\n\t\tprotocols h1 h2\n\t}\n}\n" << site;
    Program proxy({caddy, "run", "--adapter", "caddyfile", "--config", beside / "Caddyfile"}, own, beside.path());
    const Visitor visitor(beside, port, certificate, token);
    REQUIRE_MESSAGE(eventually(20s, [&] { return visitor.status("/api/health") == 200; }), proxy.err());
    CHECK(visitor.ask("/api/health").starts_with("HTTP/2 200"));
    check_through(visitor, beside, token);
    // What a client says of itself is not passed on, and this machine's own requests are not counted.
    CHECK(visitor.refused(40, {{"X-Forwarded-For", "203.0.113.9"}}) == 0);
    CHECK(service.program().stop().has_value());
    CHECK(proxy.stop().has_value());
}

}  // namespace jobruntime::e2e
