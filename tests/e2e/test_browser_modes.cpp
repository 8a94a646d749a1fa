// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>

#include <doctest/doctest.h>

#include "e2e/support.hpp"
#include "unit/extract/canary.hpp"

// The browser as operators run it: as a normal user with its sandbox, and visible for a person to help.
namespace jobruntime::e2e {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> as_nobody{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"};

std::vector<std::string> joined(std::vector<std::string> first, const std::vector<std::string>& then) {
    first.insert(first.end(), then.begin(), then.end());
    return first;
}

/// The value of a line of /proc/PID/status.
std::string status_line(int pid, const std::string& name) {
    const auto all = contents("/proc/" + std::to_string(pid) + "/status");
    const auto at = all.find("\n" + name + ":\t");
    if (at == std::string::npos) return {};
    const auto begin = at + name.size() + 3;
    return all.substr(begin, all.find('\n', begin) - begin);
}

/// An X server of its own with a display that it chose itself.
class Display {
public:
    explicit Display(const Folder& folder)
        : server_({"Xvfb", "-displayfd", "1", "-screen", "0", "1024x768x24", "-nolisten", "tcp"},
                  environment(folder), folder.path()) {
        eventually(30s, [&] { return server_.out().find('\n') != std::string::npos || server_.wait(0ms); });
        const auto out = server_.out();
        if (out.find('\n') != std::string::npos) name_ = ":" + out.substr(0, out.find('\n'));
    }
    const std::string& name() const { return name_; }

private:
    Program server_;
    std::string name_;
};

TEST_CASE("a normal user saves a video with the browser's sandbox on") {
    const Folder folder;
    auto variables = environment(folder);
    variables.erase("JOBRT_BROWSER_NO_SANDBOX");
    variables["HOME"] = folder / "home";
    fs::create_directory(folder / "home");
    std::vector<std::string> prefix;
    if (::geteuid() == 0) {
        prefix = as_nobody;
        for (const auto& path : {folder.path(), folder / "home"})
            REQUIRE(::chown(path.c_str(), 65534, 65534) == 0);
        if (!run(joined(prefix, {tests::program("jobrt"), "--version"}), variables, folder.path()).status.success()) {
            std::cout << "skipped: an unprivileged user cannot run " << tests::program("jobrt")
                      << "; build in a folder that all may read\n";
            return;
        }
    }
    const bool namespaces =
        run(joined(prefix, {"unshare", "--user", "true"}), variables, folder.path()).status.success();
    if (!namespaces && !fs::exists("/usr/lib/chromium/chrome-sandbox")) {
        std::cout << "skipped: this kernel gives a normal user no user namespaces, and there is no "
                     "chrome-sandbox\n";
        return;
    }
    test::TestServer site;
    add_clip_page(site);
    Service service(folder, variables, 20s, joined(prefix, {tests::program("jobrt")}));
    REQUIRE_FALSE(service.ready().empty());
    CHECK(status_line(service.program().pid(), "Uid").find("0\t0") == std::string::npos);
    const auto made = http(service.port(), "POST", "/api/jobs", "{\"url\":\"" + site.url("/page") + "\"}");
    INFO(made.body);
    REQUIRE(made.status == 201);
    const auto id = text(made.json().at("job").get_object(), "id");
    auto job = [&] { return http(service.port(), "GET", "/api/jobs/" + id).json().at("job").get_object(); };
    bool sandboxed = false, without = false;
    CHECK(eventually(60s, [&] {
        const int pid = service.program().pid();
        // A renderer under seccomp's filter, which no --no-sandbox has.
        for (const int renderer : children_with(pid, "--type=renderer"))
            sandboxed = sandboxed || status_line(renderer, "Seccomp") == "2";
        without = without || !children_with(pid, "--no-sandbox").empty();
        const auto status = text(job(), "status");
        return status == "completed" || status == "failed";
    }));
    INFO(boost::json::serialize(job()));
    INFO(service.program().err());
    CHECK(text(job(), "status") == "completed");
    CHECK(sandboxed);
    CHECK_FALSE(without);
    CHECK((fs::status(folder / "profile").permissions() & fs::perms::all) == fs::perms::owner_all);
    // It may read the profile of nobody else, and nobody else its own.
    const auto ended = service.program().stop();
    REQUIRE(ended);
    CHECK(ended->code == 0);
}

TEST_CASE("a visible browser saves a video, and waits for a person where one is needed") {
    const Folder folder;
    const Display display(folder);
    REQUIRE_MESSAGE(!display.name().empty(), "Xvfb does not start; it is in tools/deps");
    test::TestServer site;
    add_clip_page(site);
    // The page asks for a log-in until a person has been there.
    std::atomic<bool> logged_in = false;
    const auto login = test::status(401, "Content-Type: text/html\r\n",
                                    "<!doctype html><meta http-equiv=refresh content=1><title>Log in</title>"
                                    "<form><input type=password></form>");
    site.on("/members", [&, page = page_with("/clip.mp4")](const test::ServedConnection& connection,
                                                           const test::ServedRequest& request) {
        (logged_in ? page : login)(connection, request);
    });
    Runtime runtime(folder, true,
                    {{"PLAYWRIGHT_HEADLESS", "false"},
                     {"DISPLAY", display.name()},
                     {"PLAYWRIGHT_MANUAL_SOLVE_TIMEOUT_MS", "30000"}});
    const auto id = runtime.save(site.url("/page"));
    bool visible = false, headless = false;
    CHECK(eventually(60s, [&] {
        const int pid = runtime.worker().program().pid();
        visible = visible || !children_with(pid, "--user-data-dir").empty();
        headless = headless || !children_with(pid, "--headless").empty();
        const auto status = runtime.status(id);
        return status == "completed" || status == "failed";
    }));
    INFO(boost::json::serialize(runtime.job(id)));
    CHECK(runtime.status(id) == "completed");
    CHECK(visible);
    CHECK_FALSE(headless);

    const auto members = runtime.save(site.url("/members"));
    REQUIRE(eventually(30s, [&] {
        return in_order(events_of(runtime.port(), members), {"worker.job.extraction.waiting_for_human"});
    }));
    logged_in = true;
    const auto saved = runtime.wait(members, "completed|failed", 40s);
    INFO(boost::json::serialize(saved));
    CHECK(text(saved, "status") == "completed");
}

TEST_CASE("a person who does not come is not waited for for ever") {
    const Folder folder;
    const Display display(folder);
    REQUIRE_MESSAGE(!display.name().empty(), "Xvfb does not start; it is in tools/deps");
    test::TestServer site;
    site.on("/members",
            test::status(401, "Content-Type: text/html\r\n", "<!doctype html><title>Log in</title>"));
    Runtime runtime(folder, false,
                    {{"PLAYWRIGHT_HEADLESS", "false"},
                     {"DISPLAY", display.name()},
                     {"TELEMETRY_SINK", "memory"},
                     {"PLAYWRIGHT_MANUAL_SOLVE_TIMEOUT_MS", "2000"}});
    const auto job = runtime.wait(runtime.save(site.url("/members")), "completed|failed", 40s);
    INFO(boost::json::serialize(job));
    CHECK(text(job, "errorCode") == "AUTH_REQUIRED");
    CHECK(text(job, "error").find("jobrt auth bootstrap") != std::string::npos);
    CHECK(told(runtime.port(), text(job, "id"),
                   {"worker.job.extraction.waiting_for_human", "worker.job.failed"}));
}

/// A browser program that notes its arguments in `arguments` and is then what `then` says: Chromium, without its
/// calls to its maker, or nothing.
std::string noting_browser(const Folder& folder, const std::string& then) {
    const auto path = folder / "browser";
    std::ofstream(path) << "#!/bin/sh\nprintf '%s\\n' \"$@\" > '" << folder / "arguments" << "'\n" << then << "\n";
    fs::permissions(path, fs::perms::owner_all | fs::perms::others_read | fs::perms::others_exec);
    return path;
}
const std::string chromium_offline =
    "exec chromium --disable-background-networking --disable-component-update --disable-sync \"$@\"";

/// A page on which a person does what `script` does, and then closes the tab.
test::Behaviour login_page(const std::string& script) {
    return test::status(200, "Content-Type: text/html\r\n",
                        "<!doctype html><title>Log in</title><script>addEventListener('load', async () => {" + script +
                            " window.close(); });</script>");
}

bool was_asked(const test::TestServer& site, std::string_view path) {
    const auto requests = site.requests();
    return std::any_of(requests.begin(), requests.end(), [&](const auto& one) { return one.target == path; });
}

TEST_CASE("auth bootstrap finds the log-in that a person leaves in the profile, and says so when there is none") {
    const Folder folder;
    const Display display(folder);
    REQUIRE_MESSAGE(!display.name().empty(), "Xvfb does not start; it is in tools/deps");
    test::TestServer site;
    site.on("/session", test::status(200, "Set-Cookie: session=s3cret; Max-Age=86400; Path=/; HttpOnly\r\n", "in"));
    site.on("/login", login_page(""));
    std::ofstream(folder / "jobrt.json")
        << R"({"platforms":{"club":{"hosts":["127.0.0.1"],"posts":["/p/{id}"],"loginPage":")" << site.url("/login")
        << R"(","loginCookies":["session@127.0.0.1"]}}})";
    auto variables = environment(folder);
    variables["DISPLAY"] = display.name();
    variables["JOBRT_CONFIG"] = folder / "jobrt.json";
    variables["JOBRT_BROWSER"] = noting_browser(folder, chromium_offline);
    const auto left = jobrt({"auth", "bootstrap", "club"}, variables, folder.path(), 60s);
    INFO(left.err);
    REQUIRE(left.in_time);
    CHECK(left.status.code == 1);
    CHECK(left.err.find("AUTH_REQUIRED: the window was closed without a log-in to club") != std::string::npos);
    CHECK(was_asked(site, "/login"));
    CHECK(contents(folder / "arguments").find("--password-store=basic\n") != std::string::npos);
    CHECK(contents(folder / "arguments").find("--headless") == std::string::npos);
    CHECK(contents(folder / "arguments").find("--proxy-server=http://127.0.0.1:") != std::string::npos);

    // Log-ins by another site's account open a window, which is no reason to close it. A person would have clicked.
    variables["JOBRT_BROWSER"] = noting_browser(folder, chromium_offline + " --disable-popup-blocking");
    site.on("/popup", test::status(200, "Content-Type: text/html\r\n",
                                   "<!doctype html><title>Popup</title><script>fetch('/session').then(() => "
                                   "close())</script>"));
    site.on("/login", login_page("const w = open('/popup'); while (w && !w.closed) await new Promise(r => "
                                 "setTimeout(r, 20));"));
    const auto in = jobrt({"auth", "bootstrap", "club"}, variables, folder.path(), 60s);
    INFO(in.err);
    REQUIRE(in.in_time);
    CHECK(in.status.code == 0);
    CHECK(in.err.find("Logged in") != std::string::npos);
    CHECK(in.err.find("s3cret") == std::string::npos);
    CHECK((fs::status(folder / "profile").permissions() & fs::perms::all) == fs::perms::owner_all);
    CHECK(jobrt({"auth", "status", "club"}, variables, folder.path()).status.code == 0);
}

TEST_CASE("auth bootstrap without a name opens a tab for each platform that is switched on") {
    const Folder folder;
    const Display display(folder);
    REQUIRE_MESSAGE(!display.name().empty(), "Xvfb does not start; it is in tools/deps");
    test::TestServer site;
    for (const auto* path : {"/x", "/tiktok"}) site.on(path, login_page(""));
    std::ofstream(folder / "jobrt.json") << R"({"platforms":{"x":{"loginPage":")" << site.url("/x")
                                         << R"("},"tiktok":{"loginPage":")" << site.url("/tiktok") << R"("}}})";
    auto variables = environment(folder);
    variables["DISPLAY"] = display.name();
    variables["JOBRT_CONFIG"] = folder / "jobrt.json";
    variables["JOBRT_BROWSER"] = noting_browser(folder, chromium_offline);
    const auto both = jobrt({"auth", "bootstrap"}, variables, folder.path(), 60s);
    INFO(both.err);
    CHECK(both.status.code == 1);
    CHECK(both.err.find("without a log-in to x, tiktok") != std::string::npos);
    CHECK(was_asked(site, "/x"));
    CHECK(was_asked(site, "/tiktok"));
    variables["ENABLE_X"] = "false";
    const auto asked_before = site.requests().size();
    const auto one = jobrt({"auth", "bootstrap"}, variables, folder.path(), 60s);
    CHECK(one.err.find("without a log-in to tiktok;") != std::string::npos);
    const auto requests = site.requests();
    std::set<std::string> since;
    for (auto i = asked_before; i < requests.size(); ++i) since.insert(requests[i].target);
    CHECK(since.contains("/tiktok"));
    CHECK_FALSE(since.contains("/x"));
}

TEST_CASE("what a log-in page asks for goes through the address guard, too") {
    const Folder folder;
    const Display display(folder);
    REQUIRE_MESSAGE(!display.name().empty(), "Xvfb does not start; it is in tools/deps");
    test::TestServer site;
    for (const bool allowed : {false, true}) {
        CAPTURE(allowed);
        const extract_test::Canary canary;
        const auto at = "http://" + canary.v4("");
        site.on("/login", login_page("const all = [fetch('" + at + "/fetch', {mode: 'no-cors'}), new Promise(r => { const i = "
                                     "new Image(); i.onload = i.onerror = r; i.src = '" + at + "/img'; })]; "
                                     "await Promise.allSettled(all);"));
        std::ofstream(folder / "jobrt.json")
            << R"({"platforms":{"club":{"hosts":["127.0.0.1"],"posts":["/p/{id}"],"loginPage":")" << site.url("/login")
            << R"(","loginCookies":["session@127.0.0.1"]}}})";
        auto variables = environment(folder);
        variables["DISPLAY"] = display.name();
        variables["JOBRT_CONFIG"] = folder / "jobrt.json";
        variables["JOBRT_ALLOW_NETS"] = allowed ? "127.0.0.0/8" : "127.0.0.1";
        const auto ended = jobrt({"auth", "bootstrap", "club"}, variables, folder.path(), 60s);
        INFO(ended.err);
        REQUIRE(ended.in_time);
        CHECK(ended.err.find("AUTH_REQUIRED") != std::string::npos);
        CHECK(was_asked(site, "/login"));
        CHECK_MESSAGE((canary.connections() > 0) == allowed, canary.seen_text());
    }
}

TEST_CASE("the sandbox is given up for root who asks for it, and for nobody else, in a log-in too") {
    const Folder folder;
    auto variables = environment(folder);
    variables["HOME"] = folder / "home";
    variables["DISPLAY"] = ":0";
    variables["JOBRT_BROWSER"] = noting_browser(folder, "exit 0");
    const auto without = [&](std::vector<std::string> prefix) {
        std::ofstream(folder / "arguments") << "";
        fs::permissions(folder / "arguments", fs::perms::all);
        const auto ended = run(joined(std::move(prefix), {tests::program("jobrt"), "auth", "bootstrap", "x"}), variables, folder.path());
        CHECK_MESSAGE(ended.err.find("BROWSER_LAUNCH_FAILED") != std::string::npos, ended.err);
        CHECK(contents(folder / "arguments").find("--user-data-dir=" + folder / "profile") != std::string::npos);
        return contents(folder / "arguments").find("--no-sandbox\n") != std::string::npos;
    };
    variables["JOBRT_BROWSER_NO_SANDBOX"] = "1";
    if (::geteuid() != 0) {
        CHECK_FALSE(without({}));
        return;
    }
    CHECK(without({}));
    variables["JOBRT_BROWSER_NO_SANDBOX"] = "0";
    const auto refused = jobrt({"auth", "bootstrap", "x"}, variables, folder.path());
    CHECK(refused.status.code == 1);
    CHECK_MESSAGE(refused.err.find("JOBRT_BROWSER_NO_SANDBOX=1") != std::string::npos, refused.err);
    variables["JOBRT_BROWSER_NO_SANDBOX"] = "1";
    fs::remove_all(folder / "profile");
    REQUIRE(::chown(folder.path().c_str(), 65534, 65534) == 0);
    if (!run(joined(as_nobody, {tests::program("jobrt"), "--version"}), variables, folder.path()).status.success()) {
        std::cout << "skipped: an unprivileged user cannot run " << tests::program("jobrt") << "; build in a folder that all may read\n";
        return;
    }
    CHECK_FALSE(without(as_nobody));
}

TEST_CASE("%i gives each worker on a machine a profile of its own") {
    test::TestServer site;
    add_clip_page(site);
    const Folder folder;
    auto variables = environment(folder);
    variables["PLAYWRIGHT_USER_DATA_DIR"] = folder / "profile-%i";
    variables["ROLE"] = "worker";
    {
        Service first(folder, variables), second(folder, variables);
        CHECK(fs::exists(folder / "profile-0"));
        CHECK(fs::exists(folder / "profile-1"));
        const Service third(folder, variables);
        CHECK(fs::exists(folder / "profile-2"));
        CHECK((fs::status(folder / "profile-0").permissions() & fs::perms::all) == fs::perms::owner_all);
        CHECK(first.program().stop().has_value());
        // Whoever comes next finds the log-ins of the slot that is free.
        const Service again(folder, variables);
        CHECK_FALSE(fs::exists(folder / "profile-3"));
    }
    variables["ROLE"] = "combined";
    Service runtime(folder, variables);
    const auto saved = jobrt({"save", site.url("/page")}, variables, folder.path(), 60s);
    INFO(saved.err);
    CHECK(saved.status.code == 0);
    CHECK(fs::exists(folder / "profile-0/Default"));
    CHECK_FALSE(fs::exists(folder / "profile-%i"));
}

}  // namespace
}  // namespace jobruntime::e2e
